"""A folder that appears whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recbole_mm.base.errors import InputError


@contextmanager
def staged(target: Path, overwrite: bool, source: Path) -> Iterator[Path]:
    """Give a hidden folder beside `target` that becomes it at the end, and is removed on any exception.

    Parameters
    ----------
    target : Path
        The folder to make; its name is the name of the dataset.
    overwrite : bool
        An old dataset in its place is replaced, at the end and at once.
    source : Path
        What is read; it must not lie in what is replaced.

    Raises
    ------
    InputError
        `target` is there and may not be replaced.
    """
    _check(target, overwrite, source)
    made = [parent for parent in target.parents if not parent.exists()]
    hidden = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    old = hidden.with_name(f"{hidden.name}.old")
    try:
        hidden.mkdir(parents=True)
        yield hidden
        _replace(target, hidden, old)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        if target.exists():  # else the old set could not be put back
            shutil.rmtree(old, ignore_errors=True)
        with suppress(OSError):
            for parent in made:
                parent.rmdir()
        raise


def _check(target: Path, overwrite: bool, source: Path) -> None:
    if not target.name or target.name == "..":
        raise InputError(f"--out {target}: its last part is the name of the dataset: --out dataset/NAME")
    if target.parent.exists() and not target.parent.is_dir():
        raise InputError(f"{target.parent} is not a folder: choose another --out")
    if not target.exists() and not target.is_symlink():
        return
    if not overwrite:
        raise InputError(f"{target} exists: choose another --out, or replace it with --overwrite")
    old, new = target.resolve(), source.resolve()
    if old == new or old in new.parents:
        raise InputError(f"{target}: --overwrite would remove the source {source}: choose another --out")
    if target.is_symlink() or not target.is_dir():
        raise InputError(f"{target} is not a folder of its own: choose another --out")
    if any(target.iterdir()) and not any((*target.glob("*.inter"), *target.glob("*.inter.parquet"))):
        raise InputError(f"{target} holds no dataset (*.inter), so --overwrite leaves it: choose another --out")


def _replace(target: Path, hidden: Path, old: Path) -> None:
    if not target.exists():
        hidden.rename(target)
        return
    try:
        target.rename(old)
        hidden.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
