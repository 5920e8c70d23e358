"""Every loss of the pack, once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CONTRAST_CHUNK_ELEMENTS = 500_000  # logits held at a time: 2 MB in float32, near a core's cache


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """Bayesian personalised ranking, `-mean log sigmoid(u.p - u.n)`.

    Parameters
    ----------
    positive, negative : Tensor, shape (batch,)
        Scores of the observed and of the sampled item.
    """
    return -F.logsigmoid(positive - negative).mean()


def squared_norm(embeddings: Sequence[Tensor], batch_size: int) -> Tensor:
    """Half the summed squares of a batch's embeddings over `batch_size`: the L2 term beside `bpr`."""
    return 0.5 * torch.stack([embedding.square().sum() for embedding in embeddings]).sum() / batch_size


def info_nce(anchor: Tensor, positive: Tensor, temperature: float, count: Tensor | None = None) -> Tensor:
    """InfoNCE within rows, in nats: mean of `-log(exp(cos(a_i, b_i)/t) / sum_j exp(cos(a_i, b_j)/t))`.

    `log n` minus it is a lower bound of the mutual information of a and b (van den Oord et al., arXiv 1807.03748).
    MHCR contrasts a batch's nodes with it; over all items it is the Solosimloss of SEA (arXiv 2406.08270).

    Parameters
    ----------
    anchor, positive : Tensor, shape (n, d)
        Row i of `positive` belongs to row i of `anchor`; all other rows are its negatives.
    temperature : float
        Greater than 0.
    count : int Tensor, shape (n,), optional
        How often each row occurs: the same value as with the rows repeated, at the cost of the distinct ones.
    """
    a, b = unit(anchor) / temperature, unit(positive)
    share = _share(a, count)
    return log_normaliser(a.unsqueeze(1), b, share, count) - (a * b).sum(1) @ share


def cross_modal_contrast(
    anchors: Sequence[Tensor],
    reference: Tensor,
    temperature: float,
    count: Tensor | None = None,
) -> Tensor:
    """Contrast of one node's embeddings across modalities (MHCR, arXiv 2409.09638, hypergraph contrast).

    Mean over the rows of `-log(sum_{m<k} exp(cos(g^m_i, g^k_i)/t) / sum_m sum_j exp(cos(g^m_i, G^ref_j)/t))`,
    which is 0 for one modality.

    Parameters
    ----------
    anchors : sequence of Tensor, each (n, d)
        The batch's nodes in each modality, in one order.
    reference : Tensor, shape (n_negatives, d)
        The nodes of the reference modality that serve as negatives.
    temperature : float
        Greater than 0.
    count : int Tensor, shape (n,), optional
        How often each row occurs in the batch, as in `info_nce`.
    """
    if len(anchors) < 2:
        return reference.new_zeros(())
    each = [unit(anchor) for anchor in anchors]
    pairs = torch.stack([(a * b).sum(1) / temperature for a, b in combinations(each, 2)], dim=1)  # (n, pairs)
    negatives = unit(reference) / temperature  # (n_negatives, d)
    share = _share(anchors[0], count)
    return log_normaliser(torch.stack(each, dim=1), negatives, share) - pairs.logsumexp(1) @ share


def unit(x: Tensor) -> Tensor:
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
        return (grad - out * (grad * out).sum(1, keepdim=True)) * scale


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


def log_normaliser(a: Tensor, b: Tensor, weight: Tensor, count: Tensor | None = None) -> Tensor:
    """Return `sum_i weight_i log sum_m sum_j count_j exp(a_im . b_j)` without keeping the logits of all rows.

    Parameters
    ----------
    a, b : Tensor, shapes (n, M, d) and (n_negatives, d)
        M anchors a row, and what each is compared with.
    weight : Tensor, shape (n,)
        A constant, such as each row's share of a mean.
    count : int Tensor, shape (n_negatives,), optional
        How often each row of b counts; once by default.

    Notes
    -----
    Rows of a are taken in chunks of `CONTRAST_CHUNK_ELEMENTS` logits, whose gradient is taken at once.
    """
    if not len(a):
        return (a.sum() + b.sum()) * 0
    dtype = torch.promote_types(a.dtype, torch.float32)
    log_count = None if count is None else count.to(dtype).log()
    out: Tensor = _LogNormaliser.apply(a.to(dtype), b.to(dtype), weight.to(dtype), log_count)
    return out


class _LogNormaliser(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, weight: Tensor, log_count: Tensor | None) -> Tensor:
        total, grad_a, grad_b = weight.new_zeros(()), torch.empty_like(a), torch.zeros_like(b)
        size = max(1, CONTRAST_CHUNK_ELEMENTS // max(a.shape[1] * len(b), 1))
        with torch.autocast(a.device.type, enabled=False):
            for anchors, weights, out in zip(a.split(size), weight.split(size), grad_a.split(size), strict=True):
                flat = anchors.flatten(0, 1)  # (chunk * M, d)
                logits = flat @ b.T
                if log_count is not None:
                    logits.add_(log_count)
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
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad_a, grad_b = ctx.saved_tensors
        return grad * grad_a, grad * grad_b, None, None


def _share(rows: Tensor, count: Tensor | None) -> Tensor:
    """Return the weight of each row in the mean, (n,)."""
    if count is None:
        return rows.new_full((len(rows),), 1 / max(len(rows), 1))
    return count.to(rows.dtype) / count.sum()


def rank_contrast(a: Tensor, b: Tensor, permutation: Tensor, temperature: float) -> Tensor:
    """Graph-hypergraph rank contrast (MHCR, arXiv 2409.09638): rows agree in the order of their values.

    Each row's values are sorted ascending on both sides; `s+ = exp(cos(a_i, b_i)/t)`,
    `s- = exp(cos(a_i, b_perm(i))/t)`, mean of `-log(s+ / (s+ + s-))`.

    Parameters
    ----------
    a, b : Tensor, shape (n, d)
        Two embeddings of the same nodes.
    permutation : int Tensor, shape (n,)
        The negative row of each row.
    temperature : float
        Greater than 0.
    """
    a, b = unit(_ascending(a)), unit(_ascending(b))
    difference = (a * (F.embedding(permutation, b) - b)).sum(1)
    return F.softplus(difference / temperature).mean()


def _ascending(x: Tensor) -> Tensor:
    """Return each row in ascending order; on a CPU numpy sorts several times faster than torch."""
    if x.device.type != "cpu":
        return x.sort(dim=1).values
    return x.gather(
        1, torch.from_numpy(np.argsort(x.detach().to(torch.promote_types(x.dtype, torch.float32)).numpy(), axis=1))
    )


class CLUB(nn.Module):
    """CLUB: an upper bound of the mutual information of x and y (Cheng et al., arXiv 2006.12013, equation 13).

    A Gaussian `r(y | x)` with diagonal covariance estimates the conditional; its mean and its log-variance, within
    (-1, 1), are MLPs of one hidden layer. Its log-density is taken without the constant,
    `log r(y | x) = -0.5 sum_d ((y_d - mu_d(x))^2 / sigma_d^2(x) + log sigma_d^2(x))`.

    Parameters
    ----------
    x_dim, y_dim : int
        Widths of x and y.
    hidden : int
        Width of the hidden layers.
    """

    def __init__(self, x_dim: int, y_dim: int, hidden: int) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(x_dim, hidden), nn.ReLU(), nn.Linear(hidden, y_dim))
        self.log_variance = nn.Sequential(nn.Linear(x_dim, hidden), nn.ReLU(), nn.Linear(hidden, y_dim), nn.Tanh())

    def log_likelihood(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean of `log r(y_i | x_i)` over the rows, in nats, which training the estimator maximises.

        Parameters
        ----------
        x, y : Tensor, shapes (n, x_dim) and (n, y_dim)
            Paired samples.
        """
        log_variance = self.log_variance(x)  # (n, y_dim)
        return -0.5 * ((y - self.mean(x)).square() / log_variance.exp() + log_variance).sum(1).mean()

    def forward(self, x: Tensor, y: Tensor, permutation: Tensor) -> Tensor:
        """Return the bound in nats: the mean of `log r(y_i | x_i) - log r(y_perm(i) | x_i)`.

        It is an upper bound as far as r fits, and may be negative where it does not.

        Parameters
        ----------
        x, y : Tensor, shapes (n, x_dim) and (n, y_dim)
            Paired samples.
        permutation : int Tensor, shape (n,)
            The row of y that stands for an independent sample, of each row of x.
        """
        mean, precision = self.mean(x), (-self.log_variance(x)).exp()  # (n, y_dim)
        far = F.embedding(permutation, y) - mean
        return 0.5 * ((far.square() - (y - mean).square()) * precision).sum(1).mean()


def pull(positive: Tensor, negative: Tensor, other: Tensor, strength: Tensor, push: Tensor) -> Tensor:
    """Contrast a user with its views by adaptive strengths (CCL4Rec, arXiv 2208.08024, pulling and pushing).

    Mean over users of `-sum_p w_p log(exp(c_p) / (exp(c_p) + sum_n w_n exp(c_n) + sum_o exp(c_o)))`; with equal
    strengths it is InfoNCE.

    Parameters
    ----------
    positive, negative, other : Tensor, shapes (B, P), (B, N) and (B, O)
        Cosines over temperature of a user with its positive views, its negative views, and other users
        (-inf: none).
    strength, push : Tensor, shapes (B, P) and (B, N)
        w_p, of sum 1 a row, and w_n, of mean 1 a row.
    """
    against = torch.cat([negative + push.log(), other], dim=1).logsumexp(1, keepdim=True)  # (B, 1)
    return (strength * F.softplus(against - positive)).sum(1).mean()


def over_contrast(similarity: Tensor, quality: Tensor) -> Tensor:
    """Contrast over contrast: of two views of a kind, the better one is nearer (CCL4Rec, arXiv 2208.08024).

    Mean over the pairs with `quality_p > quality_q` of `(quality_p - quality_q) softplus(c_q - c_p)`, 0 without one.

    Parameters
    ----------
    similarity, quality : Tensor, shape (B, V)
        c of each view with its user, and how little the view is damaged, in [0, 1].
    """
    better = (quality.unsqueeze(2) - quality.unsqueeze(1)).clamp_min(0)  # (B, V, V): p by q
    each = better * F.softplus(similarity.unsqueeze(1) - similarity.unsqueeze(2))
    return each.sum() / (better > 0).sum().clamp_min(1)
