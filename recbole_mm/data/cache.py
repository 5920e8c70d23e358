"""Results of deterministic computations, kept on disk under a hash of everything they depend on."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import replaced

Arrays = dict[str, np.ndarray]
FileState = tuple[str, int, int]  # see `state_of`

_LOG = logging.getLogger(__name__)
_BLOCK = 1 << 20  # bytes read at a time


@dataclass(frozen=True, slots=True)
class Digests:
    """The sha256 of files that were read, for as long as they do not change."""

    known: dict[FileState, bytes] = field(default_factory=dict)

    def of(self, path: str | os.PathLike[str]) -> bytes:
        """Return the digest of a file, which is read where it is not known.

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        try:
            state = state_of(path)
            if state not in self.known:
                with self.reading(path) as stream:
                    while stream.read(_BLOCK):
                        pass
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
        return self.known[state]

    @contextmanager
    def reading(self, path: str | os.PathLike[str]) -> Iterator[io.BufferedReader]:
        """Open a file to be read once from its beginning; the digest is known where it was read to its end."""
        state = state_of(path)
        with open(path, "rb", buffering=0) as stream:
            hashed = _Hashed(stream)
            yield io.BufferedReader(hashed, _BLOCK)
            if hashed.ended:
                self.known[state] = hashed.content.digest()


class _Hashed(io.RawIOBase):
    """A stream that hashes what is read of it."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self.stream, self.content, self.ended = stream, hashlib.sha256(), False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self.stream.readinto(buffer) or 0
        self.content.update(memoryview(buffer)[:size])
        self.ended = not size
        return size


def digests_of(config: Any) -> Digests:
    """Return the digests of the files that a configuration names, as far as they were read for it."""
    known: Digests = config.__dict__.setdefault("digests", Digests())
    return known


def state_of(path: str | os.PathLike[str]) -> FileState:
    """Return the place of a file, when it was changed last, and its size."""
    path = os.path.realpath(path)
    found = os.stat(path)
    return path, found.st_mtime_ns, found.st_size


def hash_files(paths: Iterable[str | os.PathLike[str]], extra: str = "", digests: Digests | None = None) -> str:
    """Return the sha256 (hex) over the content of the files and the text `extra`.

    Only content and order count: neither the names nor the folders of the files, so that a moved dataset
    keeps its hash.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    total = hashlib.sha256()
    digests = Digests() if digests is None else digests
    for path in paths:
        total.update(digests.of(path))  # of fixed length: no two lists of files run into the same bytes
    total.update(extra.encode())
    return total.hexdigest()


def cache_folder() -> Path:
    """Return ``$RECBOLE_MM_CACHE``, else ``$XDG_CACHE_HOME/recbole-mm``, else ``~/.cache/recbole-mm``."""
    if own := os.environ.get("RECBOLE_MM_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "recbole-mm"


def cached_arrays(
    name: str,
    compute: Callable[[], Arrays],
    files: Iterable[str | os.PathLike[str]] = (),
    parameters: Mapping[str, object] | None = None,
    version: int = 1,
    *,
    digests: Digests | None = None,
) -> Arrays:
    """Return ``compute()``, read from the cache when the same was computed before.

    A cache file that cannot be read is computed again and replaced; a cache folder that cannot be written
    costs a warning in the log, never the result.

    Parameters
    ----------
    name : str
        What is computed; the first part of the file name.
    compute : callable
        Gives named arrays that depend on nothing but `files`, `parameters` and the code; no object arrays.
    files : iterable of paths
        Every file that `compute` reads; their content is part of the key.
    parameters : mapping, optional
        Everything else that changes the result, as values that json can write.
    version : int
        Version of the algorithm; raise it whenever the code gives other numbers.
    digests : Digests, optional
        Of the files, as far as they are known.

    Raises
    ------
    InputError
        If one of `files` cannot be read.
    """
    what = json.dumps({"parameters": parameters or {}, "version": version}, sort_keys=True)
    key = hash_files(files, what, digests)
    file = cache_folder() / f"{name}-{key}.npz"
    arrays = _read(file)
    if arrays is None:
        arrays = compute()
        _write(file, arrays)
    return arrays


def _read(file: Path) -> Arrays | None:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        return None
    except Exception as error:  # broken bytes fail in many ways, and a cache file is only a copy
        _LOG.warning("Cache file %s cannot be read (%s); computing its content again.", file, error)
        return None


def _write(file: Path, arrays: Arrays) -> None:
    if objects := [name for name, array in arrays.items() if array.dtype.hasobject]:
        raise TypeError(f"arrays of Python objects cannot be cached without pickle: {', '.join(objects)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced(file) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        _LOG.warning("Cannot write to the cache folder %s (%s); set RECBOLE_MM_CACHE.", file.parent, error)
