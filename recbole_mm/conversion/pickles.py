"""Pickles read without running anything that they ask for.

The unpickler knows the names that a pickled csr, csc or coo matrix needs. It puts a record for each, which keeps what
it is called with and does nothing; arrays and numbers are then built anew from the records, every part checked.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

_OPERATIONS = 1000  # a pickled matrix takes fewer than 200
_MEMO = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_EXTENSION = ("EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID")
FORMATS = tuple(f"{form}_{kind}" for form in ("csr", "csc", "coo") for kind in ("matrix", "array"))
_ADMITTED = frozenset(
    {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
    | {(module, "_reconstructor") for module in ("copyreg", "copy_reg")}
    | {(module, name) for module in ("builtins", "__builtin__") for name in ("object", "bytes")}
    | {(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")}
    | {(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}
    | {("scipy.sparse", name) for name in FORMATS}
    | {(f"scipy.sparse.{mark}{name[:3]}", name) for name in FORMATS for mark in ("", "_")}
)


class Malformed(Exception):
    """A pickle holds something else; the message says what."""


class Record:
    """Stand-in for a class or function: keeps the arguments and the state that the pickle gives it."""

    name = ""

    def __new__(cls, *args: Any, **_: Any) -> Record:
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __init__(self, *_: Any, **__: Any) -> None:
        self.args: tuple[Any, ...]
        self.state: Any

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[Record]:
        _check_name(module, name)
        return type(name, (Record,), {"name": name})


def _check_name(module: str, name: str) -> None:
    if (module, name) not in _ADMITTED:
        raise Malformed(f"asks for {printable(f'{module}.{name}')}, which has no part in a csr, csc or coo matrix")


def load_records(content: bytes) -> Any:
    """Return what a pickle holds, with a `Record` in place of every object.

    Raises
    ------
    Malformed
        On the first name that is not known, and on a pickle that is too long for a matrix.
    Exception
        Of any kind, on damaged bytes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd letters in texts
        for count, (operation, argument) in enumerate(_operations(content), start=1):
            if operation in _EXTENSION:
                raise Malformed(f"asks for an object kept elsewhere ({operation})")
            if count > _OPERATIONS or (operation in _MEMO and int(argument or 0) > _OPERATIONS):
                raise Malformed("is too involved for a matrix")
    return _Unpickler(io.BytesIO(content), encoding="latin1").load()


def _operations(content: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the operations of a pickle without doing them, and check the names that stand in them."""
    before: list[Any] = [None, None]  # the last two arguments
    for operation, argument, _ in pickletools.genops(content):
        yield operation.name, argument
        if operation.name in ("GLOBAL", "INST"):
            _check_name(*str(argument).split(" ", 1))
        elif operation.name == "STACK_GLOBAL" and all(isinstance(text, str) for text in before):
            _check_name(*before)
        if operation.name not in _MEMO:
            before = [before[1], argument if "UNICODE" in operation.name else None]


def printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:100]


def integer_of(found: Any) -> int:
    """Return an int, or numpy's that a record stands for; else raise `Malformed`."""
    if isinstance(found, Record) and found.name == "scalar" and len(found.args) == 2:
        number = np.frombuffer(_bytes(found.args[1]), _dtype(found.args[0]))
        found = number[0].item() if len(number) == 1 else None
    if type(found) is not int:
        raise Malformed("holds a shape that is not of integers")
    return found


def array_of(found: Any) -> np.ndarray:
    """Build the one-dimensional array of plain numbers that a record stands for; else raise `Malformed`."""
    if not isinstance(found, Record):
        raise Malformed(f"holds {type(found).__name__} instead of an array")
    if found.name == "_frombuffer" and len(found.args) == 4:
        raw, dtype, shape, _ = found.args
    elif found.name == "_reconstruct" and isinstance(found.state, tuple) and len(found.state) == 5:
        _, shape, dtype, _, raw = found.state
    else:
        raise Malformed(f"holds {found.name} instead of an array")
    if not isinstance(shape, tuple) or len(shape) != 1:
        raise Malformed("holds an array that is not of one dimension")
    content, numpy_dtype, length = _bytes(raw), _dtype(dtype), integer_of(shape[0])
    if length < 0 or len(content) != length * numpy_dtype.itemsize:
        raise Malformed(f"holds {len(content)} bytes for {length} numbers of type {numpy_dtype}")
    return np.frombuffer(content, numpy_dtype)


def _dtype(found: Any) -> np.dtype:
    letters, order = "", "="
    if isinstance(found, Record) and found.name == "dtype" and found.args:
        letters = found.args[0]
        order = found.state[1] if isinstance(found.state, tuple) and len(found.state) > 1 else order
    known = isinstance(letters, str) and re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248])", letters)
    if not known or order not in ("<", ">", "|", "="):
        raise Malformed("holds an array that is not of plain numbers")
    return np.dtype(letters if letters[0] in "<>|=" else f"{order}{letters}")


def _bytes(found: Any) -> bytes:
    if isinstance(found, Record) and found.name == "encode" and found.args and isinstance(found.args[0], str):
        found = found.args[0]
    if isinstance(found, Record) and found.name == "bytes" and not found.args:
        return b""
    if isinstance(found, str):
        found = found.encode("latin1")  # how Python 2, and protocols below 3, keep bytes
    if not isinstance(found, bytes | bytearray):
        raise Malformed(f"holds {type(found).__name__} instead of bytes")
    return bytes(found)
