"""RecBole's histories: each interaction of a user but the first, with the items before it, all made at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType
from torch import Tensor

FILLED_ROWS = 1 << 14  # histories filled at a time


def data_augmentation(self: Any) -> None:
    """Replace the interactions by targets with their histories, in the place of RecBole's method of this name."""
    _augment(self, lambda field, start, end, shape: _lists(self.inter_feat[field], start, end, shape))


def augmentation_of_dien(self: Any) -> None:
    """Do the same with 8 bytes a number, and beside the items those that were drawn, as DIEN's dataset does it."""
    drawn: dict[str, Tensor] = {}

    def lists_of(field: str, start: np.ndarray, end: np.ndarray, shape: tuple[int, ...]) -> Tensor:
        values = self.inter_feat[field]
        if field == self.iid_field:
            drawn[self.neg_item_list_field] = _lists(self.neg_item_list, start, end, shape)
        return _lists(values.double() if values.is_floating_point() else values.long(), start, end, shape)

    _augment(self, lists_of)
    self.inter_feat.update(Interaction(drawn))


def _augment(self: Any, lists_of: Callable[[str, np.ndarray, np.ndarray, tuple[int, ...]], Tensor]) -> None:
    """Put targets with histories in the place of the interactions; those of a field are made of rows, in a shape."""
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
            made[name] = lists_of(field, start, target, _shape(self, name, field))
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
