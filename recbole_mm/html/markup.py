"""The parts that every HTML page of the pack has: its frame, its look, its tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem;
  background: Canvas; color: CanvasText; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .5rem; text-align: right; border-bottom: 1px solid #8885; overflow-wrap: anywhere; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1.5rem 0; } figure img { width: 100%; }
figcaption, caption { color: GrayText; font-size: .9rem; text-align: left; caption-side: bottom; padding-top: .4rem; }
pre { white-space: pre-wrap; font-size: .85rem; margin: .2rem 0; }
li { margin: .5rem 0; overflow-wrap: anywhere; }
.error { color: #d33; font-weight: 600; } .warning { font-weight: 600; }
"""


class Markup(str):
    """HTML, which is not escaped again."""

    __slots__ = ()


def document(title: str, parts: Iterable[str], head: str = "") -> str:
    """Return a page.

    Parameters
    ----------
    title : str
        Plain text.
    parts : iterable of str
        HTML of the body.
    head : str
        HTML after the style, such as a script.
    """
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n{head}</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """Return a table of texts, each plain or `Markup`."""
    head = "".join(f"<th>{_html(cell)}</th>" for cell in header)
    lines = "\n".join("<tr>" + "".join(f"<td>{_html(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<caption>{_html(caption)}</caption>\n<tr>{head}</tr>\n{lines}\n</table>"


def _html(text: str) -> str:
    return text if isinstance(text, Markup) else escape(text)
