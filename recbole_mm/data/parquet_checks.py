"""Interactions in Parquet, refused where they would be misread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recbole_mm.base.errors import InputError
from recbole_mm.base.memory import give_back
from recbole_mm.data.atomic import ID_FIELDS
from recbole_mm.data.by_columns import KNOWN_ROWS, may_be_mistaken
from recbole_mm.data.cache import digests_of
from recbole_mm.data.headers import check_loaded
from recbole_mm.data.ids import mistake_in_id
from recbole_mm.data.one_file import Content
from recbole_mm.data.parquet import (
    ParquetColumn,
    atomic_types,
    column_batches,
    count_rows,
    numbers_in,
    parquet_column,
    parquet_columns,
    row_of,
    texts_in,
)
from recbole_mm.data.parquet_frame import first_invalid

CONTROL = r"[\x00-\x1f\x7f]"  # characters


def check_parquet(path: Path, config: Any) -> Content:
    """Read the loaded columns of a file one after the other, note its digest, and return what it has.

    Raises
    ------
    InputError
        Naming the row, the field and the value.
    """
    columns = parquet_columns(path, config)
    loaded = check_loaded(path, atomic_types(columns), config)
    n_rows = count_rows(path)
    if not n_rows:
        raise InputError(f"{path}: has no rows")
    id_fields = {config[name] for name in ID_FIELDS}
    ids: dict[str, Any] = {}
    times: set[float] = set()
    for field in (field for field in columns if field in loaded):
        column = columns[field]
        column.check(path)
        if column.kind == "token":
            found = _check_tokens(path, column, field, field in id_fields)
            if field in id_fields:
                ids[field] = found
        else:
            _check_numbers(path, column, field, times if field == config["TIME_FIELD"] else None)
        give_back()
    digests_of(config).of(path)
    return Content(ids, times, n_rows)


def all_ids_in_parquet(path: Path, config: Any, field: str) -> Any:
    """Return the ids of a field, each once, as an Arrow array of texts."""
    column = parquet_column(path, config, field)
    found = [texts_in(pc.unique(values)) for values in column_batches(path, column)]
    return pc.unique(pa.chunked_array(found, type=pa.string()))


def _check_tokens(path: Path, column: ParquetColumn, field: str, is_id: bool) -> Any:
    """Refuse ids that are missing or misread, and tokens with control characters; return the first ones, each once."""
    known: list[Any] = []
    for start, values in _numbered(path, column):
        distinct = texts_in(pc.unique(values))
        wrong = pc.match_substring_regex(distinct, CONTROL)
        if is_id:
            wrong = pc.fill_null(pc.or_(wrong, may_be_mistaken(distinct)), True)
        if pc.any(wrong).as_py():
            row, text = _first(texts_in(values), distinct.filter(wrong))
            raise InputError(f"{row_of(path, start, row)}: {field} {_mistake(text, is_id)}")
        if is_id and start < KNOWN_ROWS:
            known.append(distinct)
    return pc.unique(pa.chunked_array(known, type=pa.string()))


def _first(texts: Any, wrong: Any) -> tuple[int, str | None]:
    """Return the first row whose text is one of those that are wrong, and the text."""
    row = pc.index(pc.is_in(texts, value_set=wrong), True).as_py()
    return row, texts[row].as_py()


def _mistake(text: str | None, is_id: bool) -> str:
    if text is None:
        return "is missing: fill it in, or remove the row"
    named = mistake_in_id(text, "row") if is_id else ""
    return named or f"{text!r} has a control character, such as a tab or a line break, in it: remove it"


def _check_numbers(path: Path, column: ParquetColumn, field: str, times: set[float] | None) -> None:
    """Refuse texts that are no numbers, and times that are missing; of times two are added, one where all are alike."""
    for start, values in _numbered(path, column):
        try:
            numbers = numbers_in(values)
        except pa.ArrowInvalid:
            row, text = first_invalid(values)
            raise InputError(f"{row_of(path, start, row)}: invalid number '{text}' in {field}: correct it") from None
        if times is None:
            continue
        row = pc.index(pc.fill_null(pc.is_finite(numbers), False), False).as_py()
        if row >= 0:
            problem = f"{field} is missing or not finite"
            raise InputError(f"{row_of(path, start, row)}: {problem}: fill in a number, or remove the row")
        if len(times) < 2:
            times.update(pc.unique(numbers).to_pylist()[: 2 - len(times)])


def _numbered(path: Path, column: ParquetColumn) -> Iterator[tuple[int, Any]]:
    """Yield the batches of a column, each with the number of rows before it."""
    start = 0
    for values in column_batches(path, column):
        yield start, values
        start += len(values)
