"""Views of histories for CCL4Rec: what is replaced, by what, and how much that damages."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recbole_mm.base.randomness import gumbel
from recbole_mm.model.parts.contrast import l2_normalize
from recbole_mm.model.parts.planted import plant_items, plant_slices, positions

CANDIDATES = 64  # items drawn for a position of a hard negative view, of which one is taken


class Views(NamedTuple):
    """V views of each history; positions of no history stay 0."""

    items: Tensor  # (B, V, L)
    damage: Tensor  # (B, V), in [0, 1]


def influence(attention: Tensor, vectors: Tensor) -> Tensor:
    """Return `I_j = 1 - cos(u, u_-j)`, (B, L): how far a user vector turns without one of its behaviours, in [0, 2].

    `u_-j = (u - a_j e_j) / (1 - a_j)`; the only behaviour of a history has 1.

    Parameters
    ----------
    attention : Tensor, shape (B, L)
        a_j, of sum 1, 0 where there is no behaviour.
    vectors : Tensor, shape (B, L, d)
        e_j.
    """
    weighted = attention.unsqueeze(2) * vectors
    whole = weighted.sum(1, keepdim=True)  # u (B, 1, d)
    rest = whole - weighted  # of the direction of u_-j
    product = (whole * rest).sum(2)
    lengths = whole.norm(dim=2) * rest.norm(dim=2)
    turned = 1 - product / lengths.clamp_min(1e-12)
    return turned.clamp_min(0.0) * (attention > 0)


def worth(importance: Tensor, trust: Tensor) -> Tensor:
    """Return the share of each behaviour in `sum_j I_j t_j`, (B, L); 0 everywhere where the sum is."""
    each = importance * trust
    return each / each.sum(1, keepdim=True).clamp_min(1e-12)


def damage(worths: Tensor, relatedness: Tensor) -> Tensor:
    """Return `D_v = sum_j worth_j (1 - rel(j, s_j))`, in [0, 1] (CCL4Rec; the quality of a view is `1 - D_v`).

    Replacing what is not trusted costs nothing.

    Parameters
    ----------
    worths : Tensor, shape (..., L)
        Of sum at most 1.
    relatedness : Tensor, shape (..., L)
        Of what stands at a position to what stood there, in [0, 1]; 1 where nothing was replaced.
    """
    return (worths * (1 - relatedness)).sum(-1).clamp(0, 1)


def relatedness(space: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Return the cosine of what stands there to what stood there, in [0, 1], 1 where it is the same item.

    Parameters
    ----------
    space : Tensor, shape (n_items, d)
        By internal id, rows of length 1.
    old, new : int Tensor, of one shape
    """
    cosine = (space[old] * space[new]).sum(-1).clamp(0, 1)
    return torch.where(old == new, torch.ones_like(cosine), cosine)


class ViewSource(NamedTuple):
    """What views are made from; no gradient is taken but of `worths`."""

    items: Tensor  # (B, L), internal ids
    importance: Tensor  # I_j (B, L)
    trust: Tensor  # t_j (B, L)
    worths: Tensor  # (B, L)
    space: Tensor  # (n_items, d) P e_i by internal id, rows of length 1

    def counts(self, share: float) -> Tensor:
        """Return how many behaviours a view replaces, `round(r L)`, (B,)."""
        return (share * (self.items > 0).sum(1) + 0.5).long()

    def view(self, items: Tensor) -> tuple[Tensor, Tensor]:
        return items, damage(self.worths, relatedness(self.space, self.items, items))


def cleaned(given: ViewSource, share: float) -> tuple[Tensor, Tensor]:
    """Replace the most suspect behaviours, by `I_j (1 - t_j)`, by others of the history, drawn by trust."""
    real = given.items > 0
    suspicion = given.importance * (1 - given.trust)
    chosen = positions(suspicion, given.counts(share), real)
    kept = given.trust * (real & ~chosen)
    kept = torch.where(kept.sum(1, keepdim=True) > 0, kept, real.to(kept.dtype) + (~real).all(1, keepdim=True))
    drawn = torch.multinomial(kept, given.items.shape[1], replacement=True)  # (B, L) positions
    return given.view(torch.where(chosen, given.items.gather(1, drawn), given.items))


def noised(given: ViewSource, share: float) -> tuple[Tensor, Tensor]:
    """Plant noise: slices of other histories in one half of the users, popular items in the other."""
    counts = given.counts(share)
    half = torch.rand(len(counts), 1, device=counts.device) < 0.5
    slices, items = plant_slices(given.items, counts)[0], plant_items(given.items, counts)[0]
    return given.view(torch.where(half, slices, items))


def hard_negative(given: ViewSource, share: float, hardness: float) -> tuple[Tensor, Tensor]:
    """Replace behaviours drawn by their worth by items off the user's interest.

    Parameters
    ----------
    given : ViewSource
    share : float
        Of the history.
    hardness : float
        In [0, 1]: the substitute is at this quantile of `CANDIDATES` random items by its similarity to the history,
        0 the least similar, 1 the most.
    """
    real = given.items > 0
    odds = given.worths.detach().clamp_min(1e-12).log()
    chosen = positions(odds + gumbel(odds.shape, odds), given.counts(share), real)
    row, place = chosen.nonzero(as_tuple=True)
    drawn = torch.randint(1, len(given.space), (len(row), CANDIDATES), device=row.device)
    centre = l2_normalize((given.space[given.items] * real.unsqueeze(2)).sum(1))  # (B, d)
    similarity = torch.einsum("ncd,nd->nc", given.space[drawn], centre[row])
    nth = round(hardness * (CANDIDATES - 1))
    taken = drawn.gather(1, similarity.argsort(1)[:, nth : nth + 1]).squeeze(1)
    items = given.items.clone()
    items[row, place] = taken
    return given.view(items)


def stacked(views: list[tuple[Tensor, Tensor]]) -> Views:
    items, damages = zip(*views, strict=True)
    return Views(torch.stack(items, dim=1), torch.stack(damages, dim=1))
