"""`recbole-mm inspect`: one screen and one page about a data set."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from recbole_mm.base.errors import InputError
from recbole_mm.commands import Say
from recbole_mm.commands.settings import read_settings
from recbole_mm.inspection.page import page
from recbole_mm.inspection.screen import screen
from recbole_mm.inspection.walk import inspect
from recbole_mm.settings.request import Request

USAGE = "recbole-mm inspect NAME [--data_path=dataset/] [--model=MHCR] [--out=FILE.html] [--key=value ...]"


def main(arguments: Sequence[str], say: Say) -> int:
    """Look at one data set; return 1 if a training on it would fail, else 0."""
    parser = argparse.ArgumentParser(
        prog="recbole-mm inspect",
        usage=USAGE,
        allow_abbrev=False,
        epilog="Every setting of a training can be given as --key=value; the data set is seen as that training would.",
    )
    parser.add_argument("name", help="the data set: a folder name in data_path")
    parser.add_argument("--model", default="", help="the model that would be trained (default MHCR)")
    parser.add_argument("--config_files", default="", help="yaml files, separated by spaces")
    parser.add_argument("--out", default="", help="the page (default inspect-NAME.html)")
    known, rest = parser.parse_known_args(arguments)
    found = inspect(Request(known.model, known.name, known.config_files.split(), read_settings(rest)))
    say(screen(found))
    file = Path(known.out or f"inspect-{known.name}.html")
    try:
        file.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out={file}: cannot be written ({error.strerror})") from error
    say(f"\nThe page with the plots is {file}")
    return 1 if found.problems.errors else 0
