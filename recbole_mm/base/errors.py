"""The pack's exceptions: for mistakes in data, configuration and commands, and for commands that were interrupted."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where, and what to do."""


class Unfinished(Exception):
    """A command was interrupted from the keyboard; what is finished is kept in `folder`, from which it goes on."""

    def __init__(self, when: str, folder: str | Path) -> None:
        super().__init__(f"interrupted {when}")
        self.folder = folder


def check_plain_name(option: str, name: str) -> None:
    """Refuse a name that would lead out of the folder in which something of this name is made.

    Raises
    ------
    InputError
        The name is empty, hidden, or has a part that is a folder.
    """
    if not name or name.startswith(".") or any(letter in '/\\:*?"<>|' or not letter.isprintable() for letter in name):
        raise InputError(
            f"{option} is {name!r}: it must be a name alone, without folders, such as letters, digits, _ and -"
        )


def first_line(error: Exception) -> str:
    """Return the first line of what a library says."""
    return str(error).strip().split("\n")[0]


def number_of(count: int, noun: str) -> str:
    """Return `1 run` or `2 runs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return `` Did you mean 'X'?`` for the known name closest to `name`, or an empty string.

    Parameters
    ----------
    name : str
        What was typed.
    known : iterable of str
        The valid names; case is ignored in the comparison and kept in the answer.
    cutoff : float
        How alike they must be, from 0 to 1.
    """
    close = near(name, known, 1, cutoff)
    return f" Did you mean '{close[0]}'?" if close else ""


def near(name: str, known: Iterable[str], n: int, cutoff: float = 0.0) -> list[str]:
    """Return the `n` known names that are closest to `name`, the closest first; parameters are those of `nearest`."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    return [by_lower[close] for close in difflib.get_close_matches(name.lower(), by_lower, n=n, cutoff=cutoff)]
