"""Steps of the optimizer that are made from several batches, which share what a model computes of all users and items.

A graph model passes over its whole graph for every batch, however few of the nodes the batch has. Here a `forward` that
reads nothing of a batch is computed once for the batches of a step. They add up the gradients of its tables, which then
go back through the graph together. The step is that of the mean loss of the batches.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from recbole.data.interaction import Interaction
from recbole.utils import ModelType
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.utils._pytree import tree_leaves, tree_map_only

from recbole_mm.base.errors import InputError
from recbole_mm.settings.execution import Steps
from recbole_mm.settings.parameters import read_config

OWN_LOOPS = ("NCL",)  # models whose trainers have a loop over batches of their own


def batches_per_step(config: Any) -> int:
    """Return how many batches make a step of the optimizer.

    Raises
    ------
    InputError
        More than one, for a model or with a setting that cannot have it.
    """
    n, name = read_config(Steps, config).batches_per_step, config["model"]
    if n > 1 and config["MODEL_TYPE"] in (ModelType.TRADITIONAL, ModelType.DECISIONTREE):
        raise InputError(f"batches_per_step: {name} is not trained by gradients: leave it out")
    if n > 1 and name in OWN_LOOPS:
        raise InputError(f"batches_per_step: {name} makes a step for every batch: leave it out")
    if n > 1 and config["enable_scaler"]:
        raise InputError("batches_per_step: enable_scaler is for steps of one batch: leave one of them out")
    return n


def with_several_batches(train_epoch: Any) -> Any:
    """Let an epoch of RecBole's trainer make its steps from as many batches as are asked for."""

    @functools.wraps(train_epoch)
    def _train_epoch(self: Any, *args: Any, **kwargs: Any) -> Any:
        n = batches_per_step(self.config)
        if n == 1:
            return train_epoch(self, *args, **kwargs)
        with _steps_of(self, n):
            return train_epoch(self, *args, **kwargs)

    return _train_epoch


@contextmanager
def _steps_of(trainer: Any, n: int) -> Iterator[None]:
    """Let the trainer's optimizer make a step for every `n` batches, and for those that are left at the end."""
    optimizer, model, clip = trainer.optimizer, trainer.model, trainer.clip_grad_norm
    step = _Step(model, optimizer, n, clip)
    optimizer.zero_grad, optimizer.step, model.forward = step.before_batch, step.after_batch, step.forward
    trainer.clip_grad_norm = None
    try:
        yield
        step.make()
    finally:
        del optimizer.zero_grad, optimizer.step, model.forward
        trainer.clip_grad_norm = clip


class _Pass(NamedTuple):
    """A call of `forward`, what it has computed, and the same as leaves, which the batches read."""

    asked: tuple[Any, Any]
    computed: Any
    read: Any


class _Step:
    """A step of the optimizer, while its batches come.

    Attributes
    ----------
    n_batches : int
        That have come.
    passes : list of _Pass
        By call within a batch: two calls may differ by what they draw.
    """

    def __init__(self, model: Any, optimizer: Any, n: int, clip: dict[str, Any] | None) -> None:
        self.model, self.optimizer, self.n, self.clip = model, optimizer, n, clip
        self.n_batches, self.n_calls = 0, 0
        self.passes: list[_Pass] = []

    def before_batch(self, *_: Any, **__: Any) -> None:
        self.n_calls = 0
        if not self.n_batches:
            type(self.optimizer).zero_grad(self.optimizer)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        compute = functools.partial(type(self.model).forward, self.model, *args, **kwargs)
        of_batch = any(isinstance(one, Tensor | Interaction) for one in tree_leaves((args, kwargs)))
        if of_batch or not (self.model.training and torch.is_grad_enabled()):
            return compute()
        call, asked = self.n_calls, (args, kwargs)
        self.n_calls += 1
        if call == len(self.passes):
            computed = compute()
            self.passes.append(_Pass(asked, computed, tree_map_only(Tensor, _leaf, computed)))
        known = self.passes[call]
        return known.read if known.asked == asked else compute()

    def after_batch(self, *_: Any, **__: Any) -> None:
        self.n_batches += 1
        if self.n_batches == self.n:
            self.make()

    def make(self) -> None:
        """Make the step from the batches that have come, if any."""
        if not self.n_batches:
            return
        pairs = [
            pair for one in self.passes for pair in zip(tree_leaves(one.computed), tree_leaves(one.read), strict=True)
        ]
        learned = [(table, leaf.grad) for table, leaf in pairs if table is not leaf and leaf.grad is not None]
        self.passes = []
        if learned:
            torch.autograd.backward([table for table, _ in learned], [grad.to(table.dtype) for table, grad in learned])
        for parameter in (one for group in self.optimizer.param_groups for one in group["params"]):
            if parameter.grad is not None:
                parameter.grad /= self.n_batches
        if self.clip:
            clip_grad_norm_(self.model.parameters(), **self.clip)
        type(self.optimizer).step(self.optimizer)
        self.n_batches = 0


def _leaf(table: Tensor) -> Tensor:
    """Return the same numbers as a leaf that gathers gradients, in at least 32 bits, where the table has any."""
    if not table.requires_grad:
        return table
    return table.detach().to(torch.promote_types(table.dtype, torch.float32)).requires_grad_()
