"""The files that an extraction leaves beside its features, and whether they may be written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import replace_text, replaced
from recbole_mm.extraction.card import Card, card_file, write_card


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files of the features in a ``.npy`` file."""

    features: Path

    @property
    def ids(self) -> Path:
        return self.features.with_suffix(".ids")

    @property
    def missing(self) -> Path:
        return self.features.with_suffix(".missing.txt")

    @property
    def parts(self) -> Path:
        """Return the folder of the batches that are finished, for as long as others are not."""
        return self.features.with_name(f".{self.features.stem}.parts")

    @property
    def _begun(self) -> Path:
        return self.parts / "begun"

    def check_absent(self) -> None:
        """Refuse to replace any of them, but for those of an extraction that ended while it wrote them.

        Raises
        ------
        InputError
            One exists.
        """
        if self._begun.is_file():
            return
        for file in (self.features, self.ids, self.missing, card_file(self.features)):
            if file.exists():
                raise InputError(f"{file} exists: choose another --modality, or replace it with --overwrite")

    def write(
        self, table: np.ndarray, ids: Sequence[str], encoding: str, without: Mapping[str, str], card: Card
    ) -> None:
        """Write them all; at no time do rows lie beside the ids of others."""
        self._begun.touch()
        self.ids.unlink(missing_ok=True)
        with replaced(self.features) as partial, partial.open("wb") as stream:
            np.save(stream, table)
        with replaced(self.ids) as partial:
            partial.write_text("".join(f"{item}\n" for item in ids), encoding=encoding, newline="")
        replace_text(self.missing, "".join(f"{item}\t{reason}\n" for item, reason in without.items()))
        write_card(self.features, card)


def check_ids(ids: Iterable[str], encoding: str) -> None:
    """Refuse ids that a file in the dataset's encoding cannot have.

    Raises
    ------
    InputError
        Such an id.
    """
    for item in ids:
        try:
            item.encode(encoding)
        except UnicodeEncodeError as error:
            raise InputError(f"item {item!r} cannot be written in {encoding}: set encoding to utf-8") from error
