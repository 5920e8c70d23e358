"""The header of an atomic file, and the columns that are loaded of it, refused where RecBole would misread them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.base.intervals import check_interval
from recbole_mm.data.atomic import TYPES, Columns, as_list, atomic_suffix, head_of, is_given, is_loaded, parse_header

SEPARATOR_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "pipe", " ": "space"}


def is_sequential(config: Any) -> bool:
    """Tell whether the model is RecBole's kind of sequential model."""
    return getattr(config["MODEL_TYPE"], "name", None) == "SEQUENTIAL"


def is_ordered(config: Any) -> bool:
    """Tell whether a split that RecBole makes, or the model, takes interactions in the order of time."""
    args = config["eval_args"] or {}
    return is_sequential(config) or args.get("order") == "TO" or "TS" in (args.get("split") or ())


def check_header(path: Path, head: Sequence[str], separator: str) -> Columns:
    """Return the columns of a header.

    Parameters
    ----------
    path : Path
        For messages.
    head : sequence of str
        Its cells.
    separator : str
        Between them.

    Raises
    ------
    InputError
        It has no types, another separator, a byte-order mark, or a column twice.
    """
    text = separator.join(head)
    if not text.strip():
        raise InputError(f"{path}, line 1: no header, such as user_id:token{separator}item_id:token")
    if text.startswith("\ufeff"):
        raise InputError(f"{path}, line 1: starts with a byte-order mark: set encoding: utf-8-sig")
    columns, wrong = parse_header(head)
    if wrong is None:
        return columns
    field, colon, kind = wrong.partition(":")
    if kind in TYPES:
        raise InputError(f"{path}, line 1: '{field}' is there twice")
    other = next((other for other in SEPARATOR_NAMES if other in text), None) if len(head) == 1 else None
    if other is not None:
        raise InputError(
            f"{path}, line 1: looks {SEPARATOR_NAMES[other]}-separated: set field_separator: {json.dumps(other)} "
            f"or convert it to {SEPARATOR_NAMES.get(separator, repr(separator))}s"
        )
    if not colon:
        raise InputError(f"{path}, line 1: '{wrong}' has no type, write {wrong}:token")
    raise InputError(f"{path}, line 1: '{wrong}' has no type of {', '.join(TYPES)}.{nearest(kind, TYPES)}")


def check_loaded(path: Path, columns: Columns, config: Any) -> set[str]:
    """Return the columns that RecBole loads.

    Raises
    ------
    InputError
        One that it needs is not there, not loaded, or of another type; or the settings name one that is not there.
    """
    suffix, load_col = atomic_suffix(path), config["load_col"]
    if not is_loaded(suffix, config):
        raise InputError(f"load_col has no '{suffix}': list there the columns to load of {path}")
    asked = list(columns) if load_col is None or load_col[suffix] == "*" else as_list(load_col[suffix])
    left_out = set(as_list((config["unload_col"] or {}).get(suffix)))
    for field in _needed_fields(suffix, config):
        _check_column(path, field, columns, "no column")
        if field not in asked or field in left_out:
            raise InputError(f"load_col and unload_col leave out '{field}' of {path}: it must be loaded")
        what, kind = ("times", "float") if field == config["TIME_FIELD"] else ("ids", "token")
        if columns[field] != kind:
            raise InputError(f"{head_of(path)}: '{field}:{columns[field]}' holds {what}, write {field}:{kind}")
    # RecBole's defaults for some kinds of models ask for columns that a dataset need not have.
    for field in asked if is_given(config, "load_col") else ():
        _check_column(path, field, columns, f"no column for load_col.{suffix},")
    for field in left_out:
        _check_column(path, field, columns, f"no column for unload_col.{suffix},")
    loaded = {field for field in asked if field in columns} - left_out
    for field, value in (config["val_interval"] or {}).items():
        if field in loaded:
            _check_kept_values(f"val_interval.{field}", value, columns[field])
    return loaded


def _check_kept_values(name: str, value: Any, kind: str) -> None:
    """Refuse what no value of a field can be in: numbers are kept by intervals, tokens by a list of them."""
    if kind.startswith("float"):
        check_interval(name, value)
    elif not (isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)):
        raise InputError(f"{name} is {value!r}: it must be a list of the texts to keep, such as ['a', '7']")


def _needed_fields(suffix: str, config: Any) -> list[str]:
    user, item, time = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"], config["TIME_FIELD"]
    inter = [user, item, time] if is_ordered(config) and config["benchmark_filename"] is None else [user, item]
    fields = {"inter": inter, "user": [user], "item": [item]}.get(suffix, [])
    return [field for field in fields if field]


def _check_column(path: Path, field: str, columns: Columns, problem: str) -> None:
    if field not in columns:
        there = ", ".join(columns)
        raise InputError(f"{head_of(path)}: {problem} '{field}'; the columns are {there}.{nearest(field, columns)}")
