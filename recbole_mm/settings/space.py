"""What a setting may be in a search: a choice of values, or a range."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from recbole_mm.base.errors import InputError, nearest

_SLACK = 1e-9  # steps, by which a rounded quotient may miss a whole number: 0.3 / 0.1 is below 3

_EXPONENT = re.compile(r"[+-]?\d+[eE][+-]?\d+")  # text to yaml, a number to people

DISTRIBUTIONS = {"choice": "values", "uniform": "low, high", "loguniform": "low, high", "quniform": "low, high, step",
         "randint": "low, high"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Domain:
    """What one setting may be.

    Attributes
    ----------
    kind : str
        ``choice``: one of the values. ``uniform``, ``loguniform``: a number between low and high, even in itself or in
        its logarithm. ``quniform``: a multiple of the step from low to high, and a whole number where all three are.
        ``randint``: a whole number from low to high, both included.
    values : tuple
        The values, or low, high and step.
    """

    kind: str
    values: tuple[Any, ...]

    def ends(self) -> tuple[Any, ...]:
        """Return all values of a choice, else the smallest value and the largest."""
        if self.kind == "quniform":
            return tuple(multiple(factor, self.values[2]) for factor in factors(*self.values))
        return self.values if self.kind == "choice" else self.values[:2]

    def described(self) -> dict[str, list[Any]]:
        """Return the domain as a file has it."""
        return {self.kind: list(self.values)}

    def grid(self, name: str) -> list[Any]:
        """Return every value of a choice or of a range of whole numbers.

        Raises
        ------
        InputError
            Another kind; `name` is that of the setting.
        """
        if self.kind == "choice":
            return list(self.values)
        if self.kind == "randint":
            return list(range(self.values[0], self.values[1] + 1))
        raise InputError(
            f"--search=grid: {name} is {self.kind}, which has no grid: write it as choice, or use --search=random"
        )


Space = dict[str, Domain]


def domain(where: str, kind: str, values: Any) -> Domain:
    """Return a domain after checking it; `where` is for messages.

    Raises
    ------
    InputError
        An unknown kind, or values that do not fit it.
    """
    if kind not in DISTRIBUTIONS:
        raise InputError(
            f"{where}: unknown distribution '{kind}'; choose from {', '.join(DISTRIBUTIONS)}."
            f"{nearest(kind, DISTRIBUTIONS)}"
        )
    if not isinstance(values, list | tuple) or not values:
        raise InputError(f"{where}: {kind} needs a list [{DISTRIBUTIONS[kind]}], not {text_of(values)}")
    if kind == "choice":
        return Domain(kind, tuple(values))
    if len(values) != len(DISTRIBUTIONS[kind].split(",")):
        raise InputError(f"{where}: {kind} needs [{DISTRIBUTIONS[kind]}], not {text_of(list(values))}")
    numbers = [finite_number(where, value) for value in values]
    if not numbers[0] < numbers[1]:
        raise InputError(f"{where}: {kind} needs low below high, not {text_of(list(values))}")
    if kind == "loguniform" and not numbers[0] > 0:
        raise InputError(f"{where}: loguniform needs low above 0, not {text_of(list(values))}")
    if kind == "quniform" and not numbers[2] > 0:
        raise InputError(f"{where}: quniform needs a step above 0, not {text_of(list(values))}")
    if kind == "quniform" and not _has_multiple(*numbers):
        raise InputError(f"{where}: quniform needs a multiple of step from low to high, not {text_of(list(values))}")
    whole = all(one == int(one) for one in numbers)
    if kind == "randint" and not whole:
        raise InputError(f"{where}: randint needs whole numbers, not {text_of(list(values))}")
    kept = int if whole and kind in ("randint", "quniform") else float
    return Domain(kind, tuple(map(kept, numbers)))


def _has_multiple(low: float, high: float, step: float) -> bool:
    try:
        first, last = factors(low, high, step)
    except OverflowError:  # a step so small that no number counts them
        return False
    return first <= last


def factors(low: float, high: float, step: float) -> tuple[int, int]:
    """Return the smallest and the largest whole number whose product with a step lies from low to high.

    Where there is none, the first is above the second.
    """
    return math.ceil(low / step - _SLACK), math.floor(high / step + _SLACK)


def multiple(factor: int, step: float) -> float:
    """Return a multiple of a step, a whole number where the step is one; 3 times 0.1 is 0.3."""
    return factor * step if isinstance(step, int) else float(f"{factor * step:.12g}")


def finite_number(where: str, value: Any) -> float:
    """Return a finite number, or raise an InputError."""
    try:
        if not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value):
            return value
    except OverflowError:  # a whole number beyond any float
        pass
    hint = (
        ": yaml wants a dot before the exponent, as in 1.0e-4" if _EXPONENT.fullmatch(text_of(value).strip("'")) else ""
    )
    raise InputError(f"{where}: invalid number {text_of(value)}{hint}")


def text_of(value: Any) -> str:
    """Return a value as Python writes it."""
    try:
        return repr(value)
    except ValueError:  # Python writes no whole number of thousands of digits
        return "a number of thousands of digits"
