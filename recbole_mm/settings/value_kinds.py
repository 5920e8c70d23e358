"""Kinds of values that a setting of RecBole's may have: what is one, and how that is said."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.base.intervals import check_interval

LEAST_WHOLE, MOST_WHOLE = -(2**31), 2**31 - 1  # of a whole number without a limit of its own: what C's int holds
MOST_SHOWN = 80  # characters of a wrong value that a message has


class ValueKind(ABC):
    """What a value must be."""

    @abstractmethod
    def words(self) -> str:
        """Return it, as a message says it after `must be`."""

    @abstractmethod
    def allows(self, value: Any) -> bool:
        """Return whether a value is of this kind."""

    def check(self, name: str, value: Any) -> None:
        """Refuse a value that is of another kind.

        Raises
        ------
        InputError
            With the name, the value and what it must be.
        """
        if not self.allows(value):
            raise InputError(f"{name} is {as_shown(value)}: it must be {self.words()}")


def as_shown(value: object) -> str:
    """Return a value as a message has it: in one line, and the beginning of it where it is long."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


@dataclass(frozen=True, slots=True)
class Whole(ValueKind):
    """A whole number from `low` to `high`; a bool is none."""

    low: int = LEAST_WHOLE
    high: int = MOST_WHOLE

    def words(self) -> str:
        if self.high != MOST_WHOLE:
            return f"a whole number between {self.low} and {self.high}"
        return "a whole number" if self.low == LEAST_WHOLE else f"a whole number of at least {self.low}"

    def allows(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def check(self, name: str, value: Any) -> None:
        if isinstance(value, int) and not isinstance(value, bool) and value > self.high == MOST_WHOLE:
            raise InputError(f"{name} is {as_shown(value)}: it must be a whole number of at most {MOST_WHOLE}")
        ValueKind.check(self, name, value)


@dataclass(frozen=True, slots=True)
class Decimal(ValueKind):
    """A finite number of at least `low`, or above it, and at most `high`."""

    low: float = -math.inf
    above: bool = False
    high: float = math.inf

    def words(self) -> str:
        if self.low == -math.inf:
            return "a number"
        if self.high < math.inf:
            return f"a number between {self.low:g} and {self.high:g}"
        return f"a number {'above' if self.above else 'of at least'} {self.low:g}"

    def allows(self, value: Any) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < math.inf:
            return False
        if value > self.high:
            return False
        return value > self.low if self.above else value >= self.low


@dataclass(frozen=True, slots=True)
class Flag(ValueKind):
    """True or False."""

    def words(self) -> str:
        return "True or False"

    def allows(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Word(ValueKind):
    """One of some words; `any_case` where capitals do not matter."""

    choices: tuple[str, ...]
    any_case: bool = False

    def words(self) -> str:
        return f"one of {', '.join(self.choices)}" if len(self.choices) > 1 else self.choices[0]

    def allows(self, value: Any) -> bool:
        if self.any_case and isinstance(value, str):
            return value.lower() in map(str.lower, self.choices)
        return isinstance(value, str) and value in self.choices

    def check(self, name: str, value: Any) -> None:
        if not self.allows(value):
            hint = nearest(str(value), self.choices)
            raise InputError(f"{name} is {as_shown(value)}: it must be {self.words()}.{hint}")


@dataclass(frozen=True, slots=True)
class Words(ValueKind):
    """Text that is not empty; `advice` says how to write what else would be read as a number."""

    advice: str = ""

    def words(self) -> str:
        return f"text{self.advice and ', ' + self.advice}"

    def allows(self, value: Any) -> bool:
        return isinstance(value, str) and value != "" and "\0" not in value


@dataclass(frozen=True, slots=True)
class Patterned(ValueKind):
    """Text of a form, and the form in words."""

    pattern: str
    form: str

    def words(self) -> str:
        return self.form

    def allows(self, value: Any) -> bool:
        return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None


@dataclass(frozen=True, slots=True)
class Codec(ValueKind):
    """An encoding of text that Python knows."""

    def words(self) -> str:
        return "an encoding that Python knows, such as utf-8 or gb18030"

    def allows(self, value: Any) -> bool:
        try:
            return isinstance(value, str) and "".encode(value) is not None
        except (LookupError, ValueError):
            return False


@dataclass(frozen=True, slots=True)
class Intervals(ValueKind):
    """One of RecBole's intervals, or several."""

    def words(self) -> str:
        return "an interval, such as [5,inf), or several as (0,1];[3,4)"

    def allows(self, value: Any) -> bool:
        try:
            check_interval("", value)
        except InputError:
            return False
        return True

    def check(self, name: str, value: Any) -> None:
        check_interval(name, value)  # which says more of what is wrong


@dataclass(frozen=True, slots=True)
class Free(ValueKind):
    """What whoever reads the setting checks, and says what is wrong with."""

    form: str

    def words(self) -> str:
        return self.form

    def allows(self, value: Any) -> bool:
        return True
