"""The arguments of `recbole-mm models`."""

from __future__ import annotations

from recbole_mm.commands.parser import Parser


def parser() -> Parser:
    """Return the parser."""
    found = Parser("models", "[NAME]", "List the models of the pack and of RecBole, or tell of one.")
    found.add_argument("name", metavar="NAME", nargs="?", default="", help="a model (default: all)")
    return found
