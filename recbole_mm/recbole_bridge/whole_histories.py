"""Training on whole histories: a sequence a user, in which every next item is predicted at once.

RecBole trains a sample for every prefix of a history, and so encodes each behaviour once for every later one. A causal
model computes all of these predictions in one pass. Its rows are some of RecBole's own. Of a user with more behaviours
than fit, each history has the later half of the one before it as its first half, which is only read: a prediction has
at least half of what it has with prefixes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.utils import ModelType
from torch import Tensor

from recbole_mm.base.errors import InputError
from recbole_mm.settings.execution import Histories
from recbole_mm.settings.parameters import read_config

# What these say of a position depends on none behind it; the loss of the first ones is a mean over predictions.
MEAN_LOSS = ("SASRec", "GRU4Rec", "SASRecF", "GRU4RecF", "FDSA")
CAUSAL = (*MEAN_LOSS, "CCL4Rec")
LENGTHS = [8, 16, 32]  # on a CPU, histories up to each are padded and encoded by themselves


def trains_whole(config: Any) -> bool:
    """Tell whether training is on whole histories; it never is for a model that is not sequential, and has none.

    Raises
    ------
    InputError
        The model or its loss cannot do so.
    """
    if config["MODEL_TYPE"] != ModelType.SEQUENTIAL or read_config(Histories, config).train_histories == "prefixes":
        return False
    name = config["model"]
    if name not in CAUSAL:
        raise InputError(
            f"train_histories is whole, which {name} cannot be trained with: it is for {', '.join(CAUSAL)}, whose "
            "prediction at a position does not depend on later ones; leave it at prefixes"
        )
    if config["loss_type"] != "CE":
        raise InputError(f"train_histories is whole and loss_type {config['loss_type']}: set loss_type to CE")
    return True


def step_of(length: int) -> int:
    """Return how many predictions of a full history of `length` items count: those with at least half of it before."""
    return (length + 1) // 2


def whole_rows(users: np.ndarray, length: int) -> np.ndarray:
    """Return the rows whose histories have the target of every row once among the predictions that count.

    Parameters
    ----------
    users : int array (n,)
        Of each row, those of a user in the order of time; the history of a row are the at most `length` items before
        its target.
    """
    order = np.argsort(users, kind="stable")
    _, first, counts = np.unique(users[order], return_index=True, return_counts=True)
    place = np.arange(len(users))
    number, to_the_end = place - np.repeat(first, counts) + 1, np.repeat(first + counts, counts) - 1 - place
    step = step_of(length)
    within_next = (number + step < length) & (to_the_end >= step)
    rows: np.ndarray = np.sort(order[(to_the_end % step == 0) & ~within_next])
    return rows


def counted(length: Tensor, size: int, longest: int) -> Tensor:
    """Return which predictions (B, size) count, of histories of lengths (B,), of which `longest` is a full one."""
    place, length = torch.arange(size, device=length.device), length.unsqueeze(1)
    return (place < length) & ((length < longest) | (place >= longest - step_of(longest)))


def next_items(history: Tensor, length: Tensor, target: Tensor) -> Tensor:
    """Return what follows each position of histories (B, L) with targets (B,); 0 behind their lengths (B,)."""
    following = torch.cat([history[:, 1:], history.new_zeros(len(history), 1)], dim=1)
    return following.scatter(1, (length - 1).unsqueeze(1), target.unsqueeze(1))


def by_length(length: Tensor) -> list[Tensor]:
    """Return the rows of histories of lengths (B,) in groups of about the same length, none empty."""
    group = torch.bucketize(length, torch.tensor(LENGTHS))
    return [rows for number in range(len(LENGTHS) + 1) if len(rows := (group == number).nonzero().squeeze(1))]


def whole_loss(model: Any, interaction: Any) -> Any:
    """Return the model's own loss, of the predictions of the histories that count instead of the last ones.

    Where that is a mean over predictions, short histories are not padded to the longest one: on a CPU that is most of
    the work.
    """
    length = interaction[model.ITEM_SEQ_LEN]
    count = counted(length, interaction[model.ITEM_SEQ].shape[1], model.max_seq_length)
    if length.device.type != "cpu" or type(model).__name__ not in MEAN_LOSS:
        return _loss_at_every(model, interaction, count)
    suffix, n_predictions, total = model.ITEM_SEQ.removeprefix(model.ITEM_ID), int(count.sum()), 0.0
    for rows in by_length(length):
        some, longest = interaction[rows], int(length[rows].max())
        lists = {name: column[:, :longest] for name, column in some.interaction.items() if name.endswith(suffix)}
        here = count[rows, :longest]
        share = int(here.sum()) / n_predictions
        total = total + share * _loss_at_every(model, Interaction(some.interaction | lists), here)
    return total


def _loss_at_every(model: Any, interaction: Any, count: Tensor) -> Any:
    following = next_items(interaction[model.ITEM_SEQ], interaction[model.ITEM_SEQ_LEN], interaction[model.POS_ITEM_ID])
    columns = interaction.interaction | {model.POS_ITEM_ID: following[count]}
    with _at_every(model, count):
        return model.calculate_loss(Interaction(columns))


@contextmanager
def _at_every(model: Any, count: Tensor) -> Iterator[None]:
    """Let the model keep its output (B, L, d) at all positions that count (B, L), where it would take the last one."""
    model.gather_indexes = lambda output, _: output[count]
    try:
        yield
    finally:
        del model.gather_indexes


def with_whole_histories(train_epoch: Any) -> Any:
    """Let an epoch of RecBole's trainer take the loss of whole histories where they are asked for."""

    @functools.wraps(train_epoch)
    def _train_epoch(self: Any, train_data: Any, epoch_idx: int, loss_func: Any = None, **kwargs: Any) -> Any:
        if loss_func is None and trains_whole(self.config):
            loss_func = functools.partial(whole_loss, self.model)
        return train_epoch(self, train_data, epoch_idx, loss_func, **kwargs)

    return _train_epoch
