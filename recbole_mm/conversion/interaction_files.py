"""The files of interactions that a conversion writes batch by batch, as text or as Parquet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from recbole_mm.conversion.source import FIELDS
from recbole_mm.data.atomic import PARQUET

_ATOMIC = pa.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
_GROUP_ROWS = 1 << 18  # of a row group of Parquet


class InteractionFile(ABC):
    """A file of interactions that is made in a `with` block.

    Parameters
    ----------
    path : Path
        Of the text, `NAME.inter`, whatever the form.
    fields : sequence of str
        Names out of `FIELDS`.
    """

    @abstractmethod
    def __init__(self, path: Path, fields: Sequence[str]) -> None: ...

    @abstractmethod
    def __enter__(self) -> InteractionFile: ...

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None: ...

    @abstractmethod
    def write(self, batch: pa.RecordBatch) -> None:
        """Write checked texts, a column each field."""


class AtomicText(InteractionFile):
    """An atomic file."""

    def __init__(self, path: Path, fields: Sequence[str]) -> None:
        self._path, self._fields, self._opened = path, fields, ExitStack()

    def __enter__(self) -> AtomicText:
        stream = self._opened.enter_context(self._path.open("wb"))
        header = "\t".join(f"{field}:{FIELDS[field]}" for field in self._fields)
        stream.write(f"{header}\n".encode())
        schema = pa.schema([(field, pa.string()) for field in self._fields])
        self._writer = self._opened.enter_context(pa.csv.CSVWriter(stream, schema, write_options=_ATOMIC))
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)


class ParquetTable(InteractionFile):
    """The same rows in Parquet, `NAME.inter.parquet`, in row groups of one size.

    Ids are texts and ratings 64-bit floats. Times are 64-bit integers as long as all are whole numbers; at the first
    that is not, the rows so far are written anew with floats, which is how the text would be read.
    """

    def __init__(self, path: Path, fields: Sequence[str]) -> None:
        self._path = path.with_name(f"{path.name}{PARQUET}")
        kinds = {field: pa.string() if FIELDS[field] == "token" else pa.float64() for field in fields}
        self._schema = pa.schema(list((kinds | {"timestamp": pa.int64()} if "timestamp" in kinds else kinds).items()))
        self._waiting: list[pa.RecordBatch] = []

    def __enter__(self) -> ParquetTable:
        self._writer = self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._write_groups(1)
        finally:
            self._writer.close()

    def write(self, batch: pa.RecordBatch) -> None:
        try:
            made = _typed(batch, self._schema)
        except pa.ArrowInvalid:  # a time that is not a whole number
            self._widen()
            made = _typed(batch, self._schema)
        self._waiting.append(made)
        self._write_groups(_GROUP_ROWS)

    def _open(self) -> Any:
        repeated = [name for name in self._schema.names if name != "timestamp"]
        return pa.parquet.ParquetWriter(self._path, self._schema, compression="zstd", use_dictionary=repeated)

    def _write_groups(self, least: int) -> None:
        """Write what waits in row groups, and keep fewer rows than `least`."""
        if sum(map(len, self._waiting)) < least:
            return
        table = pa.Table.from_batches(self._waiting)
        end = len(table) - len(table) % _GROUP_ROWS if least > 1 else len(table)
        self._writer.write_table(table.slice(0, end), row_group_size=_GROUP_ROWS)
        self._waiting = table.slice(end).to_batches()

    def _widen(self) -> None:
        """Write the rows so far anew, with times that are floats."""
        self._writer.close()
        place = self._schema.get_field_index("timestamp")
        self._schema = self._schema.set(place, pa.field("timestamp", pa.float64()))
        self._waiting = [_cast(batch, self._schema) for batch in self._waiting]
        old = self._path.rename(self._path.with_name(f"{self._path.name}.whole"))
        self._writer = self._open()
        with pa.parquet.ParquetFile(old) as rows:
            for batch in rows.iter_batches(_GROUP_ROWS):
                self._writer.write_batch(_cast(batch, self._schema), row_group_size=_GROUP_ROWS)
        old.unlink()


def _typed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return checked texts in the types of a schema; a number that does not fit is an `ArrowInvalid`."""
    columns = [
        pc.utf8_ltrim(column, "+") if kind == pa.int64() else column
        for column, kind in zip(batch.columns, schema.types, strict=True)
    ]  # Arrow reads no sign before whole numbers, and Python does
    return _cast(pa.RecordBatch.from_arrays(columns, names=schema.names), schema)


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [column.cast(kind, safe=False) if pa.types.is_integer(column.type) else column.cast(kind)
               for column, kind in zip(batch.columns, schema.types, strict=True)]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, schema=schema)


INTERACTION_FILES: dict[str, Callable[[Path, Sequence[str]], InteractionFile]] = {
    "text": AtomicText,
    "parquet": ParquetTable,
}
