"""The softmax loss over all items, and its gradients, for some users at a time.

The scores of a batch, (B, I), are large beside all else: written and read several times, they cost more than the
products that make them. Here those of a few users are made, used for the loss and for both gradients, and overwritten.
RecBole's own models multiply users by all items, and give the product to a cross entropy: it is put off until then.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from recbole_mm.recbole_bridge.later import Later

SCORES = {"cpu": 1 << 20}  # made at a time: what stays in a core's cache
SCORES_ELSEWHERE = 1 << 27  # enough to keep a GPU busy
DEFAULTS = {  # of torch's cross entropy
    **{"weight": None, "size_average": None, "ignore_index": -100},
    **{"reduce": None, "reduction": "mean", "label_smoothing": 0.0},
}


def item_softmax(
    users: Tensor,
    items: Tensor,
    target: Tensor,
    *,
    with_pad: bool = False,
    seen: Tensor | None = None,
    seen_bias: Tensor | None = None,
) -> Tensor:
    """Return the mean of -log softmax(u I^T)[target] over users u (B, d).

    Parameters
    ----------
    users, items : float tensors, shapes (B, d), (n_items, d)
    target : int tensor (B,), from 1
    with_pad : bool
        Item 0, which is [PAD], is an answer as any other; RecBole has it so.
    seen : int tensor (B, L), optional
        Items of each user, none twice, 0 where there is none; not together with `with_pad`.
    seen_bias : float tensor (), with `seen`
        What is added to their scores.
    """
    wide = torch.promote_types(users.dtype, torch.float32)  # sums of many exponentials need the digits
    loss: Tensor = _ItemSoftmax.apply(users.to(wide), items.to(wide), seen_bias, _Answers(target, with_pad, seen))
    return loss


class _Answers(NamedTuple):
    target: Tensor
    with_pad: bool
    seen: Tensor | None


class _ItemSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, bias: Tensor | None, answers: _Answers) -> Tensor:
        target, with_pad, seen = answers
        at_once = max(1, SCORES.get(users.device.type, SCORES_ELSEWHERE) // len(items))
        of_users, of_items = torch.empty_like(users), torch.zeros_like(items) if ctx.needs_input_grad[1] else None
        loss = users.new_zeros(())
        of_bias = None if bias is None else torch.zeros_like(bias)
        with torch.autocast(users.device.type, enabled=False):
            for start in range(0, len(users), at_once):
                some, answer = users[start : start + at_once], target[start : start + at_once].unsqueeze(1)
                scores = some @ items.T
                if seen is not None and bias is not None:
                    here = seen[start : start + at_once]
                    scores.scatter_(1, here, scores.gather(1, here) + bias)
                if not with_pad:
                    scores[:, 0] = -torch.inf
                own, largest = scores.gather(1, answer), scores.amax(1, keepdim=True)
                odds = scores.sub_(largest).exp_()
                total = odds.sum(1, keepdim=True)
                loss += (total.log() + largest - own).sum()
                errors = odds.div_(total).scatter_add_(1, answer, -torch.ones_like(own))  # softmax less the answer
                if of_bias is not None:
                    of_bias += errors.gather(1, here).sum()  # that of [PAD] is 0
                torch.mm(errors, items, out=of_users[start : start + at_once])
                if of_items is not None:
                    of_items.addmm_(errors.T, some)
        ctx.save_for_backward(of_users, of_items, of_bias)
        return loss / len(users)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        scale = gradient / len(ctx.saved_tensors[0])
        return *(None if part is None else scale * part for part in ctx.saved_tensors), None


class LaterScores(Later):
    """The product u I^T (B, n_items), of which a cross entropy needs no more than the factors."""

    users: Tensor
    items: Tensor  # (d, n_items)

    @staticmethod
    def of(users: Tensor, items: Tensor) -> LaterScores:
        later: LaterScores = LaterScores.shaped(users.new_empty(()).expand(len(users), items.shape[1]))
        later.users, later.items = users, items
        return later

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.cross_entropy and is_mean_over_all(*args, **(kwargs or {})):
            scores, target = args
            return item_softmax(scores.users, scores.items.T, target, with_pad=True)
        return super().__torch_function__(func, types, args, kwargs)

    def compute(self) -> Tensor:
        return torch.matmul(self.users, self.items)


def is_mean_over_all(scores: Any, target: Any, **settings: Any) -> bool:
    """Tell whether a cross entropy is the mean of -log softmax over all targets, each of which is an item."""
    later = isinstance(scores, LaterScores) and scores.computed is None
    return later and target.dim() == 1 and not target.is_floating_point() and settings.items() <= DEFAULTS.items()


class ScoresLater(TorchFunctionMode):
    """Puts off the products of users by `n_items` items, those that gradients are asked of."""

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.n_items = n_items

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.matmul and not kwargs and torch.is_grad_enabled():
            users, items = args
            if users.dim() == items.dim() == 2 and items.shape[1] == self.n_items:
                return LaterScores.of(users, items)
        return func(*args, **(kwargs or {}))


def with_item_softmax(train_epoch: Any) -> Any:
    """Let an epoch of RecBole's trainer compute a model's cross entropy over all items without keeping their scores."""

    @functools.wraps(train_epoch)
    def _train_epoch(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(getattr(self.model, "loss_fct", None), nn.CrossEntropyLoss):
            return train_epoch(self, *args, **kwargs)
        with ScoresLater(self.model.n_items):
            return train_epoch(self, *args, **kwargs)

    return _train_epoch
