"""The way into the command line: `recbole-mm` and `run_recbole_mm.py`.

Importing `recbole_mm` plugs it into RecBole, which takes torch and pandas. This module puts that off until the
arguments are read, so that help and mistakes come at once. Until all modules are loaded, Ctrl-C ends the process with
one line: nothing is begun yet, and libraries make other errors of an interrupt in the midst of their import.
"""

# ruff: noqa: E402 (Ctrl-C comes first)

from __future__ import annotations

import os
import signal


def _end(number: int, frame: object) -> None:
    os.write(2, b"\ninterrupted before anything was done; nothing to resume.\n")
    os._exit(128 + number)


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)

import importlib
import importlib.util
import multiprocessing
import sys
from collections.abc import Sequence


def _interrupts_raise() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if multiprocessing.current_process().name != "MainProcess":  # started by a command, to do a part of its work
    _interrupts_raise()
    importlib.import_module("recbole_mm")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; see `recbole_mm.commands.cli.main`."""
    if "recbole_mm" not in sys.modules and (spec := importlib.util.find_spec("recbole_mm")):
        sys.modules["recbole_mm"] = importlib.util.module_from_spec(spec)  # found, and executed once it is needed
    return int(importlib.import_module("recbole_mm.commands.cli").main(argv, _interrupts_raise))
