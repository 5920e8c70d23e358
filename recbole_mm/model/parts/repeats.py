"""A bias of the scores of items that a user has had.

Where users are weighted means of item vectors, the items of a history score high whether or not users return to them.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def once(history: Tensor) -> Tensor:
    """Return histories (B, L) with 0 instead of an item that was there before."""
    before = (history.unsqueeze(2) == history.unsqueeze(1)).tril(-1).any(2)
    return history.masked_fill(before, 0)


def of_prefixes(history: Tensor) -> Tensor:
    """Return `once` of all prefixes of histories (B, L), as (B, L, L): row t is that of the first t + 1 behaviours."""
    return once(history).unsqueeze(1).expand(-1, history.shape[1], -1).tril()


def add_bias(scores: Tensor, seen: Tensor, bias: Tensor) -> Tensor:
    """Return scores (B, n), with `bias` () added in the columns `seen` (B, L); column 0 is of no meaning then."""
    return scores.scatter_add(1, seen, bias.to(scores.dtype).expand_as(seen))


def score(users: Tensor, items: Tensor, seen: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """Return the scores (B,) of one item each, `ids` (B,): u e_i, and `bias` () where it is among `seen` (B, L)."""
    return (users * F.embedding(ids, items)).sum(1) + bias * (seen == ids.unsqueeze(1)).any(1)
