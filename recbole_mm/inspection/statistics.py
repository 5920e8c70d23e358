"""Numbers of interactions: how many a user and an item have, which are cold, which repeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Pairs:
    """Interactions as internal ids: user (n,) and item (n,), from 1; 0 is RecBole's padding."""

    users: np.ndarray
    items: np.ndarray

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Minimum, quartiles, maximum and mean of some numbers."""

    low: float
    lower: float
    median: float
    upper: float
    high: float
    mean: float


@dataclass(frozen=True, slots=True)
class Counts:
    """The whole dataset, as RecBole's filters leave it.

    Attributes
    ----------
    per_user, per_item : int array (n_users,), (n_items,)
        Interactions of each; 0 for one that has none.
    """

    n: int
    per_user: np.ndarray
    per_item: np.ndarray

    @property
    def density(self) -> float:
        """Interactions for each pair of a user and an item; above 1 only where pairs repeat."""
        cells = len(self.per_user) * len(self.per_item)
        return self.n / cells if cells else 0.0


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """One split: its size, and its users and items that have no interaction in the training split.

    The shares are of the split's interactions.
    """

    name: str
    n: int
    users: int
    items: int
    cold_users: int
    cold_user_share: float
    cold_items: int
    cold_item_share: float


def distribution(values: np.ndarray) -> Distribution:
    """Describe at least one number; quartiles between two numbers are interpolated."""
    low, lower, median, upper, high = np.percentile(values, (0, 25, 50, 75, 100)).tolist()
    return Distribution(low, lower, median, upper, high, float(np.mean(values)))


def interactions(pairs: Pairs, n_users: int, n_items: int) -> Counts:
    """Count the interactions of each of the `n_users` users and `n_items` items, the padding not among them."""
    return Counts(len(pairs), _counts(pairs.users, n_users), _counts(pairs.items, n_items))


def _counts(ids: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(ids, minlength=n + 1)[1:]


def at_least(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct counts above 0, ascending, and for each the share of those above 0 with at least as many."""
    values, times = np.unique(counts[counts > 0], return_counts=True)
    return values, times[::-1].cumsum()[::-1] / max(times.sum(), 1)


def split_sizes(splits: Mapping[str, Pairs]) -> tuple[SplitCounts, ...]:
    """Describe the splits; the first is the one for training."""
    train = next(iter(splits.values()))
    return tuple(_split(name, pairs, train) for name, pairs in splits.items())


def _split(name: str, pairs: Pairs, train: Pairs) -> SplitCounts:
    cold_users, cold_items = ~np.isin(pairs.users, train.users), ~np.isin(pairs.items, train.items)
    return SplitCounts(
        name,
        len(pairs),
        len(np.unique(pairs.users)),
        len(np.unique(pairs.items)),
        len(np.unique(pairs.users[cold_users])),
        float(cold_users.mean()) if len(pairs) else 0.0,
        len(np.unique(pairs.items[cold_items])),
        float(cold_items.mean()) if len(pairs) else 0.0,
    )


def repeated(pairs: Pairs) -> np.ndarray:
    """Return the places of the interactions whose user had the same item in an earlier place, ascending."""
    _, first = np.unique(_codes(pairs), return_index=True)
    places = np.ones(len(pairs), dtype=bool)
    places[first] = False
    return np.flatnonzero(places)


def leaked(train: Pairs, held_out: Pairs) -> np.ndarray:
    """Return the places of the held-out interactions whose user has the same item in the training split."""
    return np.flatnonzero(np.isin(_codes(held_out), _codes(train)))


@dataclass(frozen=True, slots=True)
class UserTimes:
    """Interactions with their times: user (n,), as an internal id, and time (n,)."""

    users: np.ndarray
    times: np.ndarray


def known_future(train: UserTimes, held_out: UserTimes) -> tuple[int, int]:
    """Return how many held-out interactions training is later than: that of anybody, and that of the same user."""
    if not len(train.users) or not len(held_out.users):
        return 0, 0
    last = np.full(int(max(train.users.max(), held_out.users.max())) + 1, -np.inf)
    np.maximum.at(last, train.users, train.times)
    of_anybody, of_user = held_out.times < train.times.max(), held_out.times < last[held_out.users]
    return int(of_anybody.sum()), int(of_user.sum())


def _codes(pairs: Pairs) -> np.ndarray:
    """Return one number a pair: internal ids stay far below 2**32."""
    return pairs.users.astype(np.int64) << 32 | pairs.items.astype(np.int64)
