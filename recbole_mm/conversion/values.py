"""Columns of a table made the texts of an atomic file, and refused where RecBole would misread them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from recbole_mm.base.errors import InputError
from recbole_mm.data.ids import RESERVED, mistake_in_id

Where = Callable[[int], str]  # row of a batch -> file and line
Check = Callable[[pa.Array, str, Where], pa.Array]

_RESERVED = pa.array(sorted(RESERVED))
_FORBIDDEN = r'[\x00-\x1f\x7f"]'
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?$"
_LABEL = r"^[012]$"
_SECOND = 1_000_000  # microseconds


def ids(column: pa.Array, field: str, where: Where) -> pa.Array:
    """Return ids as text.

    Raises
    ------
    InputError
        On an id that is empty or that RecBole reads as missing, on quotes, control characters or blanks around
        it, and on a column of any type but texts and integers.
    """
    texts = _texts(column)
    if texts is None:
        raise InputError(f"{where(0)}: {field} is of type {column.type}; ids are texts or integers: convert the column")
    distinct = pc.unique(texts)
    bad = pc.or_(pc.is_in(distinct, _RESERVED), pc.match_substring_regex(distinct, _FORBIDDEN))
    bad = pc.or_(bad, pc.not_equal(distinct, pc.utf8_trim_whitespace(distinct)))
    if pc.any(bad).as_py():
        wrong = distinct.filter(bad)[0].as_py()
        problem = mistake_in_id(wrong) or f"{wrong!r} holds a quote, a tab or another control character: remove it"
        raise InputError(f"{where(pc.index(texts, wrong).as_py())}: {field} {problem}")
    return texts


def numbers(column: pa.Array, field: str, where: Where) -> pa.Array:
    """Return numbers as text; those that are text already stay as they are.

    Raises
    ------
    InputError
        On anything that is no finite number.
    """
    return _matching(column, field, where, _NUMBER, "is not a number: correct it or remove the line")


def labels(column: pa.Array, field: str, where: Where) -> pa.Array:
    """Return labels of MMRec's split as text: 0, 1 or 2; anything else is an `InputError`."""
    return _matching(column, field, where, _LABEL, "must be 0 (train), 1 (valid) or 2 (test)")


class Times:
    """Check of a column of times: numbers stay, ISO 8601 and Arrow's own types become seconds since 1970.

    The first text decides for all of a source whether they are numbers, ISO times, or ISO times with a zone.
    """

    def __init__(self) -> None:
        self._form = ""

    def __call__(self, column: pa.Array, field: str, where: Where) -> pa.Array:
        if not len(column):
            return pa.array([], pa.string())
        texts = _texts(column)
        form = _form(column if texts is None else texts)
        self._form = self._form or form
        if form != self._form and "dates" in (form, self._form):
            raise InputError(
                f"{where(0)}: {field} has {form}, but the files before have {self._form}: make them one kind"
            )
        if self._form == "dates":
            _refuse_first(pc.is_null(column), column, field, where, "is empty: fill it in")
            return _seconds(column)
        if self._form == "numbers" or texts is None:
            return numbers(column, field, where)
        times = _parse(texts, self._form)
        if times is None:
            row = next(row for row in range(len(texts)) if _parse(texts.slice(row, 1), self._form) is None)
            raise InputError(f"{where(row)}: {field} '{texts[row]}' is not among the {self._form} above: correct it")
        return _seconds(times)


_ISO = {"ISO times": pa.timestamp("us"), "ISO times with a zone": pa.timestamp("us", "UTC")}


def _form(column: pa.Array) -> str:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return "dates"
    if not pa.types.is_string(column.type) or re.match(_NUMBER, column[0].as_py()):
        return "numbers"
    return next((form for form in _ISO if _parse(column.slice(0, 1), form) is not None), "numbers")


def _parse(texts: pa.Array, form: str) -> pa.Array | None:
    try:
        return texts.cast(_ISO[form])
    except pa.ArrowInvalid:
        return None


def _seconds(times: pa.Array) -> pa.Array:
    zone = getattr(times.type, "tz", None)
    micros = times.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    whole = pc.divide(micros, _SECOND)
    if pc.all(pc.equal(pc.multiply(whole, _SECOND), micros)).as_py():
        return whole.cast(pa.string())
    return pc.divide(micros.cast(pa.float64(), safe=False), float(_SECOND)).cast(pa.string())


def _texts(column: pa.Array) -> pa.Array | None:
    """Return texts and integers as text, a missing one as the empty text; None for another type."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _texts(column.dictionary_decode())
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if is_text or pa.types.is_integer(kind) or pa.types.is_null(kind):
        return column.cast(pa.string()).fill_null("")
    return None


def _matching(column: pa.Array, field: str, where: Where, pattern: str, problem: str) -> pa.Array:
    texts = _texts(column)
    if texts is None:
        if not (pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
            raise InputError(f"{where(0)}: {field} is of type {column.type}, not numbers: convert the column")
        texts = column.cast(pa.string()).fill_null("")
    _refuse_first(pc.invert(pc.match_substring_regex(texts, pattern)), texts, field, where, problem)
    return texts


def _refuse_first(bad: pa.Array, column: pa.Array, field: str, where: Where, problem: str) -> None:
    row = pc.index(bad, True).as_py()
    if row >= 0:
        raise InputError(f"{where(row)}: {field} '{column[row].as_py() or ''}' {problem}")
