"""Interactions in Parquet as the data frame that their text would be, read column by column."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as kinds_of

from recbole_mm.base.errors import InputError
from recbole_mm.base.memory import give_back
from recbole_mm.data.atomic import MISSING
from recbole_mm.data.encoded import categorical, one_array
from recbole_mm.data.parquet import (
    ParquetColumn,
    column_batches,
    numbers_in,
    parquet_column,
    parquet_columns,
    row_of,
    texts_in,
)


def read_parquet_frame(path: Path, config: Any, fields: Collection[str]) -> pd.DataFrame:
    """Return some fields of a file of interactions, in its order; numbers as 64-bit floats, tokens as categories.

    Raises
    ------
    InputError
        The file cannot be read, or a field holds what is neither texts nor numbers.
    """
    made: dict[str, Any] = {}
    for field, column in parquet_columns(path, config).items():
        if field in fields:
            column.check(path)
            made[field] = _tokens(path, column) if column.kind == "token" else _numbers(path, column)
            give_back()
            pa.default_memory_pool().release_unused()
    return pd.DataFrame(made, copy=False)


def whole_numbers_in_parquet(path: Path, config: Any, field: str) -> np.ndarray | None:
    """Return a column as 64-bit integers, None where it is of another type or not complete."""
    column = parquet_column(path, config, field)
    batches = list(column_batches(path, column)) if kinds_of.is_integer(column.type) else []
    if not batches or any(batch.null_count for batch in batches):
        return None
    try:
        return np.concatenate([batch.cast(pa.int64()).to_numpy() for batch in batches])
    except pa.ArrowInvalid:  # beyond 2**63
        return None


def _tokens(path: Path, column: ParquetColumn) -> pd.Categorical:
    chunks = [_encoded(values) for values in column_batches(path, column)]
    if not chunks:
        return categorical(np.empty(0, dtype=np.int32), [])
    whole = pa.chunked_array(chunks).unify_dictionaries()
    chunks.clear()
    texts = texts_in(whole.chunk(0).dictionary).to_pylist()
    indices = [chunk.indices for chunk in whole.chunks]
    del whole
    codes = one_array(indices, np.int32, missing=-1)
    there = np.array([text is not None and text not in MISSING for text in texts], dtype=bool)
    if not there.all():  # text would read them as missing, too
        codes = np.append(np.where(there, np.cumsum(there) - 1, -1), -1).astype(np.int32)[codes]
        texts = [text for text, known in zip(texts, there, strict=True) if known]
    return categorical(codes, texts)


def _encoded(values: Any) -> Any:
    """Return values as numbers beside a list of them; of whole numbers and texts the list is left as it is."""
    if kinds_of.is_dictionary(values.type):
        return values.cast(pa.dictionary(pa.int32(), values.type.value_type))
    return (values if kinds_of.is_integer(values.type) else texts_in(values)).dictionary_encode()


def _numbers(path: Path, column: ParquetColumn) -> np.ndarray:
    chunks, start = [], 0
    for values in column_batches(path, column):
        try:
            chunks.append(numbers_in(values))
        except pa.ArrowInvalid:
            row, text = first_invalid(values)
            where = row_of(path, start, row)
            raise InputError(f"{where}: invalid number '{text}' in {column.name}: correct it") from None
        start += len(values)
    return one_array(chunks, np.float64, missing=np.nan)


def first_invalid(values: Any) -> tuple[int, Any]:
    """Return the row of the first value that is no number, and the value."""
    for row in range(len(values)):
        try:
            numbers_in(values.slice(row, 1))
        except pa.ArrowInvalid:
            return row, values[row].as_py()
    raise ValueError("all are numbers")
