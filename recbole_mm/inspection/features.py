"""Numbers of one feature file: norms, copies, zeros and constants, in one pass over its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from recbole_mm.data.features import chunks
from recbole_mm.data.folder import FeatureTable


@dataclass(frozen=True, slots=True)
class Features:
    """What the rows of a feature file hold, before any normalisation.

    Attributes
    ----------
    norms : float64 array (rows,)
        Euclidean length of each row.
    zeros : int array
        Rows of nothing but 0.
    copies : int array (n, 2)
        Rows, ascending, that equal an earlier row, and the first such one; rows of 0 are not among them.
    constant_columns : int array
        Columns with one value in all rows, where there are at least two rows.
    """

    rows: int
    dim: int
    dtype: str
    norms: np.ndarray
    zeros: np.ndarray
    copies: np.ndarray
    constant_columns: np.ndarray


def blocks(table: FeatureTable) -> Iterator[np.ndarray]:
    """Yield the rows of a feature file in order, about a million numbers at a time."""
    for rows in chunks(np.arange(len(table.ids)), table.rows.shape[1]):
        yield table.rows[rows]


def features(parts: Iterable[np.ndarray]) -> Features:
    """Describe the rows of a matrix that comes in parts (rows, dim) of finite numbers, at least one row in all."""
    norms, zeros, contents = [], [], []
    low = high = np.zeros(0)
    dtype, start = "", 0
    for part in parts:
        block = part.astype(np.float64) + 0.0  # no -0.0, whose bytes differ from those of 0.0
        if not start:
            dtype, low, high = str(part.dtype), block[0], block[0]
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        norms.append(np.linalg.norm(block, axis=1))
        zeros.append(start + np.flatnonzero(~block.any(axis=1)))
        contents.append(_hashes(block))
        start += len(block)
    return Features(
        start,
        len(low),
        dtype,
        np.concatenate(norms),
        np.concatenate(zeros),
        _copies(np.concatenate(contents), np.concatenate(zeros)),
        np.flatnonzero(low == high) if start > 1 else np.zeros(0, dtype=np.int64),
    )


def _hashes(block: np.ndarray) -> np.ndarray:
    """Return 64 bits a row: among a million rows two different ones agree with a chance below one in ten million."""
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in block)
    return np.frombuffer(digests, dtype=np.uint64)


def _copies(contents: np.ndarray, zeros: np.ndarray) -> np.ndarray:
    _, first, group = np.unique(contents, return_index=True, return_inverse=True)
    earlier = first[group]
    is_copy = earlier < np.arange(len(contents))
    is_copy[zeros] = False
    rows = np.flatnonzero(is_copy)
    return np.stack([rows, earlier[rows]], axis=1)
