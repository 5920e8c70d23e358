"""Sparse matrices out of pickles, without running anything that a pickle asks for.

The unpickler knows a list of names and puts a stand-in for each, which keeps what it is called with and does nothing.
The matrix is then built anew from these records, every part of it checked.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from recbole_mm.errors import InputError

_OPERATIONS = 1000  # a pickled matrix takes fewer than 200
_MEMO = ("PUT", "BINPUT", "LONG_BINPUT")
_EXTENSION = ("EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID")
_FORMATS = tuple(f"{form}_{kind}" for form in ("csr", "csc", "coo") for kind in ("matrix", "array"))
_ADMITTED = frozenset(
    {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
    | {(module, "_reconstructor") for module in ("copyreg", "copy_reg")}
    | {(module, name) for module in ("builtins", "__builtin__") for name in ("object", "bytes")}
    | {(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")}
    | {(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}
    | {("scipy.sparse", name) for name in _FORMATS}
    | {(f"scipy.sparse.{mark}{name[:3]}", name) for name in _FORMATS for mark in ("", "_")}
)


class Malformed(Exception):
    """What a pickle holds is no matrix; the message says why."""


class _Record:
    """Stand-in for a class or function: keeps the arguments and the state that the pickle gives it."""

    name = ""

    def __new__(cls, *args: Any, **_: Any) -> _Record:
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __init__(self, *_: Any, **__: Any) -> None:
        self.args: tuple[Any, ...]
        self.state: Any

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Record]:
        if (module, name) not in _ADMITTED:
            raise Malformed(f"asks for {_printable(f'{module}.{name}')}, which has no part in a csr, csc or coo matrix")
        return type(name, (_Record,), {"name": name})


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
        _check_operations(content)
        return _matrix(_Unpickler(io.BytesIO(content), encoding="latin1").load())
    except Malformed as error:
        problem = str(error)
    except Exception as error:  # damaged bytes fail in many ways
        problem = f"is damaged or no pickle ({type(error).__name__}: {_printable(str(error))})"
    advice = "nothing in it was run. Save the matrix again with pickle.dump(matrix.tocoo(), file)"
    raise InputError(f"{file}: {problem}; {advice}")


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:100]


def _check_operations(content: bytes) -> None:
    """Read the operations without doing them: few, complete, none that takes objects from elsewhere."""
    with warnings.catch_warnings(action="ignore"):  # of odd letters in texts
        for count, (operation, argument, _) in enumerate(pickletools.genops(content), start=1):
            if operation.name in _EXTENSION:
                raise Malformed(f"asks for an object kept elsewhere ({operation.name})")
            if count > _OPERATIONS or (operation.name in _MEMO and int(argument or 0) > _OPERATIONS):
                raise Malformed("is too involved for a matrix")


def _matrix(found: Any) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    form, state = _form(found)[:3], found.state
    if not isinstance(state, dict):
        raise Malformed("holds a matrix without content")
    shape = _shape(state.get("_shape"))
    data = _array(state.get("data"))
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
    if isinstance(found, _Record) and found.name == "_reconstructor" and found.args:
        made = found.args[0]
    else:
        made = type(found)
    name = getattr(made, "name", "") if isinstance(made, type) and issubclass(made, _Record) else ""
    if name not in _FORMATS:
        raise Malformed(f"holds no sparse matrix but {name or type(found).__name__}")
    return name


def _shape(found: Any) -> tuple[int, int]:
    if not isinstance(found, tuple) or len(found) != 2:
        raise Malformed("holds no matrix of two dimensions")
    rows, columns = (_integer(size) for size in found)
    if not (0 < rows < 2**31 and 0 < columns < 2**31):
        raise Malformed(f"holds a matrix of {rows} x {columns}")
    return rows, columns


def _integer(found: Any) -> int:
    if isinstance(found, _Record) and found.name == "scalar" and len(found.args) == 2:
        number = np.frombuffer(_bytes(found.args[1]), _dtype(found.args[0]))
        found = number[0].item() if len(number) == 1 else None
    if type(found) is not int:
        raise Malformed("holds a shape that is not of integers")
    return found


def _uncompressed(state: dict[str, Any], major: int, minor: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the major and the minor index of each value of a csr or csc matrix."""
    ends = _array(state.get("indptr"))
    if ends.dtype.kind not in "iu" or len(ends) != major + 1 or ends[0] != 0 or (ends[1:] < ends[:-1]).any():
        raise Malformed("holds an indptr that does not fit its shape")
    indices = _array(state.get("indices"))
    if len(indices) < int(ends[-1]):
        raise Malformed(f"holds {len(indices)} indices where its indptr has {ends[-1]}")
    counts = ends[1:].astype(np.int64) - ends[:-1].astype(np.int64)
    return np.repeat(np.arange(major), counts), _indices(state.get("indices"), minor)[: int(ends[-1])]


def _indices(found: Any, size: int) -> np.ndarray:
    indices = _array(found)
    if indices.dtype.kind not in "iu":
        raise Malformed(f"holds indices of type {indices.dtype}")
    if len(indices) and not (indices.min() >= 0 and int(indices.max()) < size):
        raise Malformed(f"holds index {indices.max()} or below zero in a dimension of {size}")
    return indices.astype(np.int64)


def _array(found: Any) -> np.ndarray:
    """Build the one-dimensional array that a record stands for."""
    if not isinstance(found, _Record):
        raise Malformed(f"holds {type(found).__name__} instead of an array")
    if found.name == "_frombuffer" and len(found.args) == 4:
        raw, dtype, shape, _ = found.args
    elif found.name == "_reconstruct" and isinstance(found.state, tuple) and len(found.state) == 5:
        _, shape, dtype, _, raw = found.state
    else:
        raise Malformed(f"holds {found.name} instead of an array")
    if not isinstance(shape, tuple) or len(shape) != 1:
        raise Malformed("holds an array that is not of one dimension")
    content, numpy_dtype, length = _bytes(raw), _dtype(dtype), _integer(shape[0])
    if length < 0 or len(content) != length * numpy_dtype.itemsize:
        raise Malformed(f"holds {len(content)} bytes for {length} numbers of type {numpy_dtype}")
    return np.frombuffer(content, numpy_dtype)


def _dtype(found: Any) -> np.dtype:
    letters, order = "", "="
    if isinstance(found, _Record) and found.name == "dtype" and found.args:
        letters = found.args[0]
        order = found.state[1] if isinstance(found.state, tuple) and len(found.state) > 1 else order
    known = isinstance(letters, str) and re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248])", letters)
    if not known or order not in ("<", ">", "|", "="):
        raise Malformed("holds an array that is not of plain numbers")
    return np.dtype(letters if letters[0] in "<>|=" else f"{order}{letters}")


def _bytes(found: Any) -> bytes:
    if isinstance(found, _Record) and found.name == "encode" and found.args and isinstance(found.args[0], str):
        found = found.args[0]
    if isinstance(found, _Record) and found.name == "bytes" and not found.args:
        return b""
    if isinstance(found, str):
        found = found.encode("latin1")  # how Python 2, and protocols below 3, keep bytes
    if not isinstance(found, bytes | bytearray):
        raise Malformed(f"holds {type(found).__name__} instead of bytes")
    return bytes(found)
