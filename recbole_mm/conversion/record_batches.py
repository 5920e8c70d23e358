"""Tables on disk, csv or Parquet, as a stream of record batches that know their lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from tqdm import tqdm

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.conversion.lines import explain, line_of
from recbole_mm.conversion.values import Check, Where
from recbole_mm.data.atomic import head_of, is_parquet
from recbole_mm.data.parquet import readable_parquet, row_of

SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t"}
_BLOCK = 1 << 20  # bytes of a csv parsed at a time; Arrow reads some thirty ahead
_ROWS = 1 << 17  # rows of a Parquet file read at a time
_SHOWN_FROM = 1 << 23  # bytes: smaller files get no progress bar

Field = tuple[str, Check]  # a column of the file, and what its values must be


@dataclass(frozen=True, slots=True)
class _Rows:
    batch: pa.RecordBatch
    where: Where


def column_names(file: Path) -> list[str]:
    """Return the columns of a `.csv`, `.tsv`, `.inter` or `.parquet` file.

    Raises
    ------
    InputError
        On a file that cannot be read, an empty one, one with other separators, and a duplicate column.
    """
    names = list(_schema(file).names) if is_parquet(file) else _header(file)
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{file}: duplicate column '{twice[0]}': rename one")
    return names


def find_column(file: Path, names: Sequence[str], usual: Sequence[str], option: str) -> str:
    """Return the column with the first of the usual names, whatever its case; else raise `InputError`."""
    by_plain = {_plain(name): name for name in reversed(names)}
    for name in usual:
        if _plain(name) in by_plain:
            return by_plain[_plain(name)]
    there = ", ".join(names)
    close = next((text for name in usual if (text := nearest(name, names))), "")
    advice = f" Or name the column with {option}." if option else ""
    raise InputError(f"{head_of(file)}: no column {usual[0]}; the columns are {there}.{close}{advice}")


def has_column(names: Sequence[str], usual: Sequence[str]) -> bool:
    return not {_plain(name) for name in names}.isdisjoint(map(_plain, usual))


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "").replace(" ", "")


def checked_batches(file: Path, fields: Mapping[str, Field]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table as texts, a column each field, behind a progress bar if the file is large.

    Raises
    ------
    InputError
        On a missing column, and naming the line (of a Parquet file the row, from 1) on a row with more or
        fewer cells than the header, on text in another encoding, and on what the checks refuse.
    """
    names = column_names(file)
    for column, _ in fields.values():
        if column not in names:
            raise InputError(f"{head_of(file)}: no column {column}; the columns are {', '.join(names)}.")
    columns = list(dict.fromkeys(column for column, _ in fields.values()))
    for rows in (_parquet_rows if is_parquet(file) else _csv_rows)(file, columns):
        yield pa.RecordBatch.from_arrays(
            [check(rows.batch[column], column, rows.where) for column, check in fields.values()], names=list(fields)
        )


def _schema(file: Path) -> pa.Schema:
    with readable_parquet(file):
        return pa.parquet.read_schema(file)


def _parquet_rows(file: Path, columns: Sequence[str]) -> Iterator[_Rows]:
    with readable_parquet(file), pa.parquet.ParquetFile(file) as table:
        total, start = table.metadata.num_rows, 0
        with tqdm(total=total, unit="row", unit_scale=True, desc=file.name, disable=_is_small(file)) as bar:
            for batch in table.iter_batches(_ROWS, columns=list(columns)):
                yield _Rows(batch, partial(row_of, file, start))
                start += len(batch)
                bar.update(len(batch))


def _line(file: Path, separator: str, start: int, row: int) -> str:
    return line_of(file, separator, start + row)


def _header(file: Path) -> list[str]:
    separator = SEPARATORS[file.suffix.lower()]
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            names = next(filter(None, csv.reader(lines, delimiter=separator)), [])
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        explain(file, separator, error)
    if not names:
        raise InputError(f"{file}: is empty; a header and rows are needed")
    if len(names) == 1:
        known = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "pipes"}
        other = next((name for text, name in known.items() if text in names[0]), None)
        found = f"looks separated by {other}" if other else f"has one column, '{names[0]}'"
        raise InputError(
            f"{file}, line 1: {found}; {file.suffix} files are separated by {known[separator]}: convert it"
        )
    return names


def _csv_rows(file: Path, columns: Sequence[str]) -> Iterator[_Rows]:
    separator, start = SEPARATORS[file.suffix.lower()], 0
    text = {column: pa.string() for column in columns}
    size = file.stat().st_size
    bar = tqdm(total=size, unit="B", unit_scale=True, desc=file.name, disable=_is_small(file))
    with bar, file.open("rb") as stream:
        try:
            reader = pa.csv.open_csv(
                stream,
                read_options=pa.csv.ReadOptions(block_size=_BLOCK),
                parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
                convert_options=pa.csv.ConvertOptions(column_types=text, include_columns=list(columns)),
            )
            while (batch := _next(reader)) is not None:
                yield _Rows(batch, partial(_line, file, separator, start))
                start += len(batch)
                bar.update(stream.tell() - bar.n)
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            explain(file, separator, error)


def _next(reader: pa.csv.CSVStreamingReader) -> pa.RecordBatch | None:
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None


def _is_small(file: Path) -> bool:
    return file.stat().st_size < _SHOWN_FROM
