"""Lists as a table: a row for each user and rank, written batch by batch."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
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

MoreColumns = Mapping[str, tuple[pa.DataType, np.ndarray | None]]  # by name


class ListWriter(ABC):
    """Takes lists batch by batch."""

    @abstractmethod
    def write(self, table: pa.Table) -> None:
        """Add rows of `list_table`."""

    @abstractmethod
    def close(self) -> None:
        """End the file."""


def list_table(
    fields: tuple[str, str],
    users: np.ndarray,
    items: np.ndarray,
    scores: np.ndarray,
    more: MoreColumns | None = None,
) -> pa.Table:
    """Return a row for each user and rank.

    Parameters
    ----------
    fields : pair of str
        The columns of the user and of the item.
    users : array of str (n,)
    items : array of str or None (n, k)
        None behind a list that is shorter.
    scores : float array (n, k)
    more : mapping of str to type and array (n, k), optional
        Other columns; one without an array has no values.
    """
    there = items != None  # noqa: E711 - element by element
    n, k = items.shape
    rank = np.broadcast_to(np.arange(1, k + 1), (n, k))
    columns = {
        fields[0]: pa.array(np.repeat(users, k).reshape(n, k)[there].astype(str), pa.string()),
        "rank": pa.array(rank[there].astype(np.int32)),
        fields[1]: pa.array(items[there].astype(str), pa.string()),
        "score": pa.array(scores[there].astype(np.float32)),
    }
    for name, (kind, values) in (more or {}).items():
        columns[name] = pa.nulls(int(there.sum()), kind) if values is None else pa.array(values[there], kind)
    return pa.table(columns)


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
    """A line a user: its id, its items, their scores, and what else is said of them, each a list."""

    def __init__(self, file: Path) -> None:
        self.stream = file.open("w", encoding="utf-8")

    def write(self, table: pa.Table) -> None:
        user, _, item, score, *others = table.column_names
        users = np.array(table.column(user).to_pylist(), dtype=object)
        keys = {f"{item}s": item, f"{score}s": score} | {name: name for name in others}
        values = {key: table.column(name).to_pylist() for key, name in keys.items()}
        starts = [0, *(np.flatnonzero(users[1:] != users[:-1]) + 1).tolist(), len(users)]
        for first, end in pairwise(starts):
            if end > first:
                row = {user: users[first]} | {key: column[first:end] for key, column in values.items()}
                self.stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self.stream.close()
