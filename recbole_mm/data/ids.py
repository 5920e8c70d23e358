"""What no id of a user, an item or an entity may be, in files that are converted and in those that are loaded."""

from __future__ import annotations

from recbole_mm.data.atomic import MISSING

PADDING = "[PAD]"  # RecBole's own token with the internal id 0
RESERVED = MISSING | {PADDING}


def mistake_in_id(text: str, row: str = "line") -> str:
    """Return what is wrong with an id and what to do, to follow the name of its field; empty if nothing is.

    Parameters
    ----------
    text : str
        The id.
    row : str
        What a row of the file is called.
    """
    if not text.strip():
        return f"is empty: fill it in, or remove the {row}"
    if text == PADDING:
        return f"'{text}' is RecBole's own name for padding: rename it, e.g. 'id_PAD'"
    if text in MISSING:
        return f"'{text}' would be read as missing and dropped: rename it, e.g. 'id_{text}'"
    if text != text.strip():
        return f"{text!r} has blanks around it: remove them"
    return ""
