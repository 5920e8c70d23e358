"""Time as exact as the files have it, for every order by time.

RecBole turns times into 32-bit floats before it sorts: at 1.7e9 seconds neighbours are 128 seconds apart, and what
happened between them stands in the order of the file. Here they stay 64-bit: whole numbers as large as nanoseconds
since 1970 as integers, all others as floats.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recbole.utils import FeatureSource, FeatureType

from recbole_mm.data.exact_times import beyond_floats, whole_numbers


def times_of(feat: Any, field: str) -> np.ndarray:
    """Return the times (n,) of interactions, be they a data frame or an `Interaction`, also of a numerical feature."""
    values = feat[field]
    if isinstance(values, pd.Series) and values.dtype == object:
        values = np.array(values.tolist())
    values = np.asarray(values)
    return values if values.ndim == 1 else values[:, 0]


def exact_loading(load: Any) -> Any:
    @functools.wraps(load)
    def load_feat(self: Any, filepath: str, source: Any) -> Any:
        feat, time = load(self, filepath, source), self.time_field
        if source != FeatureSource.INTERACTION or feat is None or time not in feat:
            return feat
        if self.field2type[time] == FeatureType.FLOAT and beyond_floats(feat[time].to_numpy()):
            whole = whole_numbers(Path(filepath), self.config, time)
            if whole is not None:
                feat[time] = whole
        return feat

    return load_feat


def stable_removal(remove: Any) -> Any:
    """Let RecBole, whose sorting is not stable, find places instead of times where it drops duplicates."""

    @functools.wraps(remove)
    def remove_duplication(self: Any) -> None:
        feat, time = self.inter_feat, self.time_field
        if self.config["rm_dup_inter"] is None or time not in feat:
            remove(self)
            return
        feat.sort_values(time, kind="stable", inplace=True)
        times = feat[time]
        feat[time] = np.arange(len(feat))
        remove(self)
        feat[time] = times  # of the rows that are left

    return remove_duplication


def sorted_first(split: Any) -> Any:
    """Sort before a split by time: RecBole finds places in the sorted times of a user, and takes unsorted rows there.

    Times that are integers count from the first one meanwhile: RecBole finds the boundary with floats.
    """

    @functools.wraps(split)
    def time_based_split(self: Any, *args: Any, **kwargs: Any) -> Any:
        time = self.time_field
        if time not in self.inter_feat:
            return split(self, *args, **kwargs)
        self.sort(by=time)
        times = self.inter_feat[time]
        if times.is_floating_point():
            return split(self, *args, **kwargs)
        self.inter_feat[time] = times - times[0]
        parts = split(self, *args, **kwargs)
        for part in parts:
            if time in part.inter_feat:  # `unused_col` may have named it
                part.inter_feat[time] += times[0]
        return parts

    return time_based_split


def small_numerical_features(build: Any) -> Any:
    """Give models that multiply times with their weights RecBole's 32-bit floats, once everything is in order."""

    @functools.wraps(build)
    def built(self: Any) -> Any:
        parts = build(self)
        if self.time_field in (self.config["numerical_features"] or ()):
            for part in parts:
                for field in (self.time_field, f"{self.time_field}{self.config['LIST_SUFFIX']}"):
                    if field in part.inter_feat:
                        part.inter_feat[field] = part.inter_feat[field].float()
        return parts

    return built
