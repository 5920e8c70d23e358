"""Lists as a table: a row for each user and rank, written batch by batch."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import replaced

LIST_ENDINGS = (".parquet", ".csv", ".jsonl")


class ListWriter(ABC):
    """Takes lists batch by batch."""

    @abstractmethod
    def write(self, table: pa.Table) -> None:
        """Add rows of `list_table`."""

    @abstractmethod
    def close(self) -> None:
        """End the file."""


def list_table(fields: tuple[str, str], users: np.ndarray, items: np.ndarray, scores: np.ndarray) -> pa.Table:
    """Return a row for each user and rank.

    Parameters
    ----------
    fields : pair of str
        The columns of the user and of the item.
    users : array of str (n,)
    items : array of str or None (n, k)
        None behind a list that is shorter.
    scores : float array (n, k)
    """
    there = items != None  # noqa: E711 - element by element
    n, k = items.shape
    rank = np.broadcast_to(np.arange(1, k + 1), (n, k))
    columns: dict[str, Any] = {
        fields[0]: np.repeat(users, k).reshape(n, k)[there].astype(str),
        "rank": rank[there].astype(np.int32),
        fields[1]: items[there].astype(str),
        "score": scores[there].astype(np.float32),
    }
    types = pa.string(), pa.int32(), pa.string(), pa.float32()
    arrays = [pa.array(values, kind) for values, kind in zip(columns.values(), types, strict=True)]
    return pa.table(dict(zip(columns, arrays, strict=True)))


def check_list_file(file: Path) -> None:
    """Refuse a file that lists cannot be written to.

    Raises
    ------
    InputError
        The ending is none that can be written, or the folder is not there.
    """
    if file.suffix not in LIST_ENDINGS:
        raise InputError(f"--out={file}: ends in none of {', '.join(LIST_ENDINGS)}")
    if not file.parent.is_dir():
        raise InputError(f"--out={file}: the folder {file.parent} does not exist")


@contextmanager
def list_file(file: Path) -> Iterator[ListWriter]:
    """Give a writer of a file, which is there when the block has ended without an error; see `check_list_file`."""
    check_list_file(file)
    kinds: dict[str, Callable[[Path], ListWriter]] = {".parquet": _Parquet, ".csv": _Csv, ".jsonl": _JsonLines}
    with replaced(file) as partial:
        writer = kinds[file.suffix](partial)
        try:
            yield writer
        finally:
            writer.close()


class _Arrow(ListWriter):
    """Opens pyarrow's writer with the first rows, whose schema it needs."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.writer: Any = None

    @abstractmethod
    def opened(self, schema: pa.Schema) -> Any:
        """Return pyarrow's writer."""

    def write(self, table: pa.Table) -> None:
        if self.writer is None:
            self.writer = self.opened(table.schema)
        self.writer.write_table(table)

    def close(self) -> None:
        if self.writer is None:  # nobody has a list
            self.file.write_bytes(b"")
        else:
            self.writer.close()


class _Parquet(_Arrow):
    def opened(self, schema: pa.Schema) -> Any:
        return pyarrow.parquet.ParquetWriter(self.file, schema)


class _Csv(_Arrow):
    def opened(self, schema: pa.Schema) -> Any:
        return pyarrow.csv.CSVWriter(self.file, schema)


class _JsonLines(ListWriter):
    """A line a user: its id, its items and their scores."""

    def __init__(self, file: Path) -> None:
        self.stream = file.open("w", encoding="utf-8")

    def write(self, table: pa.Table) -> None:
        user, _, item, _ = table.column_names
        users = np.array(table.column(user).to_pylist(), dtype=object)
        items, scores = table.column(item).to_pylist(), table.column("score").to_pylist()
        starts = [0, *(np.flatnonzero(users[1:] != users[:-1]) + 1).tolist(), len(users)]
        for first, end in pairwise(starts):
            if end > first:
                row = {user: users[first], f"{item}s": items[first:end], "scores": scores[first:end]}
                self.stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self.stream.close()
