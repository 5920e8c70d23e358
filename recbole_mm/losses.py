"""Every loss of the pack, once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F


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
    """InfoNCE within rows: mean of `-log(exp(cos(a_i, b_i)/t) / sum_j exp(cos(a_i, b_j)/t))`.

    Parameters
    ----------
    anchor, positive : Tensor, shape (n, d)
        Row i of `positive` belongs to row i of `anchor`; all other rows are its negatives.
    temperature : float
        Greater than 0.
    count : int Tensor, shape (n,), optional
        How often each row occurs: the same value as with the rows repeated, at the cost of the distinct ones.
    """
    logits = F.normalize(anchor, dim=1) @ F.normalize(positive, dim=1).T / temperature  # (n, n)
    if count is None:
        return (logits.logsumexp(1) - logits.diagonal()).mean()
    return ((logits + count.log()).logsumexp(1) - logits.diagonal()) @ _share(count, logits)


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
    unit = [F.normalize(anchor, dim=1) for anchor in anchors]
    pairs = torch.stack([(a * b).sum(1) / temperature for a, b in combinations(unit, 2)], dim=1)  # (n, pairs)
    negatives = F.normalize(reference, dim=1).T / temperature  # (d, n_negatives)
    against = torch.stack([torch.logsumexp(a @ negatives, dim=1) for a in unit], dim=1)  # (n, M)
    loss = torch.logsumexp(against, dim=1) - torch.logsumexp(pairs, dim=1)  # (n,)
    return loss.mean() if count is None else loss @ _share(count, loss)


def _share(count: Tensor, like: Tensor) -> Tensor:
    return count.to(like.dtype) / count.sum()


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
    a = F.normalize(a.sort(dim=1).values, dim=1)
    b = F.normalize(b.sort(dim=1).values, dim=1)
    return F.softplus(((a * F.embedding(permutation, b)).sum(1) - (a * b).sum(1)) / temperature).mean()
