"""One way of reading arguments for all commands: a mistake is one line, and nothing heavy is imported for it."""

from __future__ import annotations

import argparse
import dataclasses
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.commands.given import given_twice, nearest_option, read_settings, refuse_mistyped

# What argparse says, and what the user reads.
_PLAIN = (
    (r"argument ([\w-]+): expected one argument", r"\1 has no value; write \1=VALUE"),
    (r"argument ([\w-]+): ignored explicit argument '(.*)'", r"\1 takes no value: leave out '\2'"),
    (r"argument ([\w-]+): not allowed with argument ([\w-]+)", r"\2 and \1 exclude each other: leave one out"),
    (r"argument ([\w-]+): (.*)", r"\1: \2"),
    (r"one of the arguments (.*) is required", r"one of \1 is required"),
    (r"the following arguments are required: (.*)", r"missing: \1"),
)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a command line says.

    Attributes
    ----------
    words : tuple of str
        All of it after the command, as it was typed.
    options : argparse.Namespace
        The command's own options and positional arguments.
    settings : dict
        Settings of RecBole and of a model, as text.
    """

    words: tuple[str, ...]
    options: argparse.Namespace
    settings: dict[str, str]


class _Once(argparse.Action):
    """Refuses a second, different value, of which argparse would take the last."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
        option_string: str | None = None,
    ) -> None:  # fmt: skip
        assert isinstance(parser, Parser)
        if option_string and parser.given.setdefault(self.dest, values) != values:
            raise InputError(given_twice(option_string, parser.given[self.dest], values))
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """The parser of one command.

    Long options may be spelt with hyphens or underscores.

    Parameters
    ----------
    command : str
        Its name.
    usage : str
        What follows the name in the usage line.
    about : str
        What the command does.
    takes_settings : bool
        Whether ``--key=value`` may be a setting of RecBole or of a model.
    old_names : mapping
        Earlier names of options, which are still understood: old name -> name.
    **kwargs
        For `argparse.ArgumentParser`.
    """

    def __init__(
        self,
        command: str,
        usage: str,
        about: str,
        *,
        takes_settings: bool = False,
        old_names: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        prog = f"recbole-mm {command}"
        super().__init__(prog=prog, usage=f"{prog} {usage}", description=about, allow_abbrev=False, **kwargs)
        self.register("action", None, _Once)
        self.register("action", "store", _Once)
        self.given: dict[str, Any] = {}
        self._takes_settings = takes_settings
        self._old_names = dict(old_names or {})

    def add_fields(self, declaration: type) -> None:
        """Add an option for every field that a declaration makes with `recbole_mm.settings.parameters.parameter`."""
        kinds = typing.get_type_hints(declaration)
        for field in dataclasses.fields(declaration):
            rule = field.metadata
            kind = one_of(rule["choices"]) if rule["choices"] else {int: whole, float: number}[kinds[field.name]]
            words = f": {', '.join(rule['choices'])}" if rule["choices"] else ""
            default = "" if "default" in rule["meaning"] else f" (default: {field.default})"
            self.add_argument(
                f"--{field.name.replace('_', '-')}", type=kind, metavar="WORD" if rule["choices"] else "N",
                help=f"{rule['meaning']}{words}{default}".replace("%", "%%"),
            )  # fmt: skip

    def read(self, words: Sequence[str]) -> Arguments:
        """Read the words that follow the command.

        Raises
        ------
        InputError
            Words that are no option, setting or argument of the command, values that an option cannot have, and an
            option or setting given twice with two values.
        """
        self.given = {}
        prepared = self._prepared(words)
        if not self._takes_settings:
            self._refuse_unknown(prepared)
        options, rest = self.parse_known_args(prepared)
        if not self._takes_settings:
            if rest:
                self.error(f"unexpected argument '{rest[0]}'")
            return Arguments(tuple(words), options, {})
        settings = read_settings(rest)
        if ".py" not in (getattr(options, "model", None) or ""):  # a file of the user's may have any setting
            for key in settings:
                refuse_mistyped(key, self._names())
        return Arguments(tuple(words), options, settings)

    def error(self, message: str) -> NoReturn:
        for pattern, plain in _PLAIN:
            if re.fullmatch(pattern, message, re.DOTALL):
                message = re.sub(pattern, plain, message, flags=re.DOTALL)
                break
        raise InputError(message if message.endswith("?") else f"{message}; see {self.prog} --help")

    def _prepared(self, words: Sequence[str]) -> list[str]:
        """Return the words with options by their present names, and `--key value` of a setting as one word."""
        prepared, waiting = list[str](), list(reversed(words))
        while waiting:
            name, equals, value = waiting.pop().partition("=")
            if name.startswith("--"):
                name = self._present(name)
                joins = self._takes_settings and not equals and name not in self._option_string_actions and name != "--"
                if joins and waiting and not waiting[-1].startswith("--"):
                    equals, value = "=", waiting.pop()
            prepared.append(f"{name}{equals}{value}")
        return prepared

    def _present(self, name: str) -> str:
        spellings = (name, f"--{name[2:].replace('_', '-')}", f"--{name[2:].replace('-', '_')}")
        for spelling in spellings:
            if spelling in self._option_string_actions or spelling in self._old_names:
                return self._old_names.get(spelling, spelling)
        return name

    def _names(self) -> list[str]:
        return [name for name in self._option_string_actions if name.startswith("--")]

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        """Refuse unknown options before argparse misses the arguments that they were meant to be."""
        for name in (word.partition("=")[0] for word in words):
            if name.startswith("--") and name not in self._option_string_actions:
                hint = nearest_option(name, self._names())
                self.error(f"unknown option '{name}'" + (f".{hint}" if hint else ""))


def whole(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid whole number '{text}'") from None


def number(text: str) -> float:
    """Read a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid number '{text}'") from None


def names(text: str) -> list[str]:
    """Read names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """Return what reads one of some words."""

    def read(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(
                f"invalid value '{text}' (valid: {', '.join(choices)}).{nearest(text, choices)}"
            )
        return text

    return read
