"""Settings of RecBole and of a model on a command line."""

from __future__ import annotations

from collections.abc import Sequence

from recbole_mm.base.errors import InputError


def read_settings(rest: Sequence[str]) -> dict[str, str]:
    """Read `--key=value` and `--key value`; values stay text, RecBole's Config gives them their types.

    Raises
    ------
    InputError
        A word that is no setting, a setting without a value, or one given twice with two values.
    """
    settings: dict[str, str] = {}
    words = iter(rest)
    for word in words:
        key, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not key:
            raise InputError(f"command line: '{word}' is no setting; write --key=value")
        if not equals:
            value = next(words, "")
            if not value or value.startswith("--"):
                raise InputError(f"command line: --{key} has no value; write --{key}=value")
        if settings.get(key, value) != value:
            raise InputError(f"command line: --{key} is given twice, as {settings[key]} and as {value}")
        settings[key] = value
    return settings


def checked_resume(given: str | None) -> str:
    """Return the value of --resume, empty where the option is not given.

    Raises
    ------
    InputError
        It is given without a value.
    """
    if given is not None and not given.strip():
        raise InputError("--resume has no value: name what to go on with, or leave it out")
    return given or ""
