"""Pages that lie outside of the site's folder, and links that lead out of it.

A page that consists of ``<!-- page: ../FILE.md -->`` shows that file. A link to a file that the site shows leads to its
page, and a link to another file of the repository becomes its name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
_PAGE = re.compile(r"<!-- page: (\S+) -->")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def shown() -> dict[Path, Path]:
    """Return the files outside of the site's folder that it shows, and the page of each."""
    pages = {file: _PAGE.search(file.read_text(encoding="utf-8")) for file in sorted(DOCS.rglob("*.md"))}
    return {(page.parent / found[1]).resolve(): page for page, found in pages.items() if found}


def outside(text: str) -> str:
    """Return text without its blocks of code."""
    return _BLOCK.sub("", text)


def links(text: str) -> list[str]:
    """Return where the links of a Markdown text lead."""
    return [target for _, _, target in _LINK.findall(outside(text))]


def led(text: str, source: Path, page: Path) -> str:
    """Return the text of a source file with links that are right on a page of the site.

    Parameters
    ----------
    text : str
        Markdown.
    source : Path
        The file that its links start from.
    page : Path
        The page that shows it.
    """
    pages = shown()

    def link(found: re.Match[str]) -> str:
        image, words, target = found.groups()
        path, hash_, anchor = target.partition("#")
        if "://" in target or not path:
            return found[0]
        file = (source.parent / path).resolve()
        file = pages.get(file, file)
        if not image and DOCS not in file.parents:
            return words
        return f"{image}[{words}]({os.path.relpath(file, page.parent)}{hash_}{anchor})"

    parts, start = [], 0
    for block in _BLOCK.finditer(text):
        parts += [_LINK.sub(link, text[start : block.start()]), block[0]]
        start = block.end()
    return "".join([*parts, _LINK.sub(link, text[start:])])


def _read(app: Sphinx, name: str, content: list[str]) -> None:
    page = source = Path(app.env.doc2path(name))
    text = content[0]
    if found := _PAGE.search(text):
        source = (page.parent / found[1]).resolve()
        app.env.note_dependency(str(source))
        text = source.read_text(encoding="utf-8")
    content[0] = led(text, source, page)


def add(app: Sphinx) -> None:
    """Let Sphinx read pages so."""
    app.connect("source-read", _read)
