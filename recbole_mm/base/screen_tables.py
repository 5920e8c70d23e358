"""Tables for the screen that keep within its width."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

GAP = 2  # columns between two columns of a table
LEAST = 12  # columns that a text is wrapped to
NO_TERMINAL = 120  # columns, where the output is no terminal


def screen_width() -> int:
    """Return the columns of the terminal."""
    return shutil.get_terminal_size((NO_TERMINAL, 0)).columns


def text_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    digits: int = 4,
    right: Sequence[int] = (),
    width: int | None = None,
) -> str:
    """Return a table under a line of dashes; headers are wrapped, and then the widest texts, until it fits.

    Columns of numbers stand to the right, and None is blank.

    Parameters
    ----------
    headers : sequence of str
        A column each.
    rows : sequence of sequences
        Texts and numbers.
    digits : int
        Of a float, behind the point.
    right : sequence of int
        Columns of texts that stand to the right, too.
    width : int, optional
        Columns of the screen; those of the terminal by default.
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(headers)
    numbers = {k for k, column in enumerate(columns) if all(isinstance(value, int | float | None) for value in column)}
    cells = [[_cell(value, digits) for value in row] for row in rows]
    room = (screen_width() if width is None else width) - GAP * (len(headers) - 1)
    widths = _widths(headers, cells, numbers, room)
    lines = [headers, ["-" * size for size in widths], *cells]
    wrapped = [[textwrap.fill(cell, size, break_on_hyphens=False) for cell, size in zip(line, widths, strict=True)]
               for line in lines]  # fmt: skip
    align = ["right" if k in numbers or k in right else "left" for k in range(len(headers))]
    return str(tabulate(wrapped, tablefmt="plain", disable_numparse=True, colalign=align))


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return ""
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _widths(headers: Sequence[str], cells: Sequence[Sequence[str]], numbers: set[int], room: int) -> list[int]:
    """Return the columns that each column takes, the gaps apart."""
    content = [max((len(row[k]) for row in cells), default=0) for k in range(len(headers))]
    widths = [max(inner, len(header), 1) for inner, header in zip(content, headers, strict=True)]
    if sum(widths) <= room:
        return widths
    heads = [_longest_word([header]) for header in headers]
    widths = [max(inner, head, 1) for inner, head in zip(content, heads, strict=True)]
    texts = [k for k in range(len(headers)) if k not in numbers]
    words = {k: _longest_word([row[k] for row in cells]) for k in texts}
    for least in (words, dict.fromkeys(texts, LEAST)):  # words are broken where nothing else helps
        while sum(widths) > room:
            wide = [k for k in texts if widths[k] > max(LEAST, heads[k], least[k])]
            if not wide:
                break
            widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _longest_word(texts: Sequence[str]) -> int:
    return max((len(word) for text in texts for word in text.split()), default=0)
