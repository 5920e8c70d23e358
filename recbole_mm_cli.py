"""The way into the command line: `recbole-mm` and `run_recbole_mm.py`.

Importing `recbole_mm` plugs it into RecBole, which takes torch and pandas. This module puts that off until the
arguments are read, so that help and mistakes come at once.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import sys
from collections.abc import Sequence

if multiprocessing.current_process().name != "MainProcess":  # started by a command, to do a part of its work
    importlib.import_module("recbole_mm")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; see `recbole_mm.commands.cli.main`."""
    if "recbole_mm" not in sys.modules and (spec := importlib.util.find_spec("recbole_mm")):
        sys.modules["recbole_mm"] = importlib.util.module_from_spec(spec)  # found, and executed once it is needed
    return int(importlib.import_module("recbole_mm.commands.cli").main(argv))
