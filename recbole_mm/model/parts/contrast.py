"""What the contrasts are made of: rows of length 1, negatives, and the sum over them in bounded memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CONTRAST_CHUNK_ELEMENTS = 500_000  # logits held at a time: 2 MB in float32, near a core's cache
LEAST_ROWS = 32  # of those at a time, so that a product is worth reading all negatives for


def l2_normalize(x: Tensor) -> Tensor:
    """Divide each row by its length; one of length 0 stays 0. As `F.normalize`, whose gradient takes twice the time.

    Parameters
    ----------
    x : Tensor, shape (n, d)
    """
    out: Tensor = _Unit.apply(x)
    return out


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = 1 / x.norm(dim=1, keepdim=True).clamp_min(1e-12)
        out = x * scale
        ctx.save_for_backward(out, scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        out, scale = ctx.saved_tensors
        along = (grad * out).sum(1, keepdim=True)
        return torch.addcmul(grad, out, along, value=-1).mul_(scale)


def negatives(which: int | str, nodes: Tensor, batch: Tensor) -> Tensor:
    """Return the nodes that a contrast is among.

    Parameters
    ----------
    which : int or str
        `all`, `batch`, or how many are drawn without replacement, at most all.
    nodes : int Tensor, shape (n,)
        All of them, ascending.
    batch : int Tensor
        The nodes of the batch, in any order; of those that are repeated or not in `nodes` nothing is kept twice.
    """
    if which == "all":
        return nodes
    if which == "batch":
        return nodes[torch.isin(nodes, batch)]
    return nodes[torch.randperm(len(nodes), device=nodes.device)[:which]]


def log_normaliser(
    a: Tensor, b: Tensor, weight: Tensor, count: Tensor | None = None, without: Tensor | None = None
) -> Tensor:
    """Return `sum_i weight_i log sum_m sum_j count_j exp(a_im . b_j)` without keeping the logits of all rows.

    Parameters
    ----------
    a, b : Tensor, shapes (n, M, d) and (n_negatives, d)
        M anchors a row, and what each is compared with.
    weight : Tensor, shape (n,)
        A constant, such as each row's share of a mean.
    count : int Tensor, shape (n_negatives,), optional
        How often each row of b counts; once by default.
    without : int Tensor, shape (n,), optional
        A row of b for each row of a that it is not compared with, such as itself.

    Notes
    -----
    Rows of a are taken in chunks of `CONTRAST_CHUNK_ELEMENTS` logits, at least `LEAST_ROWS` rows, whose gradient is
    taken at once.
    """
    if not len(a):
        return (a.sum() + b.sum()) * 0
    dtype = torch.promote_types(a.dtype, torch.float32)
    log_count = None if count is None else count.to(dtype).log()
    out: Tensor = _LogNormaliser.apply(a.to(dtype), b.to(dtype), weight.to(dtype), log_count, without)
    return out


class _LogNormaliser(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 (torch passes no keywords)
        ctx: Any, a: Tensor, b: Tensor, weight: Tensor, log_count: Tensor | None, without: Tensor | None
    ) -> Tensor:
        total, grad_a, grad_b = weight.new_zeros(()), torch.empty_like(a), torch.zeros_like(b)
        size = max(LEAST_ROWS, CONTRAST_CHUNK_ELEMENTS // max(a.shape[1] * len(b), 1))
        with torch.autocast(a.device.type, enabled=False):
            left_out = [None] * len(a.split(size)) if without is None else without.split(size)
            chunks = zip(a.split(size), weight.split(size), grad_a.split(size), left_out, strict=True)
            for anchors, weights, out, apart in chunks:
                flat = anchors.flatten(0, 1)  # (chunk * M, d)
                logits = flat @ b.T
                if log_count is not None:
                    logits.add_(log_count)
                if apart is not None:
                    logits.scatter_(1, apart.repeat_interleave(a.shape[1]).unsqueeze(1), -torch.inf)
                rows = logits.view(len(anchors), -1)  # (chunk, M * n_negatives)
                largest = rows.amax(1, keepdim=True)
                sums = rows.sub_(largest).exp_().sum(1, keepdim=True)
                total += weights @ (largest + sums.log()).squeeze(1)
                if any(ctx.needs_input_grad):
                    rows.mul_(weights.unsqueeze(1) / sums)  # the softmax, weighted
                    out.copy_((logits @ b).view_as(out))
                    grad_b.addmm_(logits.T, flat)
        ctx.save_for_backward(grad_a, grad_b)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_a, grad_b = ctx.saved_tensors
        return grad * grad_a, grad * grad_b, None, None, None
