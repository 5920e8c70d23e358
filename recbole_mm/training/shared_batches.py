"""Batches that several processes share: each learns from some rows, and their gradients are added."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.data.interaction import Interaction
from torch.nn.utils import clip_grad_norm_
from torch.optim.optimizer import register_optimizer_step_pre_hook

from recbole_mm.base.errors import InputError
from recbole_mm.parallel.process_group import ProcessGroup


class SharedBatches:
    """A loader of training: the first process draws the batches, and each gets every `size`-th row of them.

    Attributes
    ----------
    weight : float
        This process's share of the rows of the last batch, 0 where it has too few for all.
    """

    weight = 0.0

    def __init__(self, loader: Any, group: ProcessGroup) -> None:
        self.loader, self.group = loader, group

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Interaction]:
        for batch in told_batches(self.loader if self.group.leads else (), self.group):
            rows = slice(self.group.rank, None, self.group.size)
            mine = batch[rows if len(batch) > self.group.rank else slice(0, 1)]
            self.weight = len(mine) / len(batch) if len(batch) > self.group.rank else 0.0
            yield mine


def told_batches(batches: Any, group: ProcessGroup) -> Iterator[Any]:
    """Yield in every process the batches that the first one draws: interactions, or tuples that begin with one."""
    if group.leads:
        for batch in batches:
            first, *others = batch if isinstance(batch, tuple) else (batch,)
            if not isinstance(first, Interaction) or not all(isinstance(one, torch.Tensor) for one in others):
                raise InputError("--nproc: batches of this model are no interactions; leave --nproc out")
            columns = {f"i.{name}": column for name, column in first.interaction.items()}
            group.told(columns | {f"o.{place}": one for place, one in enumerate(others)})
            yield batch
        group.told(None)
        return
    while (told := group.told(None)) is not None:
        first = Interaction({name[2:]: column for name, column in told.items() if name.startswith("i.")})
        others = [column for name, column in told.items() if name.startswith("o.")]
        yield (first, *others) if others else first


def share_of_batches(loader: Any, group: ProcessGroup) -> Any:
    """Return a loader of an evaluation that gives a process its part, one batch after the other, of all batches."""
    kind: Any = type(f"ShareOf{type(loader).__name__}", (_ShareOfBatches, type(loader)), {"group": group})
    shared = kind.__new__(kind)
    shared.__dict__.update(loader.__dict__)
    return shared


class _ShareOfBatches:
    group: ProcessGroup

    def __iter__(self) -> Iterator[Any]:
        n, rank, size = len(self), self.group.rank, self.group.size  # type: ignore[arg-type]
        first, last = n * rank // size, n * (rank + 1) // size
        batches: Any = super().__iter__()  # type: ignore[misc]
        if isinstance(self, FullSortEvalDataLoader):
            yield from islice(batches, first, last)
            return
        for place, batch in enumerate(told_batches(batches, self.group)):  # they are drawn
            if first <= place < last:
                yield batch


@contextmanager
def gradients_added(trainer: Any, batches: SharedBatches) -> Iterator[None]:
    """Let every optimizer, before its step, have the gradients of the whole batch.

    They are the sum over processes, each by its share of the rows: those of the whole batch where a loss is a mean over
    rows. What the trainer cuts of them (`clip_grad_norm`), it cuts then.
    """
    group, clip = batches.group, trainer.clip_grad_norm

    def add(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        parameters = [one for each in optimizer.param_groups for one in each["params"]]
        there = group.add(torch.tensor([one.grad is not None for one in parameters], dtype=torch.int64))
        learning = [one for one, n in zip(parameters, there.tolist(), strict=True) if n]
        if any(one.grad is not None and one.grad.layout != torch.strided for one in learning):
            raise InputError("--nproc: gradients of this model are sparse; leave --nproc out")
        flat = [torch.zeros_like(one) if one.grad is None else one.grad * batches.weight for one in learning]
        summed = group.add(torch.cat([one.reshape(-1) for one in flat])) if flat else torch.zeros(0)
        for one, gradient in zip(learning, summed.split([one.numel() for one in learning]), strict=True):
            one.grad = gradient.view_as(one).to(one.dtype)
        if clip and optimizer is trainer.optimizer:
            clip_grad_norm_(trainer.model.parameters(), **clip)

    trainer.clip_grad_norm = None
    hook = register_optimizer_step_pre_hook(add)
    try:
        yield
    finally:
        hook.remove()
        trainer.clip_grad_norm = clip
