"""RecBole's histories: each interaction of a user but the first, with the items before it, all made at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType
from torch import Tensor

FILLED_ROWS = 1 << 14  # histories filled at a time


def data_augmentation(self: Any) -> None:
    """Replace the interactions by targets with their histories, in the place of RecBole's method of this name."""
    self._aug_presets()
    self._check_field("uid_field", "time_field")
    self.sort(by=[self.uid_field, self.time_field], ascending=True)
    feat, longest = self.inter_feat, self.config["MAX_ITEM_LIST_LENGTH"]
    users = feat[self.uid_field].numpy()
    row = np.arange(len(users))
    first = np.maximum.accumulate(np.where(np.append(True, users[1:] != users[:-1])[: len(users)], row, 0))
    target = row[row > first]
    start = np.maximum(first[target], target - longest)
    made = {self.item_list_length_field: torch.from_numpy(target - start)}
    for field in feat:
        if field != self.uid_field:
            name = getattr(self, f"{field}_list_field")
            made[name] = _lists(feat[field], start, target, _shape(self, name, field))
    histories = feat[target]
    histories.update(Interaction(made))
    self.inter_feat = histories


def _shape(dataset: Any, name: str, field: str) -> tuple[int, ...]:
    """Return the shape of one history of a field, as RecBole has it."""
    length = dataset.field2seqlen[name]
    shape = (length,) if isinstance(length, int) else tuple(length)
    is_float = dataset.field2type[field] in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ)
    return (*shape, 2) if is_float and field in dataset.config["numerical_features"] else shape


def _lists(values: Tensor, start: np.ndarray, end: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    """Return, padded with 0, the values from each start to before its end, (n, longest, ...)."""
    lists = torch.zeros((len(start), *shape), dtype=values.dtype)
    place = np.arange(shape[0])
    for first in range(0, len(start), FILLED_ROWS):
        rows = slice(first, first + FILLED_ROWS)
        source = start[rows, None] + place  # (rows, longest)
        there = torch.from_numpy(source < end[rows, None])
        lists[rows][there] = values[torch.from_numpy(source)[there]]
    return lists
