"""RecBole's splits, user by user, for all users at once: the same rows in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from recbole_mm.recbole_bridge.encoding import in_order_of_appearance


class RowsOfKeys:
    """The rows of each key, key after key in the order in which the keys come.

    Parameters
    ----------
    keys : int array (n,)
        0 or more.

    Attributes
    ----------
    rows : int array (n,)
        Within a key in their order.
    sizes : int array (n_keys,)
    """

    def __init__(self, keys: np.ndarray) -> None:
        n_keys = int(keys.max(initial=-1)) + 1
        order = in_order_of_appearance([keys], n_keys)
        place = np.empty(n_keys, dtype=np.int32)
        place[order] = np.arange(len(order))
        n = len(keys)
        # scipy's conversion from coordinates to rows counts and does not compare, which keeps the order within a row
        found = sp.csr_array(
            (np.ones(n, dtype=bool), (place[keys], np.arange(n, dtype=np.int32))), shape=(len(order), max(n, 1))
        )
        self.rows, self.sizes = found.indices, np.diff(found.indptr)

    def of_each_row(self, values: np.ndarray) -> np.ndarray:
        """Return for each row, in the order of `rows`, the value (n_keys,) of its key."""
        return np.repeat(values.astype(np.int32), self.sizes)

    @property
    def position(self) -> np.ndarray:
        """Of each row within its key, from 0."""
        starts = np.cumsum(self.sizes) - self.sizes
        return np.arange(len(self.rows), dtype=np.int32) - self.of_each_row(starts)


def grouped_index(self: Any, keys: np.ndarray) -> RowsOfKeys:
    """Return the rows of each key, in the place of RecBole's `Dataset._grouped_index`."""
    return RowsOfKeys(keys)


def split_index_by_leave_one_out(self: Any, groups: RowsOfKeys, leave_one_num: int) -> list[np.ndarray]:
    """Return the rows of the parts; the last ones of each key go to the last parts, one is left in the first.

    In the place of RecBole's `Dataset._split_index_by_leave_one_out`.
    """
    from_the_end = groups.of_each_row(groups.sizes) - groups.position  # 1 is the last one
    left_out = groups.of_each_row(np.minimum(leave_one_num, groups.sizes - 1))
    parts = np.where(from_the_end <= left_out, leave_one_num + 1 - from_the_end, 0)
    return [groups.rows[parts == part] for part in range(leave_one_num + 1)]


def split_by_ratio(self: Any, ratios: Sequence[float], group_by: str | None = None) -> list[Any]:
    """Return the parts of a dataset with shares of its interactions, or of those of each user.

    In the place of RecBole's `Dataset.split_by_ratio`. Parts of the whole share its memory.
    """
    shares = [ratio / sum(ratios) for ratio in ratios]
    if group_by is None:
        bounds = [0, *self._calcu_split_ids(tot=len(self), ratios=shares), len(self)]
        index: list[Any] = [slice(start, end) for start, end in pairwise(bounds)]
    else:
        groups = RowsOfKeys(self.inter_feat[group_by].numpy())
        sizes, of_group = np.unique(groups.sizes, return_inverse=True)
        ends = np.array([self._calcu_split_ids(tot=int(size), ratios=shares) for size in sizes], dtype=np.int32)
        position, part = groups.position, np.zeros(len(groups.rows), dtype=np.int8)
        for end in ends.reshape(len(sizes), len(shares) - 1).T:
            part += position >= groups.of_each_row(end[of_group])
        del position
        index = [groups.rows[part == number] for number in range(len(shares))]
    return _parts(self, index)


def time_based_split(self: Any, ratios: Sequence[float], group_by: str | None) -> list[Any]:
    """Return what is before and after a point in time; what is before is split again, user by user.

    In the place of RecBole's `Dataset.time_based_split`, for interactions in the order of time.
    """
    if group_by is None:
        raise ValueError("Time-based split strategy requires a group field")
    if self.time_field not in self.inter_feat:
        raise ValueError(f"Field [{self.time_field}] is not in inter_feat.")
    shares = [ratio / sum(ratios) for ratio in ratios]
    times = self.inter_feat[self.time_field].numpy()
    groups = RowsOfKeys(self.inter_feat[group_by].numpy())
    before = (times <= np.percentile(times, 100 * (1 - shares[-1])))[groups.rows]
    starts = np.cumsum(groups.sizes) - groups.sizes
    counts = np.add.reduceat(before, starts, dtype=np.int64) if len(starts) else starts
    ends = (counts * (shares[0] / (1 - shares[2]))).astype(np.int64)
    part = np.where(before, (groups.position >= groups.of_each_row(ends)).astype(np.int8), 2)
    return _parts(self, [groups.rows[part == number] for number in range(3)])


def _parts(dataset: Any, index: Sequence[Any]) -> list[Any]:
    dataset._drop_unused_col()
    return [dataset.copy(dataset.inter_feat[rows]) for rows in index]
