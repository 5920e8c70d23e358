"""The softmax loss over all items, and its gradients, for some users at a time.

The scores of a batch, (B, I), are large beside all else: written and read several times, they cost more than the
products that make them. Here those of a few users are made, used for the loss and for both gradients, and overwritten.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SCORES = {"cpu": 1 << 20}  # made at a time: what stays in a core's cache
SCORES_ELSEWHERE = 1 << 27  # enough to keep a GPU busy


def item_softmax(users: Tensor, items: Tensor, target: Tensor) -> Tensor:
    """Return the mean of -log softmax(u I^T)[target] over users u (B, d), without item 0, which is [PAD].

    Parameters
    ----------
    users, items : float tensors, shapes (B, d), (n_items, d)
    target : int tensor (B,), from 1
    """
    wide = torch.promote_types(users.dtype, torch.float32)  # sums of many exponentials need the digits
    loss: Tensor = _ItemSoftmax.apply(users.to(wide), items.to(wide), target)
    return loss


class _ItemSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, target: Tensor) -> Tensor:
        at_once = max(1, SCORES.get(users.device.type, SCORES_ELSEWHERE) // len(items))
        of_users, of_items = torch.empty_like(users), torch.zeros_like(items)
        loss = users.new_zeros(())
        with torch.autocast(users.device.type, enabled=False):
            for start in range(0, len(users), at_once):
                some, answer = users[start : start + at_once], target[start : start + at_once].unsqueeze(1)
                scores = some @ items.T
                scores[:, 0] = -torch.inf
                own, largest = scores.gather(1, answer), scores.amax(1, keepdim=True)
                odds = scores.sub_(largest).exp_()
                total = odds.sum(1, keepdim=True)
                loss += (total.log() + largest - own).sum()
                errors = odds.div_(total).scatter_add_(1, answer, -torch.ones_like(own))  # softmax less the answer
                torch.mm(errors, items, out=of_users[start : start + at_once])
                of_items.addmm_(errors.T, some)
        ctx.save_for_backward(of_users, of_items)
        return loss / len(users)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        of_users, of_items = ctx.saved_tensors
        scale = gradient / len(of_users)
        return scale * of_users, scale * of_items, None
