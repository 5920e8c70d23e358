"""The arguments of `recbole-mm serve`."""

from __future__ import annotations

from recbole_mm.commands.parser import Parser, whole


def parser() -> Parser:
    """Return the parser."""
    found = Parser(
        "serve",
        "FOLDER [--host=127.0.0.1] [--port=8000] [--max-k=200]",
        "Serve an exported folder over HTTP: /recommend, /similar, /health, /metrics. Needs 'recbole-mm[serve]'.",
    )
    found.add_argument("source", metavar="FOLDER", help="a folder that recbole-mm export wrote")
    found.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (default: 127.0.0.1, this machine alone)"
    )
    found.add_argument("--port", type=whole, default=8000, metavar="N", help="(default: 8000)")
    found.add_argument("--max-k", type=whole, default=200, metavar="N", help="longest list (default: 200)")
    return found
