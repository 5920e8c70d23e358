"""The arguments of `recbole-mm datasets`."""

from __future__ import annotations

from pathlib import Path

from recbole_mm.commands.parser import Parser


def parser() -> Parser:
    """Return the parser."""
    found = Parser(
        "datasets",
        "[NAME [--check=FOLDER]]",
        "List the datasets that convert knows, tell of one, or check the files of one. Nothing is downloaded.",
    )
    found.add_argument("name", metavar="NAME", nargs="?", default="", help="a dataset (default: all)")
    found.add_argument(
        "--check", type=Path, metavar="FOLDER", help="compare the files in a folder with those of the dataset"
    )
    return found
