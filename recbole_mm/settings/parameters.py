"""Model parameters: declared once in a dataclass beside the model, checked here."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.settings.value_kinds import MOST_WHOLE

P = TypeVar("P")


def parameter(
    default: Any,
    meaning: str,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """Declare one field of a parameter dataclass.

    Parameters
    ----------
    default : bool, int, float, str, dict or list
        The value when the user sets none; a dict holds values by modality.
    meaning : str
        What it does, for error messages and help.
    low, high : float, optional
        The closed range of a number, or of each value of a dict or list.
    choices : sequence of str, optional
        The values of a word; a field of type `int | str` takes one of them or a number in the range.
    """
    rule = {"meaning": meaning, "low": low, "high": high, "choices": choices}
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=default.copy, metadata=rule)
    return dataclasses.field(default=default, metadata=rule)


def defaults(declaration: type) -> dict[str, Any]:
    """Return the default of every parameter of a declaration."""
    return {field.name: _default(field) for field in dataclasses.fields(declaration)}


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def read_parameters(declaration: type[P], settings: Mapping[str, Any], where: str = "the configuration") -> P:
    """Build a declaration's instance from settings; keys that it does not declare are ignored.

    Parameters
    ----------
    declaration : dataclass
        Fields made by `parameter`.
    settings : mapping
        Values by name; a missing or None value means the default.
    where : str
        The file or place that errors name.

    Raises
    ------
    InputError
        A value has the wrong type, is out of range, or is no valid choice.
    """
    hints = typing.get_type_hints(declaration)
    values = {}
    for field in dataclasses.fields(declaration):  # type: ignore[arg-type]
        given = settings.get(field.name)
        value = _default(field) if given is None else given
        values[field.name] = _checked(field, hints[field.name], value, where)
    return declaration(**values)


def read_config(declaration: type[P], config: Any) -> P:
    """Build a declaration's instance from RecBole's configuration, which has None for what nobody set."""
    return read_parameters(declaration, {field.name: config[field.name] for field in dataclasses.fields(declaration)})  # type: ignore[arg-type]


def check_model_parameters(config: Any) -> None:
    """Refuse values that the configured model's parameters cannot have; a model that declares none is passed over.

    Raises
    ------
    InputError
        As from `read`.
    """
    declaration = getattr(config.model_class, "parameter_class", None)
    if declaration is not None:
        read_config(declaration, config)


def _checked(field: dataclasses.Field[Any], kind: Any, value: Any, where: str) -> Any:
    name, rule = field.name, field.metadata
    if typing.get_origin(kind) in (dict, list):
        return _checked_each(field, kind, value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if typing.get_origin(kind) is types.UnionType:  # one of the choices, or a whole number
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise InputError(
                f"{where}: {name} must be {', '.join(rule['choices'])} or a whole number, not {value!r} "
                f"({rule['meaning']}; default {_default(field)!r})"
            )
        kind = type(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(
            f"{where}: {name} must be {_article(kind)}, not {value!r} ({rule['meaning']}; default {_default(field)!r})"
        )
    if kind is str and rule["choices"] is not None and value not in rule["choices"]:
        raise InputError(
            f"{where}: {name} must be one of {', '.join(rule['choices'])}, not {value!r}."
            f"{nearest(str(value), rule['choices'])}"
        )
    low, high = (None, None) if kind is str else (rule["low"], rule["high"])
    if kind is int and high is None and value > MOST_WHOLE:
        low, high = None, MOST_WHOLE
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        either = f"at least {low}" if high is None else f"at most {high}"
        limits = either if low is None or high is None else f"between {low} and {high}"
        raise InputError(f"{where}: {name} must be {limits}, not {value!r} ({rule['meaning']})")
    return value


def _checked_each(field: dataclasses.Field[Any], kind: Any, value: Any, where: str) -> Any:
    name, meaning, each = field.name, field.metadata["meaning"], typing.get_args(kind)[-1]
    if typing.get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise InputError(f"{where}: {name} must be a mapping like {{image: 1}}, not {value!r} ({meaning})")
        return {key: _checked(field, each, entry, f"{where}, {key}") for key, entry in value.items()}
    if not isinstance(value, list) or not value:
        raise InputError(f"{where}: {name} must be a list like {_default(field)}, not {value!r} ({meaning})")
    return [_checked(field, each, entry, where) for entry in value]


def _article(kind: type) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]


def told_parameters(declaration: type) -> list[tuple[str, str, str, str]]:
    """Return of every parameter of a declaration its name, what it may be, its default and its meaning, as text."""
    hints = typing.get_type_hints(declaration)
    told = []
    for field in dataclasses.fields(declaration):
        rule, kind = field.metadata, hints[field.name]
        each = typing.get_args(kind)[-1] if typing.get_origin(kind) in (dict, list) else kind
        words = [", ".join(rule["choices"])] if rule["choices"] is not None else []
        if typing.get_origin(each) is types.UnionType:
            words, each = [f"{words[0]}, or a whole number"], int
        elif not words:
            words = [_article(each)]
        limits = [f"from {rule['low']}"] if rule["low"] is not None else []
        limits += [f"to {rule['high']}"] if rule["high"] is not None else []
        lists = {dict: "by modality: ", list: "a list of: "}.get(typing.get_origin(kind), "")
        told.append((field.name, " ".join([lists + words[0], *limits]), repr(_default(field)), rule["meaning"]))
    return told
