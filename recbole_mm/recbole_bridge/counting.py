"""Numbers of interactions of users and items, counted at once."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType


def counted_at_once(count: Any) -> Any:
    """Count the interactions of each user or item at once, where RecBole counts one after the other."""

    @functools.wraps(count)
    def counter(self: Any, field: str) -> Counter[int]:
        feat = self.inter_feat
        if not isinstance(feat, Interaction) or field not in feat or self.field2type[field] != FeatureType.TOKEN:
            found: Counter[int] = count(self, field)
            return found
        values, counts = np.unique(feat[field].numpy(), return_counts=True)
        return Counter(dict(zip(values, counts.tolist(), strict=True)))

    return counter


def average_count(average: property) -> property:
    """Average the numbers of interactions that a user or an item has, counted at once."""
    one_by_one: Any = average.fget

    @functools.wraps(one_by_one)
    def of_dataset(self: Any) -> Any:
        column = self.inter_feat[self.uid_field if one_by_one.__name__.endswith("users") else self.iid_field]
        if not isinstance(column, torch.Tensor):
            return one_by_one(self)
        counts = np.bincount(column.numpy())
        return np.mean(counts[counts > 0]) if len(counts) else np.nan

    return property(of_dataset)
