"""Matrices in files, read block by block: ``.npy``, ``.npz`` and ``.safetensors``. Nothing is ever unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from safetensors import safe_open

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.data.cache import Digests, state_of
from recbole_mm.data.feature_table import Blocks, chunks

ZIP = b"PK\x03\x04"  # how an archive begins
FLOATS = {"F16", "F32", "F64", "BF16"}  # number types of a .safetensors file


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix (n_rows, dim) that stays in its file, and the ids of its rows where the file has them, too."""

    n_rows: int
    dim: int
    read: Callable[[], Blocks]
    ids: Sequence[str] | None = None


@contextmanager
def intact(file: Path, form: str) -> Iterator[None]:
    """Turn whatever a library raises over broken bytes into an `InputError` that names the file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # broken bytes fail in many ways
        reason = " ".join(str(error).split()).partition(". ")[0].rstrip(".")[:200] or type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{file}: cannot be read ({error.strerror}).") from error
        raise InputError(
            f"{file}: not a complete {form} file of numbers ({reason}). "
            "Copy it again, or save it as an array of floats."
        ) from error


def read_npy(file: Path, key: str | None = None, digests: Digests | None = None) -> Matrix:
    """Return the matrix of a ``.npy`` file, which is read in one go from its first block to the last, and hashed."""
    with intact(file, ".npy"), file.open("rb") as stream:
        if stream.read(len(ZIP)) == ZIP:
            raise InputError(f"{file}: must hold one matrix of numbers, but holds an archive of arrays: name it .npz.")
        stream.seek(0)
        shape, fortran, dtype = _header(stream, str(file))
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        n_rows, dim = check_matrix(file, dtype, shape)
        start = stream.tell()
        _check_size(file, dtype, shape, file.stat().st_size - start)

    def read() -> Blocks:
        if fortran:  # every block maps the file anew, so that its pages do not pile up
            for rows in chunks(np.arange(n_rows), dim):
                with intact(file, ".npy"):
                    whole = np.memmap(file, dtype, "r", start, shape, "F")
                    yield rows, whole[rows[0] : rows[-1] + 1]
            return
        with intact(file, ".npy"), file.open("rb") as stream:
            state, total = state_of(file), sha256(stream.read(start))
            for rows, values in _rows_of(stream, dtype, n_rows, dim):
                total.update(values.reshape(-1).view(np.uint8).data)
                yield rows, values
            if digests is not None:
                digests.known[state] = total.digest()

    return Matrix(n_rows, dim, read)


def _rows_of(stream: IO[bytes], dtype: np.dtype[Any], n_rows: int, dim: int) -> Blocks:
    """Yield the rows of a matrix that stand one behind the other."""
    for rows in chunks(np.arange(n_rows), dim):
        data = stream.read(len(rows) * dim * dtype.itemsize)
        yield rows, np.frombuffer(data, dtype).reshape(len(rows), dim)


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an array: shape, whether it is stored by columns, type."""
    version = npy.read_magic(stream)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in read_header:
        raise InputError(f"{name} is of version {version} of the .npy format; use 1.0 or 2.0.")
    shape, fortran, dtype = read_header[version](stream)
    return shape, fortran, dtype


def read_npz(file: Path, key: str | None = None, digests: Digests | None = None) -> Matrix:
    """Return the matrix named `key` of a ``.npz`` file, or its only one; an array `ids` has the ids of the rows."""
    with intact(file, ".npz"):
        with np.load(file, allow_pickle=False) as archive:
            names = [name for name in archive.files if name != "ids"]
            ids = _texts(file, archive["ids"]) if "ids" in archive.files else None
        member = f"{_picked(file, key, names)}.npy"
        with _member(file, member) as (_, (shape, fortran, dtype)):
            n_rows, dim = check_matrix(file, dtype, shape)

    def read() -> Blocks:
        with intact(file, ".npz"), _member(file, member) as (stream, _):
            # One behind the other where rows stand one behind the other; a matrix by columns is read as a whole.
            if fortran:
                whole = np.frombuffer(stream.read(), dtype).reshape(shape, order="F")
                yield from ((rows, whole[rows]) for rows in chunks(np.arange(n_rows), dim))
            else:
                yield from _rows_of(stream, dtype, n_rows, dim)
            stream.read(1)  # the checksum of the archive is compared at the end

    return Matrix(n_rows, dim, read, ids)


@contextmanager
def _member(file: Path, name: str) -> Iterator[tuple[IO[bytes], tuple[tuple[int, ...], bool, np.dtype[Any]]]]:
    """Open an array of an archive and read its header: shape, whether it is stored by columns, type."""
    with zipfile.ZipFile(file) as archive, archive.open(name) as stream:
        shape, fortran, dtype = _header(stream, f"{file}: '{name}'")
        if not dtype.hasobject:
            _check_size(file, dtype, shape, archive.getinfo(name).file_size - stream.tell())
        yield stream, (shape, fortran, dtype)


def read_safetensors(file: Path, key: str | None = None, digests: Digests | None = None) -> Matrix:
    """Return the matrix named `key` of a ``.safetensors`` file, or its only one; bfloat16 may be its type."""
    with intact(file, ".safetensors"), safe_open(file, framework="pt") as tensors:
        name = _picked(file, key, list(tensors.keys()))
        found = tensors.get_slice(name)
        kind, shape = found.get_dtype(), tuple(found.get_shape())
    if kind not in FLOATS or len(shape) != 2:
        raise InputError(f"{file}: must hold one matrix of floats, an item a row, but '{name}' is {kind} {shape}.")

    def read() -> Blocks:
        for rows in chunks(np.arange(shape[0]), shape[1]):
            with intact(file, ".safetensors"), safe_open(file, framework="pt") as tensors:
                block = tensors.get_slice(name)[int(rows[0]) : int(rows[-1]) + 1]
                yield rows, (block.float() if kind == "BF16" else block).numpy()

    return Matrix(*shape, read)


READERS = {".npy": read_npy, ".npz": read_npz, ".safetensors": read_safetensors}


def check_matrix(file: Path, dtype: np.dtype[Any], shape: Sequence[int]) -> tuple[int, int]:
    """Return rows and columns of what must be a matrix of numbers, else raise `InputError`."""
    if len(shape) != 2 or dtype.kind not in "biuf":
        raise InputError(f"{file}: must hold one matrix of numbers, an item a row, but holds {dtype} {tuple(shape)}.")
    return shape[0], shape[1]


def _check_size(file: Path, dtype: np.dtype[Any], shape: Sequence[int], nbytes: int) -> None:
    """Refuse a header that does not fit the bytes behind it: a shape that was cut would move the rows."""
    if math.prod(shape) * dtype.itemsize != nbytes:
        raise InputError(
            f"{file}: {nbytes} bytes do not make {dtype} {tuple(shape)}, which its header gives: save it again."
        )


def _picked(file: Path, key: str | None, names: Sequence[str]) -> str:
    if key is None and len(names) == 1:
        return names[0]
    if key is None or key not in names:
        asked = "needs `key:` to pick one array" if key is None else f"has no array '{key}'"
        raise InputError(f"{file}: {asked}; it has {', '.join(names) or 'none'}.{nearest(key or '', names)}")
    return key


def _texts(file: Path, ids: np.ndarray) -> list[str]:
    if ids.ndim != 1 or ids.dtype.kind not in "iuU":
        found = f"{ids.dtype} {ids.shape}"
        raise InputError(f"{file}: the array `ids` must be one text or whole number a row, not {found}.")
    return [str(item) for item in ids.tolist()]
