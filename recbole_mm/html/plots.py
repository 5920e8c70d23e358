"""What the plots of every HTML page share, drawn by plotly.

Plotly reads a little HTML in nearly all of its texts, so what comes from the data is escaped.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

DECADES = 2  # values that span more are drawn on a logarithmic axis
ROW = 300  # pixels of one row of plots


def plotlyjs() -> str:
    """Return the JavaScript of plotly for the head of a page, which then needs no other file."""
    return str(get_plotlyjs())


def plot_html(figure: go.Figure, name: str) -> str:
    """Return the HTML of a plot; `name` is its id in the page."""
    config = {"displaylogo": False, "responsive": True}
    return str(figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=config))


def layout(height: float) -> dict[str, Any]:
    return {"template": "plotly_white", "height": height, "margin": {"l": 60, "r": 20, "t": 30, "b": 50}}


def plain(text: str) -> str:
    """Return the text as plotly has to be given it to show it as it is."""
    return escape(text, quote=False)  # plotly does not know &quot;


def axis_type(low: float, high: float) -> str:
    """Return plotly's `linear` or `log` for values between these two."""
    return "log" if low > 0 and high / low > 10**DECADES else "linear"


def grid(n: int, columns: int, **settings: Any) -> tuple[go.Figure, list[dict[str, int]]]:
    """Return a figure of `n` plots, row by row, and where each is: its `row` and `col`.

    Parameters
    ----------
    settings : dict
        For plotly's `make_subplots`.
    """
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    cells: list[list[dict[str, Any] | None]] = [
        [{} if row * columns + column < n else None for column in range(columns)] for row in range(rows)
    ]
    places = [{"row": place // columns + 1, "col": place % columns + 1} for place in range(n)]
    return make_subplots(rows=rows, cols=columns, specs=cells, **settings), places
