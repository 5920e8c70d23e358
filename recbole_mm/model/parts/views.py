"""Augmented views of histories for CCL4Rec (arXiv 2208.08024): what is replaced, by what, and how much that damages."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from recbole_mm.base.randomness import gumbel


class Views(NamedTuple):
    """V views of each history; positions of no history stay 0."""

    items: Tensor  # (B, V, L)
    damage: Tensor  # (B, V), in [0, 1]


class RelatedItems(nn.Module):
    """The most related items of each item, to draw substitutes from; rows by internal id, `[PAD]` has none.

    Parameters
    ----------
    graph : scipy sparse array, shape (n_items - 1, n_items - 1)
        Relatedness in (0, 1] of each real item to its neighbours, as `related_items` gives it.
    """

    neighbours: Tensor  # (n_items, k), 0 where an item has fewer
    similarity: Tensor  # (n_items, k)
    past: Tensor  # (n_items, k + 1)
    n_related: Tensor  # (n_items,)
    n_unrelated: Tensor  # (n_items,)

    def __init__(self, graph: sp.csr_array) -> None:
        super().__init__()
        n_real, counts = graph.shape[0], np.diff(graph.indptr)
        width = max(int(counts.max(initial=0)), 1)
        neighbours, similarity = np.zeros((n_real + 1, width), dtype=np.int64), np.zeros((n_real + 1, width))
        row = np.repeat(np.arange(n_real), counts)
        column = np.arange(graph.nnz) - graph.indptr[row]
        neighbours[row + 1, column] = graph.indices + 1
        similarity[row + 1, column] = graph.data
        # An item and its neighbours in order, each less the number before it: what `unrelated` counts past.
        own = np.concatenate([np.arange(n_real + 1)[:, None], neighbours], axis=1) - 1  # from 0, padding -1
        ordered = np.sort(np.where(own < 0, n_real + width, own), axis=1)
        self.n_real = n_real
        self.register_buffer("neighbours", torch.from_numpy(neighbours), persistent=False)
        self.register_buffer("similarity", torch.from_numpy(similarity).to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("past", torch.from_numpy(ordered - np.arange(width + 1)), persistent=False)
        n_related = np.concatenate([[0], counts])
        self.register_buffer("n_related", torch.from_numpy(n_related), persistent=False)
        self.register_buffer("n_unrelated", torch.from_numpy(n_real - 1 - n_related), persistent=False)

    def related(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a neighbour of each item, by its similarity: ids (n,) and relatedness (n,); each item needs one."""
        drawn = torch.multinomial(self.similarity[items], 1)  # (n, 1)
        return self.neighbours[items].gather(1, drawn).squeeze(1), self.similarity[items].gather(1, drawn).squeeze(1)

    def unrelated(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a real item that is neither the item nor its neighbour, uniformly: ids (n,), relatedness 0 (n,)."""
        count = self.n_unrelated[items]
        rank = (torch.rand(len(items), device=items.device) * count).long().clamp_max(count - 1)
        passed = torch.searchsorted(self.past[items], rank.unsqueeze(1), right=True).squeeze(1)
        return rank + passed + 1, torch.zeros_like(rank, dtype=self.similarity.dtype)


def damage(importance: Tensor, relatedness: Tensor) -> Tensor:
    """Return `D_v = sum_j a_j (1 - rel(j, s_j))`, in [0, 1] (CCL4Rec, quality of a view is `1 - D_v`).

    Parameters
    ----------
    importance : Tensor, shape (..., L)
        Attention weights a_j, of sum at most 1.
    relatedness : Tensor, shape (..., L)
        Of what stands at a position to what stood there, in [0, 1]; 1 where nothing was replaced.
    """
    return (importance * (1 - relatedness)).sum(-1).clamp(0, 1)


def make_views(history: Tensor, attention: Tensor, related: RelatedItems, shares: Tensor, positive: bool) -> Views:
    """Replace a share of each history, view by view.

    Positive views replace unimportant behaviours (drawn without replacement, with odds `1 / a_j`) by related items;
    negative ones important behaviours (odds `a_j`) by unrelated items.

    Parameters
    ----------
    history : int Tensor, shape (B, L)
        Internal ids, 0 at padded positions, which are never chosen and never substituted in.
    attention : Tensor, shape (B, L)
        Importance a_j of each behaviour to the user; no gradient is taken.
    related : RelatedItems
        Where substitutes come from.
    shares : Tensor, shape (V,)
        Share of the history that each view replaces, in [0, 1]; rounded up to whole behaviours.
    positive : bool
        Which kind.
    """
    attention = attention.detach()
    available = (related.n_related if positive else related.n_unrelated)[history] > 0  # (B, L)
    replaceable = (history > 0) & available
    length = (history > 0).sum(1, keepdim=True)  # (B, 1)
    wanted = (shares * length - 1e-6).ceil().clamp_min(0)  # (B, V)
    odds = attention.clamp_min(1e-12).log() * (-1 if positive else 1)  # (B, L)
    keys = odds.unsqueeze(1) + gumbel((len(history), len(shares), history.shape[1]), odds)
    keys = keys.masked_fill(~replaceable.unsqueeze(1), -torch.inf)
    rank = keys.argsort(dim=2, descending=True).argsort(dim=2)  # (B, V, L)
    chosen = (rank < wanted.unsqueeze(2)) & replaceable.unsqueeze(1)

    user, view, position = chosen.nonzero(as_tuple=True)
    substitutes, similarity = (related.related if positive else related.unrelated)(history[user, position])
    items = history.unsqueeze(1).repeat(1, len(shares), 1)
    items[user, view, position] = substitutes
    relatedness = torch.ones_like(keys)
    relatedness[user, view, position] = similarity
    return Views(items, damage(attention.unsqueeze(1), relatedness))
