"""The arguments of `recbole-mm settings`."""

from __future__ import annotations

from recbole_mm.commands.parser import Parser


def parser() -> Parser:
    """Return the parser."""
    found = Parser(
        "settings",
        "[NAME]",
        "List the settings that every model has, with what they may be and mean, or tell of one.",
        epilog="recbole-mm models NAME lists the parameters of a model.",
    )
    found.add_argument("name", metavar="NAME", nargs="?", default="", help="a setting (default: all)")
    return found
