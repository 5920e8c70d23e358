"""One atomic file, refused where RecBole would misread it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from recbole_mm.base.errors import InputError
from recbole_mm.data.atomic import ID_FIELDS, MISSING, Columns, Row, atomic_suffix, read_rows
from recbole_mm.data.by_columns import check_columns, plain_file
from recbole_mm.data.cache import digests_of, state_of
from recbole_mm.data.headers import check_header, check_loaded
from recbole_mm.data.ids import mistake_in_id


@dataclass(frozen=True, slots=True)
class Content:
    """What a file has, as far as it must fit the others.

    Attributes
    ----------
    ids : dict of arrow arrays
        The ids of each loaded id column, each once; those of the first rows of a long file.
    times : set of float
        Of a file of interactions; at most two.
    n_rows : int
    """

    ids: dict[str, Any]
    times: set[float]
    n_rows: int


def check_file(path: Path, config: Any) -> Content:
    """Read a file once, note its digest, and return what it has.

    Raises
    ------
    InputError
        Naming the line, the field and the value.
    UnicodeError
        Another encoding.
    """
    separator, encoding = config["field_separator"] or "\t", config["encoding"] or "utf-8"
    state = state_of(path)
    with plain_file(path) as file:
        cells = file.header(separator, encoding)
        if cells is not None:
            columns = check_header(path, cells, separator)
            loaded = check_loaded(path, columns, config)
            ids, numbers, time = _fields(path, columns, loaded, config)
            times: set[float] = set()
            found = check_columns(
                file,
                columns,
                separator,
                ids=ids,
                numbers=numbers,
                time=time,
                times=times,
                unique=_unique_field(path, config),
            )
            if found is not None:
                digests_of(config).known[state] = file.sha.digest()
                return Content(found[1], times, found[0])
    rows = read_rows(path, separator, encoding, digests_of(config))
    _, head = next(rows, (1, [""]))
    columns = check_header(path, head, separator)
    return _check_rows(path, rows, columns, check_loaded(path, columns, config), config)


def _check_rows(path: Path, rows: Iterator[Row], columns: Columns, loaded: set[str], config: Any) -> Content:
    places = {field: place for place, field in enumerate(columns)}
    ids, numbers, time = _fields(path, columns, loaded, config)
    id_cells = [(places[field], field, ids[field]) for field in ids]
    number_cells = [(places[field], field, numbers[field]) for field in numbers]
    time_place, unique = places.get(time), _unique_field(path, config)
    times: set[float] = set()
    n_rows = 0
    for line, cells in rows:
        n_rows += 1
        if len(cells) != len(columns):
            raise InputError(f"{path}, line {line}: {len(cells)} fields, but the header has {len(columns)}")
        for place, field, known in id_cells:
            if field == unique or cells[place] not in known:
                _add_id(f"{path}, line {line}: {field}", cells[place], known)
        for place, field, separator in number_cells:
            _check_numbers(path, line, field, cells[place], separator)
        if time_place is not None:
            value = _time(path, line, time, cells[time_place])
            if len(times) < 2:
                times.add(value)
    if not n_rows:
        raise InputError(f"{path}: has a header but no rows")
    return Content({field: pa.array(sorted(known)) for field, known in ids.items()}, times, n_rows)


def _add_id(where: str, text: str, known: set[str]) -> None:
    """Add an id that is new; refuse one that is none, or that is known."""
    if mistake := mistake_in_id(text):
        raise InputError(f"{where} {mistake}")
    if text in known:
        raise InputError(f"{where} '{text}' stands in an earlier line, too: keep one of them")
    known.add(text)


def _unique_field(path: Path, config: Any) -> str:
    """Return the field whose ids a file of users or items has once each, empty for other files."""
    fields = {"user": config["USER_ID_FIELD"], "item": config["ITEM_ID_FIELD"]}
    return fields.get(atomic_suffix(path)) or ""


def _fields(
    path: Path, columns: Columns, loaded: set[str], config: Any
) -> tuple[dict[str, set[str]], dict[str, str | None], str]:
    """Return the loaded fields of ids, without any; those of numbers and what is between them; that of times."""
    ids: dict[str, set[str]] = {field: set() for name in ID_FIELDS if (field := config[name]) in loaded}
    time = config["TIME_FIELD"]
    if path.suffix != ".inter" or columns.get(time) != "float" or time not in loaded:
        time = ""
    between = {"float": None, "float_seq": config["seq_separator"] or " "}
    numbers = {field: between[kind] for field, kind in columns.items() if field in loaded and kind in between}
    numbers.pop(time, None)
    return ids, numbers, time


def _check_numbers(path: Path, line: int, field: str, text: str, separator: str | None) -> None:
    """Refuse a number, or one of a list, that is none; a missing one is left to RecBole."""
    if text in MISSING:
        return
    for part in text.split(separator) if separator else (text,):
        try:
            float(part or 0)
        except ValueError:
            raise InputError(f"{path}, line {line}: invalid number '{part}' in {field}") from None


def _time(path: Path, line: int, field: str, text: str) -> float:
    """Return a time, which must be there: RecBole would put another in the place of a missing one."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    where = f"{path}, line {line}"
    if not text.strip():
        raise InputError(f"{where}: {field} is empty: fill it in, or remove the line")
    raise InputError(f"{where}: invalid time '{text}' in {field}: write a finite number, or remove the line")
