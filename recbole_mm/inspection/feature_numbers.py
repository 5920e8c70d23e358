"""Numbers of one feature file: norms, copies, zeros and constants, in one pass over its rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from recbole_mm.data.feature_table import Blocks, FeatureTable


@dataclass(frozen=True, slots=True)
class Features:
    """What the rows of a feature file hold, before any normalisation.

    Attributes
    ----------
    norms : float64 array (rows,)
        Euclidean length of each row.
    zeros : int array
        Rows of nothing but 0.
    rows : int
        Those that hold numbers; an item without any has none, and rows are numbered as in the file.
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


def number_type(table: FeatureTable) -> str:
    """Return the type of the numbers in a feature file, empty where it has no row."""
    return next((str(values.dtype) for _, values in table.read()), "")


def features(blocks: Blocks, dtype: str) -> Features | None:
    """Describe the rows of a table that come with their numbers, block by block; None where there is no row."""
    rows, norms, contents, low, high = [], [], [], [], []
    for numbers, values in blocks:
        block = values.astype(np.float64) + 0.0  # no -0.0, whose bytes differ from those of 0.0
        rows.append(numbers)
        norms.append(np.linalg.norm(block, axis=1))
        contents.append(_hashes(block))
        low.append(block.min(axis=0))
        high.append(block.max(axis=0))
    if not rows:
        return None
    number, length = np.concatenate(rows), np.concatenate(norms)
    is_zero = length == 0
    is_constant = np.min(low, axis=0) == np.max(high, axis=0)
    return Features(
        rows=len(number),
        dim=len(is_constant),
        dtype=dtype,
        norms=length,
        zeros=number[is_zero],
        copies=number[_copies(np.concatenate(contents), is_zero)],
        constant_columns=np.flatnonzero(is_constant & (len(number) > 1)),
    )


def _hashes(block: np.ndarray) -> np.ndarray:
    """Return 64 bits a row: among a million rows two different ones agree with a chance below one in ten million."""
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in block)
    return np.frombuffer(digests, dtype=np.uint64)


def _copies(contents: np.ndarray, is_zero: np.ndarray) -> np.ndarray:
    """Return the places (n, 2) of those that equal an earlier one, and of that one."""
    _, first, group = np.unique(contents, return_index=True, return_inverse=True)
    earlier = first[group]
    places = np.flatnonzero((earlier < np.arange(len(contents))) & ~is_zero)
    return np.stack([places, earlier[places]], axis=1)
