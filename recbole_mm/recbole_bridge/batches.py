"""RecBole's way from rows to batches, vectorised: for the same seed the same batches and samples."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import torch
from recbole.data.dataloader import TrainDataLoader
from recbole.data.interaction import Interaction
from torch.utils.data import RandomSampler, SequentialSampler

from recbole_mm.recbole_bridge.narrow import NarrowColumns, with_columns
from recbole_mm.recbole_bridge.used_items import UsedItems, UsedPairs
from recbole_mm.recbole_bridge.whole_histories import trains_whole, whole_rows
from recbole_mm.settings.execution import Engine
from recbole_mm.settings.parameters import read_config


def used_pairs(used: Any) -> Any:
    """Return which values a key has used, to be asked for many pairs at once.

    Parameters
    ----------
    used : UsedItems, or array of set of int
        The values of each key, from 0.
    """
    if isinstance(used, UsedItems):
        return used
    counts = np.fromiter(map(len, used), dtype=np.int64, count=len(used))
    values = np.fromiter(chain.from_iterable(used), dtype=np.int64, count=int(counts.sum()))
    keys = np.repeat(np.arange(len(used)), counts)
    return UsedPairs.of(keys, values, len(used), int(values.max(initial=0)) + 1)


def sample_by_key_ids(self: Any, key_ids: Any, num: int) -> torch.Tensor:
    """Draw `num` values a key that it has not used, with the draws of RecBole's method of this name.

    Returns
    -------
    Tensor, shape (num * n_keys,)
        Value `i + j * n_keys` is the `j`-th of key `i`.

    Raises
    ------
    IndexError
        A key without a set of used values.
    """
    keys = np.tile(np.asarray(key_ids), num)
    if len(keys) and not 0 <= keys.min() <= keys.max() < len(self.used_ids):
        raise IndexError(f"keys must lie in [0, {len(self.used_ids)})")
    if getattr(self, "_used_pairs_of", None) is not self.used_ids:  # a phase of the sampler has its own
        self._used_pairs, self._used_pairs_of = used_pairs(self.used_ids), self.used_ids
    values = np.zeros(len(keys), dtype=np.int64)
    left = np.arange(len(keys))
    while len(left):
        values[left] = self.sampling(len(left))
        left = left[self._used_pairs.contains(keys[left], values[left])]
    return torch.from_numpy(values)


class Batches(TrainDataLoader):
    """RecBole's `TrainDataLoader`, whose batches are cut from one array instead of gathered number by number.

    With whole histories a batch has as many predictions as it has with prefixes, on average.
    """

    step: int

    def __init__(self, config: Any, dataset: Any, sampler: Any, shuffle: bool = False) -> None:
        self.rows, read = None, dataset
        if trains_whole(config):
            self.rows = whole_rows(dataset.inter_feat[dataset.uid_field].numpy(), config["MAX_ITEM_LIST_LENGTH"])
            read = dataset.copy(dataset.inter_feat[self.rows])
        self.share = len(read) / max(len(dataset), 1)  # of RecBole's samples
        super().__init__(config, read, sampler, shuffle=shuffle)
        self._dataset = dataset

    def _init_batch_size_and_step(self) -> None:
        super()._init_batch_size_and_step()
        if self.rows is not None:
            self.step = max(1, round(self.share * self.step))
            self.set_batch_size(self.step)

    def collate_fn(self, index: Any) -> Any:
        return super().collate_fn(index if self.rows is None else self.rows[index])

    def __iter__(self) -> Iterator[Any]:
        if self.num_workers:
            yield from super().__iter__()
            return
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)  # the seed that torch draws for workers
        order = self._order()
        for start in range(0, len(order), self.step):
            yield self.collate_fn(order[start : start + self.step])

    def _order(self) -> np.ndarray:
        """Return the rows in the order of torch's sampler, which makes Python's numbers of them."""
        sampler: Any = self.sampler
        if type(sampler) is SequentialSampler:
            return np.arange(len(sampler))
        if type(sampler) is not RandomSampler or sampler.replacement or len(sampler) != len(sampler.data_source):
            return np.fromiter(sampler, dtype=np.int64)
        order = torch.randperm(len(sampler), generator=sampler.generator).numpy()
        torch.randperm(len(sampler), generator=sampler.generator)  # torch draws another one, and takes nothing of it
        return order


def rows_of(self: Interaction, index: Any) -> Any:
    """Return a column by name, or the rows at the index as an `Interaction`; RecBole makes a list of the index."""
    if isinstance(index, str):
        if index not in self.interaction:
            raise KeyError(
                f"no field '{index}' among {', '.join(self.interaction)}: columns of .user and .item files are in the "
                "batches where load_col names them and join_features is true"
            )
        return self.interaction[index]
    if isinstance(index, np.ndarray):
        index = torch.from_numpy(np.ascontiguousarray(index))
    if isinstance(self.interaction, NarrowColumns):
        return with_columns(self.interaction.rows(index))
    return Interaction({name: column[index] for name, column in self.interaction.items()})


def join_where_asked(join: Any) -> Any:
    """Leave the columns of users and items out of the batches where `join_features` is false.

    RecBole copies them into each batch. The models of the pack do not read them there.
    """

    @functools.wraps(join)
    def wrapped(self: Any, interactions: Any) -> Any:
        return join(self, interactions) if read_config(Engine, self.config).join_features else interactions

    return wrapped
