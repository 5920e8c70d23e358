"""Full-sort evaluation of as many users at a time as the memory allows, and of which items, for every model."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from logging import getLogger
from typing import Any

import numpy as np
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader
from recbole.data.interaction import Interaction
from recbole.utils import ModelType
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from recbole_mm.base.randomness import random_states, restore
from recbole_mm.recbole_bridge.histories import training_pairs
from recbole_mm.recbole_bridge.used_items import UsedItems, UsedPairs
from recbole_mm.settings.execution import Engine, Ranked
from recbole_mm.settings.parameters import read_config

MOST_USERS = 512  # scored at a time; more are no faster
BYTES_A_SCORE = 12  # of a user's score of an item: itself, and what is made on the way to it and to the highest ones
HELD_AT_ONCE = 3  # tensors as large as the largest that a model makes of a user


class FullSortBatches(FullSortEvalDataLoader):
    """RecBole's `FullSortEvalDataLoader`, with as many users a batch as `eval_memory` (MiB) allows, up to 512.

    RecBole's own number, `eval_batch_size // n_items` users, is one on a large catalogue. It stands where it is larger,
    and where the user has set `eval_batch_size`; histories, of which RecBole takes `eval_batch_size` whatever the
    catalogue, are cut to the memory.

    Attributes
    ----------
    held_out : UsedPairs or None
        Of users and items, where a user is asked once.
    used : UsedItems or None
        What a model that is not sequential does not rank, but for what is held out.
    seen : UsedItems or None
        What a sequential model does not rank; an item that is held out is ranked all the same.
    questions : int array or None
        Where a sequential model is asked once a user, the interaction whose history it is asked with.
    """

    step: int
    held_out: UsedPairs | None = None
    used: UsedItems | None = None
    seen: UsedItems | None = None
    questions: np.ndarray | None = None

    def __init__(self, config: Any, dataset: Any, sampler: Any, shuffle: bool = False) -> None:
        used = getattr(sampler, "used_ids", None)
        if config["MODEL_TYPE"] == ModelType.SEQUENTIAL or not isinstance(used, UsedItems):
            super().__init__(config, dataset, sampler, shuffle=shuffle)
            return
        self.logger, self.is_sequential = getLogger(), False
        self.uid_field, self.iid_field, self.used = dataset.uid_field, dataset.iid_field, used
        dataset.sort(by=self.uid_field, ascending=True)
        self.held_out = UsedPairs.of_part(dataset)
        self.uid2items_num = self.held_out.counts()
        self.uid_list = torch.from_numpy(np.flatnonzero(self.uid2items_num))
        self.user_df = dataset.join(Interaction({self.uid_field: self.uid_list}))
        self.uid2history_item, self.uid2positive_item = (_ItemsOfUsers(self, which) for which in (0, 1))
        self.sample_size = len(self.user_df)
        if shuffle:
            self.logger.warning("FullSortEvalDataLoader can't shuffle")
        AbstractDataLoader.__init__(self, config, dataset, sampler, shuffle=False)

    def _items_of(self, users: np.ndarray) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return what users have had, and what is held out: of each the place of its user, and the item."""
        assert self.held_out is not None
        assert self.used is not None
        items, rows = self.used.of_users(users)
        other = ~self.held_out.contains(users[rows], items)
        return (_indices(rows[other]), _indices(items[other])), self._answers(users)

    def _answers(self, users: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return what is held out of users: of each the place of its user, and the item."""
        assert self.held_out is not None
        items, rows = self.held_out.of_keys(users)
        return _indices(rows), _indices(items)

    def _init_batch_size_and_step(self) -> None:
        if self.is_sequential and read_config(Ranked, self.config).ask_users_once:
            feat, length = self._dataset.inter_feat, self._dataset.item_list_length_field
            users = feat[self.uid_field].numpy()
            shortest = np.lexsort((np.arange(len(users)), feat[length].numpy(), users))  # the first in time first
            self.questions = np.sort(shortest[np.unique(users[shortest], return_index=True)[1]])
            self.sample_size = len(self.questions)
            self.held_out = UsedPairs.of_part(self._dataset)
        super()._init_batch_size_and_step()
        n_items = self._dataset.item_num
        users = min(MOST_USERS, max(1, _memory(self.config) // (BYTES_A_SCORE * n_items)))
        if self.is_sequential:
            self.step = min(self.step, users)
            self.set_batch_size(self.step)
        elif "eval_batch_size" not in self.config.external_config_dict:
            self.step = max(self.step, users)
            self.set_batch_size(self.step * n_items)

    def collate_fn(self, index: Any) -> Any:
        if self.used is not None:
            users = self.user_df[np.asarray(index)]
            history, (row, answer) = self._items_of(users[self.uid_field].numpy())
            return users, history, row, answer
        if self.questions is not None:
            index = self.questions[np.asarray(index)]
        users, seen, row, answer = super().collate_fn(index)
        ids = users[self.uid_field].numpy()
        if self.questions is not None:
            row, answer = self._answers(ids)
        if self.seen is not None:
            items, rows = self.seen.of_users(ids)
            asked = UsedPairs.of(row.numpy(), answer.numpy(), len(ids), self._dataset.item_num)
            other = ~asked.contains(rows, items)
            seen = _indices(rows[other]), _indices(items[other])
        return users, seen, row, answer


class _ItemsOfUsers:
    """The items of one user as a tensor, or of several as an array of tensors, as RecBole keeps them.

    Parameters
    ----------
    loader : FullSortBatches
    which : int
        0 for what users have had, 1 for what is held out.
    """

    def __init__(self, loader: FullSortBatches, which: int) -> None:
        self.loader, self.which = loader, which

    def __getitem__(self, users: Any) -> Any:
        rows, items = self.loader._items_of(np.atleast_1d(np.asarray(users)))[self.which]
        if not np.ndim(users):
            return items
        found = np.empty(len(users), dtype=object)
        for place, of_user in enumerate(items.split(torch.bincount(rows, minlength=len(users)).tolist())):
            found[place] = of_user
        return found


def _indices(places: np.ndarray) -> Tensor:
    return torch.from_numpy(places.astype(np.int64))


def exclude_seen(train: Any, evaluated: Sequence[Any]) -> None:
    """Let the loaders of a sequential model leave out what a user has had in training and in the parts before theirs.

    Parameters
    ----------
    train : loader
        Of the training part.
    evaluated : sequence of FullSortBatches
        In the order of time.
    """
    dataset = train._dataset
    parts = [UsedPairs.of(*training_pairs(dataset), dataset.user_num, dataset.item_num)]
    for loader in evaluated:
        loader.seen = UsedItems(parts, dataset.user_num)
        parts.append(UsedPairs.of_part(loader._dataset))


def _memory(config: Any) -> int:
    return read_config(Engine, config).eval_memory * 2**20


class _Made(TorchDispatchMode):
    """Notes the bytes of every tensor that is made within the block."""

    def __init__(self) -> None:
        super().__init__()
        self.nbytes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        dense = [one for one in tree_leaves(out) if isinstance(one, Tensor) and one.layout is torch.strided]
        self.nbytes += [one.untyped_storage().nbytes() for one in dense]
        return out


def bytes_of_a_user(model: Any, users: Any) -> int:
    """Return by how much the largest tensor that `full_sort_predict` makes grows with a user.

    A dot product makes a number an item; some models make a vector an item, or one for each of its neighbours.

    Parameters
    ----------
    model : torch module
        Is asked for the scores of one user and of two; random states are left as they were.
    users : recbole.data.interaction.Interaction
        Two or more.
    """
    states, made = random_states(), []
    try:
        model.full_sort_predict(users[:2])  # what a model keeps from one call to the next is made here
    except NotImplementedError:  # RecBole asks it pair by pair, `eval_batch_size` at a time
        return 1
    for n in (1, 2):
        with _Made() as watched:
            model.full_sort_predict(users[:n])
        made.append(watched.nbytes)
    restore(states)
    one, two = made
    if len(one) != len(two):  # user after user
        return max(1, max(two) - max(one))
    return max(1, *(more - less for less, more in zip(one, two, strict=True)))


def within_memory(score: Any) -> Any:
    """Let the model score a part of the batch at a time where all of it would take more than `eval_memory`."""

    @functools.wraps(score)
    def wrapped(self: Any, batch: Any) -> Any:
        users, model = batch[0], self.model
        if len(users) < 2:
            return score(self, batch)
        if not hasattr(self, "_users_at_a_time"):
            each = bytes_of_a_user(model, users.to(self.device))
            self._users_at_a_time = max(1, _memory(self.config) // (HELD_AT_ONCE * each))
        most = self._users_at_a_time
        if most >= len(users):
            return score(self, batch)
        own = model.full_sort_predict
        model.full_sort_predict = lambda users: torch.cat(
            [own(users[first : first + most]).view(-1) for first in range(0, len(users), most)]
        )
        try:
            return score(self, batch)
        finally:
            del model.full_sort_predict

    return wrapped
