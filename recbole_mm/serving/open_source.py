"""Where lists come from: a checkpoint with its data, or an exported folder."""

from __future__ import annotations

from pathlib import Path

from recbole_mm.serving.export_card import CARD
from recbole_mm.serving.exported_folder import exported_folder
from recbole_mm.serving.scorer import Scorer


def open_source(place: Path, device: str = "") -> Scorer:
    """Return what scores items for users.

    Raises
    ------
    InputError
        The path is none of a checkpoint, the folder of a run or an exported folder, or one that cannot be read.
    """
    if (place / CARD).exists():
        return exported_folder(place)
    from recbole_mm.serving.trained_model import trained_model  # noqa: PLC0415 - RecBole, which a folder does not need

    return trained_model(place, device)
