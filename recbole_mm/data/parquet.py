"""Interactions in Parquet: what their columns are, and their values, one column at a time in batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as kinds_of

from recbole_mm.base.errors import InputError, first_line, nearest
from recbole_mm.data.atomic import ID_FIELDS, MISSING, TYPES, Columns

BATCH_ROWS = 1 << 18
READ_AHEAD = 1 << 20  # bytes of a column in its file
MICROSECONDS = 1_000_000
NUMBER_FIELDS = ("RATING_FIELD", "TIME_FIELD", "LABEL_FIELD")  # settings that name a field of numbers


@dataclass(frozen=True, slots=True)
class ParquetColumn:
    """A column of a Parquet file.

    Attributes
    ----------
    name : str
        In the file: `FIELD`, or `FIELD:TYPE`.
    kind : str
        One of RecBole's types.
    type : DataType
        Arrow's.
    """

    name: str
    kind: str
    type: Any

    def check(self, path: Path) -> None:
        """Refuse lists and whatever else is neither a text nor a number a row."""
        if self.kind.endswith("_seq") or not (_is_text(self.type) or _is_number(self.type)):
            field = self.name.partition(":")[0]
            raise InputError(
                f"{path}: '{self.name}' is of type {self.type}, and only one text or number a row is read of Parquet: "
                f"convert the column, or name '{field}' in unload_col"
            )


@contextmanager
def readable_parquet(path: Path) -> Iterator[None]:
    """Turn what Arrow raises over a file into an `InputError` that names it."""
    try:
        yield
    except OSError as error:  # Arrow's for damaged pages, too
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except pa.ArrowException as error:
        raise InputError(f"{path}: not a readable Parquet file ({first_line(error)})") from error


def row_of(path: Path, start: int, row: int) -> str:
    """Return where the row of a batch is that starts behind `start` rows of a file, for messages."""
    return f"{path}, row {start + row + 1}"


def count_rows(path: Path) -> int:
    with readable_parquet(path):
        return int(pq.read_metadata(path).num_rows)


def parquet_columns(path: Path, config: Any) -> dict[str, ParquetColumn]:
    """Return the columns of a file of interactions by field, in its order.

    A column is named as in the header of an atomic file, `rating:float`, or by its field alone. Its type is then that
    of the field in the settings; of other fields, texts are tokens and all else is a number.

    Raises
    ------
    InputError
        The file cannot be read, a field is there twice, or behind the colon is no type.
    """
    with readable_parquet(path):
        schema = pq.read_schema(path)
    ids = {config[name] for name in ID_FIELDS}
    numbers = {config[name] for name in NUMBER_FIELDS}
    found: dict[str, ParquetColumn] = {}
    for name, type_ in zip(schema.names, schema.types, strict=True):
        field, colon, kind = name.partition(":")
        if colon and kind not in TYPES:
            raise InputError(f"{path}: '{name}' has no type of {', '.join(TYPES)}.{nearest(kind, TYPES)}")
        if field in found:
            raise InputError(f"{path}: '{field}' is there twice: rename one of the columns")
        is_token = field in ids or (field not in numbers and _is_text(type_))
        found[field] = ParquetColumn(name, kind or ("token" if is_token else "float"), type_)
    return found


def parquet_column(path: Path, config: Any, field: str) -> ParquetColumn:
    """Return the column of a field, which must be there and hold one text or number a row."""
    columns = parquet_columns(path, config)
    if field not in columns:
        raise InputError(f"{path}: no column '{field}'; the columns are {', '.join(columns)}.{nearest(field, columns)}")
    columns[field].check(path)
    return columns[field]


def atomic_types(columns: dict[str, ParquetColumn]) -> Columns:
    """Return what an atomic file with these columns has in its header."""
    return {field: column.kind for field, column in columns.items()}


def column_batches(path: Path, column: ParquetColumn) -> Iterator[Any]:
    """Yield the values of a column as Arrow's arrays, in the order of the rows; texts are valid UTF-8."""
    start = 0
    with readable_parquet(path), pq.ParquetFile(path, buffer_size=READ_AHEAD) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=[column.name], use_threads=False):
            values = batch[column.name]
            if _is_text(values.type):
                _check_encoding(path, column, start, values)
            yield values
            start += len(values)


def _check_encoding(path: Path, column: ParquetColumn, start: int, values: Any) -> None:
    """Refuse texts, or bytes that are read as texts, of another encoding than UTF-8."""
    encoded = kinds_of.is_dictionary(values.type)
    if _is_utf_8(values.dictionary if encoded else values):
        return
    values = values.dictionary_decode() if encoded else values
    for row in range(len(values)):
        if not _is_utf_8(values.slice(row, 1)):
            found = values.slice(row, 1).cast(pa.binary())[0].as_py()
            where = row_of(path, start, row)
            raise InputError(f"{where}: {found!r} in {column.name} is not valid UTF-8: write the column as text")


def _is_utf_8(values: Any) -> bool:
    try:
        values.cast(pa.string()).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def texts_in(values: Any) -> Any:
    """Return tokens as texts; whole numbers that are kept as floats are written without a point."""
    if kinds_of.is_dictionary(values.type):
        values = values.dictionary_decode()
    if kinds_of.is_floating(values.type):
        values = values.cast(pa.float64())
        values = pc.if_else(pc.is_nan(values), None, values)
        try:
            values = values.cast(pa.int64())
        except pa.ArrowInvalid:
            return values.cast(pa.string())  # not all of them are whole
    return values.cast(pa.string())


def numbers_in(values: Any) -> Any:
    """Return numbers as 64-bit floats; times of Arrow's own types as seconds since 1970.

    Raises
    ------
    ArrowInvalid
        On a text that is no number.
    """
    if kinds_of.is_dictionary(values.type):
        values = values.dictionary_decode()
    if kinds_of.is_temporal(values.type):
        zone = getattr(values.type, "tz", None)
        micros = values.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
        return pc.divide(micros.cast(pa.float64(), safe=False), float(MICROSECONDS))
    if _is_text(values.type):
        values = values.cast(pa.string())
        values = pc.if_else(pc.is_in(values, _array(MISSING)), None, values)
    return values.cast(pa.float64(), safe=False)


def _array(texts: Collection[str]) -> Any:
    return pa.array(sorted(texts), pa.string())


def _is_text(kind: Any) -> bool:
    if kinds_of.is_dictionary(kind):
        return _is_text(kind.value_type)
    tests = ("string", "large_string", "string_view", "binary", "large_binary")
    return any(getattr(kinds_of, f"is_{test}")(kind) for test in tests)


def _is_number(kind: Any) -> bool:
    """Tell whether it is a type of numbers, or of times, which are numbers of seconds."""
    if kinds_of.is_dictionary(kind):
        return _is_number(kind.value_type)
    tests = ("integer", "floating", "decimal", "boolean", "timestamp", "date", "null")
    return any(getattr(kinds_of, f"is_{test}")(kind) for test in tests)
