"""Sparse matrices out of pickles, built anew from records and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recbole_mm.base.errors import InputError
from recbole_mm.conversion.pickles import FORMATS, Malformed, Record, array_of, integer_of, load_records, printable


def read_matrix(file: Path) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Read a pickled scipy.sparse matrix or array of the formats csr, csc and coo.

    Returns
    -------
    rows, columns : int64 array (n,)
        The places of what is not zero, in the order of the file.
    shape : (int, int)
        Of the matrix.

    Raises
    ------
    InputError
        On anything else, naming the first thing that a pickle asks for and a matrix does not need.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    try:
        return _matrix(load_records(content))
    except Malformed as error:
        problem = str(error)
    except Exception as error:  # damaged bytes fail in many ways
        problem = f"is damaged or no pickle ({type(error).__name__}: {printable(str(error))})"
    advice = "nothing in it was run. Save the matrix again with pickle.dump(matrix.tocoo(), file)"
    raise InputError(f"{file}: {problem}; {advice}")


def _matrix(found: Any) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    form, state = _form(found)[:3], found.state
    if not isinstance(state, dict):
        raise Malformed("holds a matrix without content")
    shape = _shape(state.get("_shape"))
    data = array_of(state.get("data"))
    if form == "coo":
        places = state.get("coords") or (state.get("row"), state.get("col"))
        if not isinstance(places, tuple) or len(places) != 2:
            raise Malformed("holds no rows and columns")
        rows, columns = (_indices(array, size) for array, size in zip(places, shape, strict=True))
    else:
        major, minor = shape if form == "csr" else shape[::-1]
        rows, columns = _uncompressed(state, major, minor)
        rows, columns = (rows, columns) if form == "csr" else (columns, rows)
        data = data[: len(rows)]
    if not len(rows) == len(columns) == len(data):
        raise Malformed(f"holds {len(rows)} rows, {len(columns)} columns and {len(data)} values")
    if not np.isfinite(data).all():
        raise Malformed("holds values that are not finite")
    return rows[data != 0], columns[data != 0], shape


def _form(found: Any) -> str:
    """Return the name of the matrix class that a record stands for."""
    rebuilt = isinstance(found, Record) and found.name == "_reconstructor" and found.args
    made = found.args[0] if rebuilt else type(found)
    name = getattr(made, "name", "") if isinstance(made, type) and issubclass(made, Record) else ""
    if name not in FORMATS:
        raise Malformed(f"holds no sparse matrix but {name or type(found).__name__}")
    return name


def _shape(found: Any) -> tuple[int, int]:
    if not isinstance(found, tuple) or len(found) != 2:
        raise Malformed("holds no matrix of two dimensions")
    rows, columns = (integer_of(size) for size in found)
    if not (0 < rows < 2**31 and 0 < columns < 2**31):
        raise Malformed(f"holds a matrix of {rows} x {columns}")
    return rows, columns


def _uncompressed(state: dict[str, Any], major: int, minor: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the major and the minor index of each value of a csr or csc matrix."""
    ends = array_of(state.get("indptr"))
    if ends.dtype.kind not in "iu" or len(ends) != major + 1 or ends[0] != 0 or (ends[1:] < ends[:-1]).any():
        raise Malformed("holds an indptr that does not fit its shape")
    indices = array_of(state.get("indices"))
    if len(indices) < int(ends[-1]):
        raise Malformed(f"holds {len(indices)} indices where its indptr has {ends[-1]}")
    counts = ends[1:].astype(np.int64) - ends[:-1].astype(np.int64)
    return np.repeat(np.arange(major), counts), _indices(state.get("indices"), minor)[: int(ends[-1])]


def _indices(found: Any, size: int) -> np.ndarray:
    indices = array_of(found)
    if indices.dtype.kind not in "iu":
        raise Malformed(f"holds indices of type {indices.dtype}")
    if len(indices) and not (indices.min() >= 0 and int(indices.max()) < size):
        raise Malformed(f"holds index {indices.max()} or below zero in a dimension of {size}")
    return indices.astype(np.int64)
