"""Times that 64-bit floats do not hold, such as nanoseconds since 1970, as the whole numbers that they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recbole_mm.data.atomic import read_rows

LARGEST = 2**53  # up to here a 64-bit float holds every whole number


def whole_numbers(file: Path, column: str, separator: str, encoding: str | None) -> np.ndarray | None:
    """Return a column of an atomic file as 64-bit integers, None where it holds any other number.

    Parameters
    ----------
    file : Path
        An atomic file.
    column : str
        As the header has it, with the type.
    separator, encoding : str
        Of the file.
    """
    rows = read_rows(file, separator, encoding or "utf-8")
    place = next(rows)[1].index(column)
    try:
        return np.fromiter((int(cells[place]) for _, cells in rows), dtype=np.int64)
    except (ValueError, OverflowError, IndexError):
        return None


def beyond_floats(times: np.ndarray) -> bool:
    """Tell whether some times (n,), read as floats, may have been whole numbers that floats do not hold."""
    return bool(len(times)) and bool(np.nanmax(np.abs(times)) >= LARGEST)
