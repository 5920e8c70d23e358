"""Settings of RecBole and of a model on a command line."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from recbole_mm.base.errors import InputError, nearest

CLOSE = 0.8  # how alike an option a word must be that is taken for a mistyped one


def read_settings(rest: Sequence[str]) -> dict[str, str]:
    """Read `--key=value` and `--key value`; values stay text, RecBole's Config gives them their types.

    Raises
    ------
    InputError
        An unexpected word, a setting without a value, or one given twice with two values.
    """
    settings: dict[str, str] = {}
    words = iter(rest)
    for word in words:
        key, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not key:
            raise InputError(f"command line: unexpected argument '{word}'; write a setting as --key=value")
        if not equals:
            value = next(words, "")
            if not value or value.startswith("--"):
                raise InputError(f"command line: --{key} has no value; write --{key}=value")
        if settings.get(key, value) != value:
            raise InputError(given_twice(f"--{key}", settings[key], value))
        settings[key] = value
    return settings


def given_twice(option: str, first: object, second: object) -> str:
    """Return what is said of an option that is given twice, with two values."""
    values = (",".join(map(str, value)) if isinstance(value, list) else str(value) for value in (first, second))
    return f"command line: {option} is given twice, as {' and as '.join(values)}"


def refuse_mistyped(key: str, options: Iterable[str]) -> None:
    """Refuse a setting that nothing reads and that is spelt nearly like an option of the command.

    Parameters
    ----------
    key : str
        The name of the setting.
    options : iterable of str
        Such as ``--model``.

    Raises
    ------
    InputError
        With the nearest option. All other names are checked once RecBole is imported.
    """
    hint = nearest_option(f"--{key}", options, CLOSE)
    if hint and not _is_named(key):
        raise InputError(f"unknown option '--{key}'.{hint}")


def nearest_option(name: str, options: Iterable[str], cutoff: float = 0.6) -> str:
    """Return `` Did you mean '--X'?`` for the option closest to `name`, or an empty string."""
    dashes = "--"  # which all share, and which therefore say nothing
    return nearest(name[2:], [option[2:] for option in options], cutoff).replace("'", f"'{dashes}", 1)


def _is_named(key: str) -> bool:
    """Return whether a source or yaml file of RecBole or of the pack has the name, in quotes or before a colon."""
    name = re.compile(rf"""(["']){re.escape(key)}\1|^\s*{re.escape(key)}\s*:""", re.MULTILINE)
    return any(name.search(file.read_text(encoding="utf-8")) for file in _sources())


def _sources() -> Iterator[Path]:
    for package in ("recbole_mm", "recbole"):
        spec = importlib.util.find_spec(package)  # imports nothing
        for folder in (spec.submodule_search_locations if spec else None) or ():
            yield from Path(folder).rglob("*.yaml")
            yield from Path(folder).rglob("*.py")


def checked_resume(given: str | None) -> str:
    """Return the value of --resume, empty where the option is not given.

    Raises
    ------
    InputError
        It is given without a value.
    """
    if given is not None and not given.strip():
        raise InputError("--resume has no value: name what to resume, or leave it out")
    return given or ""
