"""Times that 64-bit floats do not hold, such as nanoseconds since 1970, as the whole numbers that they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recbole_mm.data.atomic import is_parquet, read_rows
from recbole_mm.data.parquet_frame import whole_numbers_in_parquet

LARGEST = 2**53  # up to here a 64-bit float holds every whole number


def whole_numbers(file: Path, config: Any, field: str) -> np.ndarray | None:
    """Return a field of interactions as 64-bit integers, None where it holds any other number.

    Parameters
    ----------
    file : Path
        An atomic file, or one in Parquet.
    config : Config
        Of the dataset.
    field : str
        Of floats.
    """
    if is_parquet(file):
        return whole_numbers_in_parquet(file, config, field)
    rows = read_rows(file, config["field_separator"], config["encoding"] or "utf-8")
    place = next(rows)[1].index(f"{field}:float")
    try:
        return np.fromiter((int(cells[place]) for _, cells in rows), dtype=np.int64)
    except (ValueError, OverflowError, IndexError):
        return None


def beyond_floats(times: np.ndarray) -> bool:
    """Tell whether some times (n,), read as floats, may have been whole numbers that floats do not hold."""
    return bool(len(times)) and bool(np.nanmax(np.abs(times)) >= LARGEST)
