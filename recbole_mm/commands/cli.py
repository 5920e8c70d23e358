"""The command line: `recbole-mm COMMAND`, and `run_recbole_mm.py`, which is `recbole-mm run`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from recbole_mm.base.errors import InputError, nearest

COMMANDS = {
    "run": "train and test one model",
    "tune": "search settings with Ray Tune, chosen by validation",
    "compare": "models x data sets x seeds: the tables of a paper",
    "convert": "make a data set of RecBole's out of somebody else's layout",
    "inspect": "look at a data set: numbers, plots, and what is wrong with it",
    "split": "write a cold-start split of a data set",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns
    -------
    int
        0; 2 for a mistake in the input, said in one line; 130 after Ctrl-C; `inspect` also gives 1.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = arguments[0] if arguments else ""
    if command not in COMMANDS:
        asked = command in ("-h", "--help")
        _say(_usage(), sys.stdout if asked else sys.stderr)
        if command and not asked:
            _say(f"error: '{command}' is no command.{nearest(command, COMMANDS)}", sys.stderr)
        return 0 if asked else 2
    try:
        return int(importlib.import_module(f"recbole_mm.commands.{command}").main(arguments[1:], _say))
    except InputError as error:
        _say(f"error: {error}", sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        _say(f"error: {error.name} is not installed, and what you asked for needs it: pip install it first", sys.stderr)
        return 2
    except KeyboardInterrupt:
        _say("\nstopped outside training; nothing to resume.", sys.stderr)
        return 130


def _usage() -> str:
    lines = [f"  recbole-mm {name:<9}{meaning}" for name, meaning in COMMANDS.items()]
    return "\n".join(["usage: (each with --help)", *lines])


def _say(text: str, stream: Any = None) -> None:
    (stream or sys.stdout).write(f"{text}\n")
    (stream or sys.stdout).flush()
