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
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""
