"""Kinds of values that are made of others: lists, mappings, and one of several kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.settings.value_kinds import Decimal, ValueKind, as_shown


@dataclass(frozen=True, slots=True)
class ListOf(ValueKind):
    """A list; where `alone` is true, one value may stand for a list of it."""

    each: ValueKind
    least: int = 0
    alone: bool = False

    def words(self) -> str:
        return f"a list of which each is {self.each.words()}" + (", or one such" if self.alone else "")

    def allows(self, value: Any) -> bool:
        values = value if isinstance(value, list | tuple) else [value] if self.alone else None
        return values is not None and len(values) >= self.least and all(map(self.each.allows, values))

    def check(self, name: str, value: Any) -> None:
        values = value if isinstance(value, list | tuple) else [value] if self.alone else None
        if values is None or len(values) < self.least:
            raise InputError(f"{name} is {as_shown(value)}: it must be {self.words()}")
        for one in values:
            self.each.check(name, one)


@dataclass(frozen=True, slots=True)
class MappingLike(ValueKind):
    """A mapping with names in the data for keys, and an example of one; `each` is the kind of its values."""

    example: str
    each: ValueKind | None = None

    def words(self) -> str:
        return f"a mapping, such as {self.example}"

    def allows(self, value: Any) -> bool:
        return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)

    def check(self, name: str, value: Any) -> None:
        ValueKind.check(self, name, value)
        for key, each in value.items() if self.each else ():
            if each is not None and self.each:
                self.each.check(f"{name}.{key}", each)


@dataclass(frozen=True, slots=True)
class Parts(ValueKind):
    """A mapping with some of these keys, each with a kind; None is a value of those in `unset`."""

    parts: Mapping[str, ValueKind]
    needed: tuple[str, ...] = ()
    most: int = 99
    unset: tuple[str, ...] = ()
    example: str = field(default="", kw_only=True)

    def words(self) -> str:
        return f"a mapping, such as {self.example}"

    def allows(self, value: Any) -> bool:
        try:
            self.check("", value)
        except InputError:
            return False
        return True

    def check(self, name: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise InputError(f"{name} is {as_shown(value)}: it must be {self.words()}")
        for key, each in value.items():
            if key not in self.parts:
                hint = nearest(str(key), self.parts) or f" The keys are {', '.join(self.parts)}."
                raise InputError(f"{name}: unknown key {as_shown(key)}.{hint}")
            if each is not None or key not in self.unset:
                self.parts[key].check(f"{name}.{key}", each)
        if len(value) > self.most or any(key not in value for key in self.needed):
            raise InputError(f"{name} is {as_shown(value)}: it must be {self.words()}")


@dataclass(frozen=True, slots=True)
class Shares(ValueKind):
    """The shares of training, validation and test."""

    def words(self) -> str:
        return "3 numbers of at least 0, the first above 0, such as [0.8, 0.1, 0.1]"

    def allows(self, value: Any) -> bool:
        number = Decimal(0)
        return isinstance(value, list) and len(value) == 3 and all(map(number.allows, value)) and value[0] > 0


@dataclass(frozen=True, slots=True)
class Either(ValueKind):
    """Any of some kinds; a mapping is measured by the last, whose messages say more."""

    kinds: tuple[ValueKind, ...]

    def words(self) -> str:
        return ", or ".join(kind.words() for kind in self.kinds)

    def allows(self, value: Any) -> bool:
        return any(kind.allows(value) for kind in self.kinds)

    def check(self, name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            self.kinds[-1].check(name, value)
        ValueKind.check(self, name, value)
