"""Histories of sequential models on interactions that come already split (`benchmark_filename`).

RecBole expects such files to hold the history of every interaction in a column of its own. Where they do not, it is
made here with RecBole's own augmentation.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType

from recbole_mm.recbole_bridge.times import times_of

POSITION = "position_in_the_split"
FIRST = "first_interactions"  # attribute of a dataset with histories


def has_histories(dataset: Any) -> bool:
    """Tell whether the interactions carry the list of the items before them."""
    return dataset.iid_field + dataset.config["LIST_SUFFIX"] in dataset.inter_feat


def training_pairs(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return user and item (n,) of every training interaction, as internal ids.

    A sequential model has histories and targets; a user's first training interaction is no target, and counts, too.

    Parameters
    ----------
    dataset : Dataset
        The training part.
    """
    feat = dataset.inter_feat
    pairs = np.stack([feat[dataset.uid_field].numpy(), feat[dataset.iid_field].numpy()])
    users, items = np.concatenate([pairs, getattr(dataset, FIRST, pairs[:, :0])], axis=1)
    return users, items


def _first_interactions(dataset: Any) -> np.ndarray:
    """Return user and item (2, n) of the first interaction of every user whose first one is for training."""
    users, items = (dataset.inter_feat[field].to_numpy() for field in (dataset.uid_field, dataset.iid_field))
    part, time = part_and_time(dataset)
    order = np.lexsort((time, part, users))
    _, first = np.unique(users[order], return_index=True)
    first = order[first]
    first = first[part[first] == 0]
    return np.stack([users[first], items[first]])


def part_and_time(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the part, from 0, and the time of each interaction; 0 where there is no split yet, or no time."""
    feat = dataset.inter_feat
    part = np.zeros(len(feat), dtype=np.int64)
    if dataset.benchmark_filename_list is not None:
        part = np.repeat(np.arange(len(dataset.file_size_list)), dataset.file_size_list)
    return part, times_of(feat, dataset.time_field) if dataset.time_field in feat else np.zeros(len(feat))


def make_histories(dataset: Any) -> None:
    """Turn the interactions of a split into histories and targets, part by part.

    A user's interactions are taken part after part, within a part by time, or in the order of the file where no time
    is loaded, so that no history holds anything of a later part. The history of an interaction is all that comes
    before it. A user's very first interaction has none and is no target: a user without training interactions is not
    validated on the first one.

    Parameters
    ----------
    dataset : SequentialDataset
        Its interactions are replaced, and `file_size_list` counts the targets of each part.
    """
    sizes = np.cumsum([0, *dataset.file_size_list])
    part, time = part_and_time(dataset)
    position = np.empty(len(part))
    position[np.lexsort((time, part))] = np.arange(len(part))
    dataset.set_field_property(POSITION, FeatureType.FLOAT, FeatureSource.INTERACTION, 1)
    dataset.inter_feat.update(Interaction({POSITION: torch.from_numpy(position)}))

    time_field, dataset.time_field = dataset.time_field, POSITION
    try:
        dataset.data_augmentation()
    finally:
        dataset.time_field = time_field
    targets = dataset.inter_feat[POSITION].numpy()
    order = np.argsort(targets)
    counts = np.diff(np.searchsorted(targets[order], sizes))
    dataset.inter_feat = dataset.inter_feat[order]
    for field in (POSITION, POSITION + dataset.config["LIST_SUFFIX"]):
        dataset._del_col(dataset.inter_feat, field)
    lost = sum(dataset.file_size_list[1:]) - int(counts[1:].sum())
    if lost:
        dataset.logger.warning(
            f"{lost} of {sum(dataset.file_size_list[1:])} held-out interactions are the first of their user: "
            "a sequential model has no history to score them from, they are not evaluated."
        )
    dataset.file_size_list = counts.tolist()


def histories_where_missing(change_format: Any) -> Any:
    """Make the histories that a split lacks, once the interactions are tensors."""

    @functools.wraps(change_format)
    def _change_feat_format(self: Any) -> None:
        come_with_it = has_histories(self)
        if not come_with_it:
            setattr(self, FIRST, _first_interactions(self))
        change_format(self)
        if self.benchmark_filename_list is not None and not come_with_it:
            make_histories(self)

    return _change_feat_format


def presets_where_there(presets: Any) -> Any:
    """Let RecBole look for histories in the files of a split only where they are."""

    @functools.wraps(presets)
    def _benchmark_presets(self: Any) -> None:
        if has_histories(self):
            presets(self)

    return _benchmark_presets
