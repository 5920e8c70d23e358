"""Features by external item id, walked through block by block, so that a table need not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recbole_mm.base.errors import InputError

Blocks = Iterator[tuple[np.ndarray, np.ndarray]]  # row numbers (n,), their values (n, dim)

BLOCK_VALUES = 2**20  # values handled at a time


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """The features of one modality as its source has them.

    Attributes
    ----------
    source : str
        The file, for messages.
    ids : sequence of str
        External item ids, one a row.
    dim : int
        Width of a row.
    read : callable
        Gives the rows from first to last in blocks of any number type; a row that no block has is missing.
    """

    source: str
    ids: Sequence[str]
    dim: int
    read: Callable[[], Blocks]

    @classmethod
    def of(cls, source: str, ids: Sequence[str], rows: np.ndarray) -> FeatureTable:
        """Return the table of an array (n, dim) in memory."""

        def read() -> Blocks:
            for numbers in chunks(np.arange(len(rows)), rows.shape[1]):
                yield numbers, rows[numbers]

        return cls(source, ids, rows.shape[1], read)

    def present(self) -> set[str]:
        """Return the ids of the rows that are there; the numbers are read, but not checked."""
        return {self.ids[row] for rows, _ in self.read() for row in rows}

    def blocks(self) -> Blocks:
        """Yield row numbers (n,) and their values as float32 (n, dim).

        Raises
        ------
        InputError
            After the last block, where a value is no finite float32.
        """
        example, bad = "", 0
        for numbers, values in self.read():
            with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
                block = values.astype(np.float32)
            finite = np.isfinite(block)
            if not finite.all():
                wrong = np.flatnonzero(~finite.all(axis=1))
                row, column = wrong[0], int(finite[wrong[0]].argmin())
                example = example or f"item '{self.ids[numbers[row]]}' has {values[row, column]} in column {column}"
                bad += len(wrong)
            yield numbers, block
        if bad:
            raise InputError(
                f"{self.source}: {example} (from 0), no finite float32; {bad} of {len(self.ids)} rows are affected. "
                "Correct these rows, or remove them: their items then count as missing."
            )


def chunks(rows: np.ndarray, dim: int) -> Iterator[np.ndarray]:
    """Cut the row numbers of a matrix of `dim` columns into pieces of about `BLOCK` values."""
    step = max(1, BLOCK_VALUES // dim)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
