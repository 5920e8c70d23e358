"""The last check of the pages that were built: they load nothing from elsewhere, and their links lead somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from sphinx.application import Sphinx

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
GENERATED = {"genindex.html", "py-modindex.html", "search.html"}


class Page(NamedTuple):
    """What the check has to know of a page."""

    ids: set[str]
    links: list[str]
    loads: list[str]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page(set(), [], [])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.page.ids.update(filter(None, (given.get("id"), given.get("name"))))
        if tag == "a" and given.get("href"):
            self.page.links.append(str(given["href"]))
        if (attribute := LOADED.get(tag)) and given.get(attribute):
            self.page.loads.append(str(given[attribute]))


def read(file: Path) -> Page:
    """Return what the check has to know of a page."""
    reader = _Reader()
    reader.feed(file.read_text(encoding="utf-8"))
    return reader.page


def is_elsewhere(target: str) -> bool:
    """Return whether an address is not in the site."""
    return target.startswith("//") or target.split(":", 1)[0] in {"http", "https", "mailto", "data"}


def problems(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the pages of a folder, a line each."""
    pages = {file.resolve(): read(file) for file in sorted(folder.rglob("*.html"))}
    for file, page in pages.items():
        name = file.relative_to(folder.resolve())
        yield from (
            f"{name} loads {load}" for load in page.loads if is_elsewhere(load) and not load.startswith("data:")
        )
        for link in page.links:
            path, _, anchor = unquote(link).partition("#")
            target = (file.parent / path.partition("?")[0]).resolve() if path else file
            if is_elsewhere(link) or file.name in GENERATED:
                continue
            if not target.exists():
                yield f"{name}: {link} does not exist"
            elif anchor and target in pages and anchor not in pages[target].ids:
                yield f"{name}: {link} has no such anchor"
    for style in folder.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        if "url(http" in text or "url(//" in text or "@import" in text.replace('@import url("basic.css")', ""):
            yield f"{style.relative_to(folder)} loads from elsewhere"


def _check(app: Sphinx, error: Exception | None) -> None:
    from sphinx.errors import SphinxError  # noqa: PLC0415 (the check itself does without Sphinx)

    if error is None and app.builder.format == "html" and (found := list(problems(Path(app.outdir)))):
        raise SphinxError("\n".join(["", *found]))


def add(app: Sphinx) -> None:
    """Check after each build."""
    app.connect("build-finished", _check)
