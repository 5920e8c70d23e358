"""The command line: `recbole-mm COMMAND`, and `run_recbole_mm.py`, which is `recbole-mm run`.

Arguments are read before anything heavy is imported: help, the version and mistakes in options come at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.base.versions import version
from recbole_mm.commands.mishaps import end_quietly, what_failed
from recbole_mm.commands.parser import Arguments, Parser

COMMANDS = {
    "run": "train and test one model",
    "tune": "search settings with Ray Tune, chosen by validation",
    "compare": "compare models on datasets over seeds, and write the tables of a paper",
    "convert": "make a dataset for RecBole out of another layout",
    "datasets": "list the datasets that convert knows, tell of one, or check its files",
    "inspect": "look through a dataset: statistics, plots and problems",
    "split": "write a cold-start split of a dataset",
    "features extract": "make features out of texts, images, videos or sound",
    "features pretrain": "train an encoder on images, where no weights are at hand",
    "features refine": "sharpen an encoder of images by MIM-Refiner",
    "models": "list the models, or tell of one",
    "settings": "list the settings, or tell of one",
    "recommend": "recommend items to users, from a trained model",
    "export": "write what serving needs of a trained model: vectors, ids, seen items",
    "serve": "serve an exported model over HTTP",
}
WITHOUT_RECBOLE = {"datasets"}  # these answer at once, too


def main(argv: Sequence[str] | None = None, loaded: Callable[[], object] = lambda: None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words of the command; by default those that the process was started with.
    loaded : callable
        Is called once all modules are loaded, before the command begins.

    Returns
    -------
    int
        0; 2 for a mistake in the input, and for files or memory that fail, said in one line; 130 after Ctrl-C; 141
        where nobody reads the output any more; `inspect`, `compare` and `datasets` also give 1.
    """
    try:
        code = _answer(list(sys.argv[1:] if argv is None else argv), loaded)
        sys.stdout.flush()
    except BrokenPipeError:
        return end_quietly()
    except KeyboardInterrupt:
        _say("\ninterrupted outside training; nothing to resume.", sys.stderr)
        return 130
    except Exception as error:
        line = what_failed(error)
        if line is None:
            raise
        _say(f"error: {line}", sys.stderr)
        return 2
    return code


def _answer(words: Sequence[str], loaded: Callable[[], object]) -> int:
    if words[:1] in (["-h"], ["--help"]):
        _say(_usage())
        return 0
    if words[:1] == ["--version"]:
        _say(f"recbole-mm {version('recbole-mm')}, RecBole {version('recbole')}")
        return 0
    command, rest = _command(words)
    arguments = _read(command, rest)
    return 0 if arguments is None else _run(command, arguments, loaded)


def _command(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the command, of one word or two, and what follows it."""
    if not words:
        raise InputError(f"no command is given; choose from {', '.join(COMMANDS)} (see recbole-mm --help)")
    for length in (2, 1):
        if (command := " ".join(words[:length])) in COMMANDS:
            return command, words[length:]
    if longer := [command for command in COMMANDS if command.startswith(f"{words[0]} ")]:
        raise InputError(f"'{words[0]}' is not complete; choose from {', '.join(longer)}")
    hint = nearest(words[0], [*COMMANDS, "--help", "--version"]) or " See recbole-mm --help."
    raise InputError(f"unknown {'option' if words[0].startswith('-') else 'command'} '{words[0]}'.{hint}")


def _read(command: str, words: Sequence[str]) -> Arguments | None:
    """Return what the words say, None where they ask for help, which is then printed."""
    module = command.replace(" ", "_")
    parser: Parser = importlib.import_module(f"recbole_mm.commands.arguments.{module}").parser()
    try:
        return parser.read(words)
    except SystemExit:  # argparse's way to end after the help
        return None


def _run(command: str, arguments: Arguments, loaded: Callable[[], object]) -> int:
    # Threads that wait sleep: spinning ones slow down whatever else runs. OpenMP reads this when torch is loaded, in
    # this process and in those that it starts.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if command not in WITHOUT_RECBOLE:
        _plug_in()
    module = importlib.import_module(f"recbole_mm.commands.{command.replace(' ', '_')}")
    loaded()
    return int(module.main(arguments, _say))


def _plug_in() -> None:
    """Plug the pack into RecBole, if importing it has not: `recbole_mm_cli` and `python -m` leave that to this."""
    package: Any = sys.modules["recbole_mm"]
    try:
        if not hasattr(package, "plug_in"):
            package.__spec__.loader.exec_module(package)
        package.plug_in()
    except ModuleNotFoundError:
        raise
    except ImportError as error:  # such as that RecBole is not installed
        raise InputError(str(error)) from error


def _usage() -> str:
    width = max(map(len, COMMANDS)) + 2
    commands = [f"  {name:<{width}}{meaning}" for name, meaning in COMMANDS.items()]
    return "\n".join(
        [
            "usage: recbole-mm COMMAND [--key=value ...]",
            "       recbole-mm COMMAND --help",
            "       recbole-mm --version",
            "",
            "commands:",
            *commands,
        ]
    )


def _say(text: str, stream: Any = None) -> None:
    (stream or sys.stdout).write(f"{text}\n")
    (stream or sys.stdout).flush()
