"""Where lists come from: a checkpoint with its data, or an exported folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from recbole_mm.base.errors import InputError
from recbole_mm.serving.export_card import CARD
from recbole_mm.serving.export_files import is_incomplete
from recbole_mm.serving.exported_folder import exported_folder
from recbole_mm.serving.scorer import Scorer


def open_source(
    place: Path,
    device: str = "",
    new_items: Mapping[str, str | Path] | None = None,
    new_item_ids: str | Path | None = None,
) -> Scorer:
    """Return what scores items for users, new ones too where their features and ids are given.

    Raises
    ------
    InputError
        The path is none of a checkpoint, the folder of a run or an exported folder, or one that cannot be read.
    """
    if bool(new_items) != bool(new_item_ids):
        raise InputError("new items need both: --new-items and --new-item-ids")
    if (place / CARD).exists() or is_incomplete(place):
        if new_items:
            raise InputError(f"{place} has no features to compare new items with: recommend them from the checkpoint")
        return exported_folder(place)
    from recbole_mm.serving.trained_model import trained_model  # noqa: PLC0415 - RecBole, which a folder does not need

    trained = trained_model(place, device)
    if not new_items or not new_item_ids:
        return trained
    from recbole_mm.serving.new_items import with_new_items  # noqa: PLC0415 - as above

    return with_new_items(trained, {name: Path(file) for name, file in new_items.items()}, Path(new_item_ids))
