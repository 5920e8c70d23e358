"""`recbole-mm inspect`: one screen and one page about a dataset."""

from __future__ import annotations

from pathlib import Path

from recbole_mm.base.errors import InputError
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.configuration.request import Request
from recbole_mm.inspection.dataset_card import dataset_card
from recbole_mm.inspection.inspect_page import inspection_html
from recbole_mm.inspection.inspect_screen import screen
from recbole_mm.inspection.walk import inspect


def main(arguments: Arguments, say: Say) -> int:
    """Look at one dataset; return 1 if a training on it would fail, else 0."""
    known = arguments.options
    files = (known.config_files or "").split()
    found = inspect(Request(known.model or "", known.name, files, arguments.settings))
    say(screen(found))
    file = Path(known.out or f"inspect-{known.name}.html")
    _write(file, inspection_html(found))
    say(f"\nThe page with the plots is {file}")
    if known.card:
        card = file.with_suffix(".md")
        _write(card, dataset_card(found))
        say(f"The card is {card}")
    return 1 if found.problems.errors else 0


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out={file}: cannot be written ({error.strerror})") from error
