"""An atomic file of interactions as a data frame whose ids are numbers of 4 bytes beside one list of the texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recbole_mm.base.memory import give_back
from recbole_mm.data.atomic import MISSING
from recbole_mm.data.by_columns import batches_of, plain_file


def read_encoded(path: Path, columns: Mapping[str, bool], separator: str, encoding: str) -> pd.DataFrame | None:
    """Return some columns of a file, None where it is not one to be read by columns.

    Parameters
    ----------
    path : Path
        Of the file.
    columns : mapping
        The cells of the header that are read -> whether they are numbers, which become 64-bit floats; text becomes a
        categorical column. What pandas reads as missing is missing.
    separator, encoding : str
        Of the file.
    """
    with plain_file(path, hashed=False) as file:
        header = file.header(separator, encoding)
    if header is None or len(set(header)) < len(header) or not columns.keys() <= set(header):
        return None
    made: dict[str, Any] = {}
    for column in header:
        if column in columns:
            kind, finish = (pa.float64(), _numbers) if columns[column] else (pa.string(), _texts)
            chunks = _column(path, column, kind, separator, encoding)
            if chunks is None:
                return None
            made[column] = finish(chunks)
            give_back()
    return pd.DataFrame(made, copy=False)


def _column(path: Path, column: str, kind: Any, separator: str, encoding: str) -> list[Any] | None:
    """Return a column as arrow arrays, None where it cannot be read; one at a time needs the least memory."""
    with plain_file(path, hashed=False) as file:
        header = file.header(separator, encoding) or []
        try:
            chunks = [batch.column(0) for batch in batches_of(file, header, separator, {column: kind}, missing=MISSING)]
        except pa.ArrowException:
            return None
        return chunks if file.plain else None


def _texts(chunks: list[Any]) -> pd.Categorical:
    """Return the texts (n,) of arrow arrays, which are let go."""
    encoded = pc.dictionary_encode(pa.chunked_array(chunks, type=pa.string()), memory_pool=pa.system_memory_pool())
    chunks.clear()
    texts = encoded.chunk(0).dictionary.to_pylist() if encoded.num_chunks else []
    codes = [chunk.indices for chunk in encoded.chunks]
    del encoded
    return categorical(one_array(codes, np.int32, missing=-1), texts)


def _numbers(chunks: list[Any]) -> np.ndarray:
    return one_array(chunks, np.float64, missing=np.nan)


def categorical(codes: np.ndarray, texts: list[str]) -> pd.Categorical:
    """Return a column (n,) of texts, given by their places in a list of all; -1 is missing."""
    return pd.Categorical.from_codes(codes, categories=pd.Index(np.array(texts, dtype=object), dtype=object))


def one_array(chunks: list[Any], kind: type, missing: float) -> np.ndarray:
    """Return the values (n,) of arrow arrays, which are let go one after the other."""
    end = sum(map(len, chunks))
    values: np.ndarray = np.empty(end, dtype=kind)
    while chunks:
        chunk = pc.fill_null(chunks.pop(), missing)
        values[end - len(chunk) : end] = chunk.to_numpy(zero_copy_only=False)
        end -= len(chunk)
    return values
