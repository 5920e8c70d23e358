"""What each user has interacted with, in the order of time, in two arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class UserItems:
    """The items of each user.

    Attributes
    ----------
    starts : int64 array (n_users + 1,)
        The items of user u are ``items[starts[u] : starts[u + 1]]``.
    items : int32 array (n,)
        Rows of items, each user's in the order of time.
    """

    starts: np.ndarray
    items: np.ndarray

    @classmethod
    def of(cls, users: np.ndarray, items: np.ndarray, n_users: int) -> UserItems:
        """Return those of interactions that are in the order of time, as rows of users and items."""
        order = np.argsort(users, kind="stable")
        starts = np.zeros(n_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(users, minlength=n_users), out=starts[1:])
        return cls(starts, items[order].astype(np.int32))

    @classmethod
    def of_lists(cls, lists: Sequence[Sequence[int]]) -> UserItems:
        starts = np.cumsum([0, *map(len, lists)])
        items = np.concatenate([np.asarray(one, dtype=np.int32) for one in lists]) if lists else np.zeros(0, np.int32)
        return cls(starts.astype(np.int64), items)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of_users(self, users: np.ndarray) -> UserItems:
        """Return those of some users, as rows from 0."""
        place, items = self.pairs(users)
        return UserItems.of(place, items, len(users))

    def among_first(self, n_items: int) -> UserItems:
        """Return the interactions with the first items of all."""
        place, items = self.pairs(np.arange(len(self)))
        kept = items < n_items
        return UserItems.of(place[kept], items[kept], len(self))

    def pairs(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return, for rows of users, where each is among them and an item of theirs, one pair an interaction."""
        lengths = np.diff(self.starts)[users]
        place = np.repeat(np.arange(len(users)), lengths)
        within = np.arange(len(place)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return place, self.items[np.repeat(self.starts[users], lengths) + within]

    def last(self, users: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the last items of users, from the left and with -1 behind them, (n, length), and how many (n,)."""
        held = np.diff(self.starts)[users].clip(max=length)
        first = self.starts[1:][users] - held
        places = first[:, None] + np.arange(length)
        there = np.arange(length) < held[:, None]
        padded = self.items if len(self.items) else np.zeros(1, np.int32)
        return np.where(there, padded[np.where(there, places, 0)], -1), held

    def counts(self, n_items: int) -> np.ndarray:
        """Return the number of interactions of each item, (n_items,)."""
        return np.bincount(self.items, minlength=n_items)
