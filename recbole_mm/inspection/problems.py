"""What is wrong with a dataset: errors, which stop a training, and warnings, collected instead of raised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from recbole_mm.base.errors import InputError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; the text says what, where, and what to do."""

    is_error: bool
    text: str

    @property
    def kind(self) -> str:
        return "error" if self.is_error else "warning"


@dataclass(slots=True)
class Problems:
    """Problems in the order they are found, each text once."""

    found: list[Problem] = field(default_factory=list)

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.found if problem.is_error]

    @property
    def warnings(self) -> list[Problem]:
        return [problem for problem in self.found if not problem.is_error]

    def outcome(self) -> str:
        """Say how many there are, and what that means for a training."""
        if not self.found:
            return "No problems: training would start."
        counts = ((len(self.errors), "error"), (len(self.warnings), "warning"))
        told = ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for n, what in counts)
        return f"{told}: training would {'fail' if self.errors else 'start'}."

    def add(self, text: str, is_error: bool = False) -> None:
        if all(problem.text != text for problem in self.found):
            self.found.append(Problem(is_error, text))

    def warn(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.add(text)

    @contextmanager
    def collected(self, step: str, is_error: bool = True) -> Iterator[None]:
        """Add what the block raises, and go on after it; `step` says what was done, for errors that do not say so."""
        try:
            yield
        except InputError as error:
            self.add(str(error), is_error)
        except Exception as error:  # RecBole and models raise anything
            text = f"{step} stops with {type(error).__name__}: {error}. Train with `recbole-mm run` to see where."
            self.add(text, is_error)
