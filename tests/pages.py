"""What a page and a plot hold, as a browser gets them."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import plotly.graph_objects as go
import pytest


class Page(HTMLParser):
    """The tags of a page, its rows of cells, and every text outside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str | None] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value for key, value in attrs if key in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] not in ("script", "style"):
            self.texts.append(data)
            if self.tags[-1] in ("td", "th", "strong", "u", "sup") and data.strip():
                self.rows[-1][-1] += data


def drawn(figure: go.Figure) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the traces and the layout as a browser gets them."""
    found = json.loads(figure.to_json(), parse_constant=pytest.fail)
    return found["data"], found["layout"]
