"""A dataset's folder and its atomic files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.data.atomic import TYPES, Columns, Row, parse_header, read_rows
from recbole_mm.data.cache import Digests, digests_of

SPLIT_NAMES = ("train", "valid", "test")  # of data that come split, as we write them


@dataclass(frozen=True, slots=True)
class DatasetFolder:
    """Where a dataset lies and how its atomic files are written; the fields are named as RecBole's keys.

    Attributes
    ----------
    items : sequence of str or None
        The ids in the item file, where they are known already.
    digests : Digests
        Of files that are read.
    """

    path: Path
    name: str
    item_field: str = "item_id"
    field_separator: str = "\t"
    seq_separator: str = " "
    encoding: str = "utf-8"
    items: Sequence[str] | None = field(default=None, compare=False, repr=False)
    digests: Digests = field(default_factory=Digests, compare=False, repr=False)

    @property
    def item_file(self) -> Path:
        return self.path / f"{self.name}.item"

    def item_ids(self) -> list[str]:
        """Return the ids of ``<dataset>.item`` in the order of the file.

        Raises
        ------
        InputError
            On a file that cannot be read, a header without the item field, or a line without it.
        """
        if self.items is not None:
            return list(self.items)
        columns, rows = self.read(self.item_file)
        place = place_of(self.item_file, columns, self.item_field)
        ids = []
        for number, cells in rows:
            if len(cells) <= place:
                raise InputError(f"{self.item_file}, line {number}: no column {self.item_field}.")
            ids.append(cells[place])
        return ids

    def read(self, file: Path) -> tuple[Columns, Iterator[Row]]:
        """Return the columns of an atomic file, and its rows one after the other."""
        rows = self._rows(file)
        columns, wrong = parse_header(next(rows, (1, [""]))[1])
        if wrong is not None:
            raise InputError(
                f"{file}, line 1: column '{wrong[:80]}' is not NAME:TYPE, TYPE one of {', '.join(TYPES)}, or "
                "a duplicate. Give a .npy file, or an atomic file, whose header has such columns "
                f"between {self.field_separator!r}."
            )
        return columns, rows

    def _rows(self, file: Path) -> Iterator[Row]:
        """Yield the header, and the rows that have anything in any cell."""
        with errors_named(file, self.encoding):
            for number, cells in read_rows(file, self.field_separator, self.encoding, self.digests):
                if number == 1 or any(map(str.strip, cells)):
                    yield number, cells


def folder_of(config: Any) -> DatasetFolder:
    """Return the folder of the dataset that RecBole's configuration names."""
    return DatasetFolder(
        path=Path(config["data_path"]),
        name=config["dataset"],
        item_field=config["ITEM_ID_FIELD"],
        field_separator=config["field_separator"],
        seq_separator=config["seq_separator"],
        encoding=config["encoding"] or "utf-8",
        digests=digests_of(config),
    )


@contextmanager
def errors_named(file: Path, encoding: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error}).") from error
    except UnicodeError as error:  # of UTF-16 without a byte-order mark it is no UnicodeDecodeError
        reason = getattr(error, "reason", error)
        raise InputError(
            f"{file}: not valid {encoding} ({reason}). Features in binary form must be a .npy, "
            ".npz, .safetensors or .parquet file; text in another encoding needs `encoding:`."
        ) from error


def place_of(file: Path, header: Columns, field: str, kind: str = "token") -> int:
    if header.get(field) != kind:
        known = [column for column in header if header[column] == kind]
        raise InputError(
            f"{file}, line 1: no column {field}:{kind}; columns of this type: {', '.join(known) or 'none'}."
            f"{nearest(field, known)}"
        )
    return list(header).index(field)
