"""Time as exact as the files have it, for every order by time.

RecBole turns times into 32-bit floats before it sorts: at 1.7e9 seconds neighbours are 128 seconds apart, and what
happened between them stands in the order of the file. Here they stay 64-bit: whole numbers as large as nanoseconds
since 1970 as integers, all others as floats.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.data.dataset import Dataset
from recbole.utils import FeatureSource, FeatureType

from recbole_mm.data.atomic import read_rows

LARGEST = 2**53  # up to here a 64-bit float holds every whole number
MARK = "recbole_mm_times"  # of what this module has put in place of RecBole's own


def whole_numbers(file: Path, column: str, separator: str, encoding: str | None) -> np.ndarray | None:
    """Return a column of an atomic file as 64-bit integers, None where it holds any other number.

    Parameters
    ----------
    file : Path
        An atomic file.
    column : str
        As the header has it, with the type.
    separator, encoding : str
        Of the file.
    """
    rows = read_rows(file, separator, encoding or "utf-8")
    place = next(rows)[1].index(column)
    try:
        return np.fromiter((int(cells[place]) for _, cells in rows), dtype=np.int64)
    except (ValueError, OverflowError, IndexError):
        return None


def beyond_floats(times: np.ndarray) -> bool:
    """Tell whether some times (n,), read as floats, may have been whole numbers that floats do not hold."""
    return bool(len(times)) and bool(np.nanmax(np.abs(times)) >= LARGEST)


def times_of(feat: Any, field: str) -> np.ndarray:
    """Return the times (n,) of interactions, be they a data frame or an `Interaction`, also of a numerical feature."""
    values = feat[field]
    if isinstance(values, pd.Series) and values.dtype == object:
        values = np.array(values.tolist())
    values = np.asarray(values)
    return values if values.ndim == 1 else values[:, 0]


def _exact_loading(load: Any) -> Any:
    @functools.wraps(load)
    def load_feat(self: Any, filepath: str, source: Any) -> Any:
        feat, time = load(self, filepath, source), self.time_field
        if source != FeatureSource.INTERACTION or feat is None or time not in feat:
            return feat
        if self.field2type[time] == FeatureType.FLOAT and beyond_floats(feat[time].to_numpy()):
            separator, encoding = self.config["field_separator"], self.config["encoding"]
            whole = whole_numbers(Path(filepath), f"{time}:float", separator, encoding)
            if whole is not None:
                feat[time] = whole
        return feat

    return load_feat


def _stable_removal(remove: Any) -> Any:
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


def _exact_tensors(convert: Any) -> Any:
    @functools.wraps(convert)
    def dataframe_to_interaction(self: Any, data: Any) -> Any:
        time = self.time_field
        if data is not self.inter_feat or time not in data or self.field2type[time] != FeatureType.FLOAT:
            return convert(self, data)
        times = data[time]
        whole = times.dtype == np.int64
        interaction = convert(self, data.assign(**{time: times.astype(np.float64)}) if whole else data)
        values = np.array(times.tolist()) if times.dtype == object else times.to_numpy(copy=True)
        interaction[time] = torch.from_numpy(values)  # (n,), or (n, 2) of a numerical feature
        return interaction

    return dataframe_to_interaction


def _sorted_first(split: Any) -> Any:
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


def _small_numerical_features(build: Any) -> Any:
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


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "_load_feat": _exact_loading,
    "_remove_duplication": _stable_removal,
    "_dataframe_to_interaction": _exact_tensors,
    "time_based_split": _sorted_first,
    "build": _small_numerical_features,
}


def register() -> None:
    """Let every data set of RecBole keep exact times; a second call changes nothing."""
    if hasattr(Dataset, MARK):
        return
    setattr(Dataset, MARK, True)
    for name, wrapper in WRAPPERS.items():
        setattr(Dataset, name, wrapper(getattr(Dataset, name)))
