"""Random draws of settings from a search space: the same ones every time, whatever else is searched."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from recbole_mm.settings.space import Domain, Space, factors, multiple

DIGITS_DRAWN = 4  # of a drawn number: what is written is what was tried
PATIENCE = 1000  # draws without anything new after which a space counts as used up


def draws(space: Space, n: int, seed: str, first: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return `n` different sets of values beside `first`, fewer where the space has no more.

    The first k of n sets are the k sets that are drawn for k, and the values of a setting do not depend on which others
    are searched, unless a set would be there twice.

    Parameters
    ----------
    space : mapping
        Domain by setting.
    n : int
        Sets to draw.
    seed : str
        Decides all of them.
    first : mapping
        Values that are tried anyway, such as the defaults.
    """
    known = [dict(first)]
    idle = 0
    for values in _endless(space, seed):
        if len(known) > n or idle == PATIENCE:
            return known[1:]
        idle = idle + 1 if values in known else 0
        known += [] if values in known else [values]
    return []  # of an empty space


def _endless(space: Space, seed: str) -> Iterator[dict[str, Any]]:
    streams = {name: Random(f"{seed} {name}") for name in space}  # noqa: S311 (no secret)
    while space:
        yield {name: value_at(space[name], stream.random()) for name, stream in streams.items()}


def value_at(domain: Domain, share: float) -> Any:
    """Return the value that lies at a share, from 0 to below 1, of a domain."""
    if domain.kind == "choice":
        return domain.values[int(share * len(domain.values))]
    if domain.kind == "quniform":
        first, last = factors(*domain.values)
        return multiple(first + int(share * (last - first + 1)), domain.values[2])
    low, high = domain.values
    if domain.kind == "randint":
        return low + int(share * (high - low + 1))
    if domain.kind == "loguniform":
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        value = low + share * (high - low)
    return min(max(float(f"{value:.{DIGITS_DRAWN}g}"), low), high)
