"""The one exception of the pack for mistakes in data, configuration and commands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where, and what to do."""


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
