"""The files that a layout asks for, found in a folder."""

from __future__ import annotations

from pathlib import Path

from recbole_mm.base.errors import InputError


def only_file(folder: Path, pattern: str) -> Path:
    """Return the one file of a pattern, case ignored.

    Raises
    ------
    InputError
        There is no such folder, or no such file in it, or more than one.
    """
    found = files_in(folder, pattern)
    if not found:
        there = ", ".join(path.name for path in files_in(folder, "*")[:8]) or "nothing"
        raise InputError(f"{folder}: no {pattern}; the folder has {there}")
    if len(found) > 1:
        raise InputError(f"{folder}: {pattern} is {', '.join(path.name for path in found)}: leave one of them there")
    return found[0]


def files_in(folder: Path, *patterns: str) -> list[Path]:
    """Return the files of any of the patterns, maybe none, by name; `InputError` if there is no such folder."""
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {problem}: give the folder that holds the data")
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return [path for path in files if any(Path(path.name.lower()).match(pattern.lower()) for pattern in patterns)]
