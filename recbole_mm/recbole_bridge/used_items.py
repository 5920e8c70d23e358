"""Which items users have had, as sorted numbers instead of a set a user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class UsedPairs:
    """Pairs of a key and a value, in order and each once; memory goes with the pairs alone.

    Parameters
    ----------
    codes : int array
        Of each pair, `key * n_values + value`; sorted.
    n_keys, n_values : int
        Keys and values are from 0.
    """

    def __init__(self, codes: np.ndarray, n_keys: int, n_values: int) -> None:
        self.codes, self.n_keys, self.n_values = codes, n_keys, n_values

    @classmethod
    def of(cls, keys: np.ndarray, values: np.ndarray, n_keys: int, n_values: int) -> UsedPairs:
        """Return the pairs of two arrays (n,)."""
        return cls._sorted(keys * np.int64(n_values) + values, n_keys, n_values)

    @classmethod
    def of_part(cls, part: Any) -> UsedPairs:
        """Return the users and items of a part of a split; no column is kept longer than it is read."""
        codes = part.inter_feat[part.uid_field].numpy() * np.int64(part.item_num)
        codes += part.inter_feat[part.iid_field].numpy()
        return cls._sorted(codes, part.user_num, part.item_num)

    @classmethod
    def _sorted(cls, codes: np.ndarray, n_keys: int, n_values: int) -> UsedPairs:
        codes.sort()
        if len(codes) > 1:
            first = np.append(True, codes[1:] != codes[:-1])
            codes = codes if first.all() else codes[first]
        return cls(codes, n_keys, n_values)

    def contains(self, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return which of the pairs (n,) are among these."""
        if not len(self.codes):
            return np.zeros(len(keys), dtype=bool)
        code = keys * np.int64(self.n_values) + values
        place = np.minimum(np.searchsorted(self.codes, code), len(self.codes) - 1)
        found: np.ndarray = (self.codes[place] == code) & (values < self.n_values)
        return found

    def of_keys(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of some keys, and of each value the place in `keys` of its key."""
        keys = np.asarray(keys, dtype=np.int64)
        starts = np.searchsorted(self.codes, keys * self.n_values)
        counts = np.searchsorted(self.codes, (keys + 1) * self.n_values) - starts
        row = np.repeat(np.arange(len(keys)), counts)
        place = np.arange(len(row)) + np.repeat(starts - np.cumsum(counts) + counts, counts)
        return self.codes[place] % self.n_values, row

    def counts(self) -> np.ndarray:
        """Return how many values each key has (n_keys,)."""
        bounds = np.searchsorted(self.codes, np.arange(self.n_keys + 1) * self.n_values)
        return np.diff(bounds)


class UsedItems:
    """The items that each user has had, in a part of a split and those before it; reads as RecBole's array of sets.

    Parameters
    ----------
    parts : sequence of UsedPairs
        Users and items of each part.
    """

    def __init__(self, parts: Sequence[UsedPairs], n_users: int) -> None:
        self.parts, self.n_users = tuple(parts), n_users

    def __len__(self) -> int:
        return self.n_users

    def __iter__(self) -> Iterator[set[int]]:
        return (self[user] for user in range(self.n_users))

    def __getitem__(self, user: Any) -> Any:
        """Return the set of a user's items, or an array of the sets of several users."""
        if user is None:  # RecBole's loader asks for the user before the first one, and reads nothing of it
            return self
        if np.ndim(user) or isinstance(user, slice):
            users = np.arange(self.n_users)[user]
            found = np.empty(len(users), dtype=object)
            found[:] = [self[int(one)] for one in users]
            return found
        if not -self.n_users <= user < self.n_users:
            raise IndexError(f"user {user} is out of bounds for {self.n_users} users")
        items = (part.of_keys(np.array([user % self.n_users]))[0].tolist() for part in self.parts)
        return set().union(*items)

    def contains(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return which of the users (n,) have had the items (n,)."""
        found = np.zeros(len(users), dtype=bool)
        for part in self.parts:
            found |= part.contains(users, items)
        return found

    def of_users(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the items of some users, each once, and of each item the place in `users` of its user."""
        found = [part.of_keys(users) for part in self.parts]
        items, rows = (np.concatenate(columns) for columns in zip(*found, strict=True))
        n_items = int(items.max(initial=0)) + 1
        rows, items = np.divmod(np.unique(rows * n_items + items), n_items)
        return items, rows


def used_items(self: Any) -> dict[str, UsedItems]:
    """Return what the users have had, by part; in the place of RecBole's `Sampler.get_used_ids`.

    Raises
    ------
    ValueError
        A user has had all items.
    """
    parts: list[UsedPairs] = []
    found = {}
    for phase, dataset in zip(self.phases, self.datasets, strict=True):
        parts.append(UsedPairs.of_part(dataset))
        found[phase] = UsedItems(parts, self.user_num)
    last = found[self.phases[-1]]
    many = np.flatnonzero(np.sum([part.counts() for part in parts], axis=0) >= self.item_num - 1)
    if any(len(last[int(user)]) == self.item_num - 1 for user in many):  # [PAD] is an item
        raise ValueError(
            "Some users have interacted with all items, which we can not sample negative items for them. "
            "Please set `user_inter_num_interval` to filter those users."
        )
    return found


def nothing_used(self: Any) -> UsedItems:
    """Return that no user has had any item, in the place of RecBole's `RepeatableSampler.get_used_ids`."""
    return UsedItems((UsedPairs(np.zeros(0, dtype=np.int64), self.user_num, self.item_num),), self.user_num)
