"""Files that are replaced in one step, the old or the new and never half of it; folders with one writer at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from recbole_mm.base.errors import InputError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a path beside this one to write to, which takes its place at the end of the block, on the disk itself."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield partial
        with partial.open("r+b") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    with suppress(OSError):  # Windows opens no folder, and some network folders flush none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def replace_text(path: Path, text: str) -> Path:
    """Write a file, in a folder that is made where it is missing, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
    return path


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Make a folder where it is missing, and let no other process into this block until it ends or this process does.

    Raises
    ------
    InputError
        Another process is in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise InputError(f"{folder}: another command works in this folder; wait for it, or choose another") from error
    try:
        yield
    finally:
        with suppress(OSError):  # the folder has become read-only
            Path(lock.lock_file).unlink(missing_ok=True)  # whoever has opened it was refused: nobody waits for it
        lock.release()
