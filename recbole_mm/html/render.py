"""HTML pages from the templates of this room, which escape every value that is not marked as HTML."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_PAGES = Environment(
    loader=PackageLoader("recbole_mm.html"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(template: str, **values: Any) -> str:
    """Return the page that a template makes of the values; one that it uses and does not get is an error."""
    return _PAGES.get_template(template).render(values)
