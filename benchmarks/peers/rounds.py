"""Several libraries in turns: who goes first rotates, and ratios are within a round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def order(names: Sequence[T], rounds: int) -> Iterator[list[T]]:
    """Yield who takes a turn after whom, round by round."""
    for number in range(rounds):
        first = number % len(names)
        yield [*names[first:], *names[:first]]


def take_turns(work: Mapping[str, Callable[[], dict[str, Any]]], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Return the answers of each piece of work, by round."""
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in work}
    for names in order(list(work), rounds):
        for name in names:
            answers[name].append(work[name]())
    return answers


def quartiles_of_ratio(mine: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return the quartiles of the ratio to the baseline in the same round."""
    found: list[float] = np.quantile(np.divide(mine, base), (0.25, 0.5, 0.75)).tolist()
    return found
