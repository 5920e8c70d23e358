"""Trust of CCL4Rec: how well each behaviour of a history agrees with the others, and what that says of noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.model.parts.contrast import l2_normalize

WIDEST = 64  # directions of a modality: every behaviour of a batch has them
FAR = 3  # a part of a history: behaviours that are this part of it, or more, away from each other are far ones
SCALE = 5.0  # of agreement, whose differences within a history are small beside 1
HIDDEN = 32  # width of the network
FIRST_STD = 0.01  # of its last weights, at the start


def others(real: Tensor) -> Tensor:
    """Return which behaviours (B, L, L) are others of the same history; `real` (B, L) are positions that hold one."""
    return real.unsqueeze(1) & real.unsqueeze(2) & ~torch.eye(real.shape[1], dtype=torch.bool, device=real.device)


def far(real: Tensor) -> Tensor:
    """Return which of `others` are at least a third of the history away, in behaviours between them."""
    place = torch.arange(real.shape[1], device=real.device)
    distance = (place.unsqueeze(1) - place).abs()
    return others(real) & (FAR * distance >= real.sum(1)[:, None, None])


def largest(table: Tensor, k: int) -> Tensor:
    """Return the `k` largest of each column of symmetric tables (B, L, L), falling, (B, k, L).

    `topk` is slow for rows as short as a history; where no gradient is asked for, each row in turn is put where it
    belongs among the largest ones of all columns. A graph that is written (ONNX) has `topk`, which is one node.
    """
    if table.requires_grad or table.device.type != "cpu" or torch.compiler.is_compiling():
        return table.topk(k, dim=1).values
    best = [torch.full_like(table[:, 0], -torch.inf) for _ in range(k)]
    for row in table.unbind(1):
        left = row
        for place, held in enumerate(best):
            best[place], left = torch.maximum(held, left), torch.minimum(held, left)
    return torch.stack(best, dim=1)


def agreement(cosines: Tensor, among: Tensor, k: int) -> Tensor:
    """Return s_j (B, L): the mean cosine of each behaviour with the `k` nearest of some others, in [-1, 1].

    The nearest few instead of all, so that a second interest of a user is not noise. A behaviour without others has 0.

    Parameters
    ----------
    cosines : Tensor, shape (B, L, L)
        Of the behaviours of a history with each other.
    among : bool Tensor, shape (B, L, L)
        The others that count; symmetric.
    k : int
        At least 1; where there are fewer others all of them.
    """
    nearest = largest(cosines.masked_fill(~among, -torch.inf), min(k, among.shape[1]))
    found = nearest.isfinite()
    return nearest.masked_fill(~found, 0.0).sum(1) / found.sum(1).clamp_min(1)


def constant_space(X: Tensor, real: Tensor) -> Tensor:
    """Return features (n, d_m) for `agreement`: centred, in at most `WIDEST` principal directions, of length 1.

    Only `real` (n,) rows are read. The others are filled in, all with the same numbers, and are 0.
    """
    rows = X[real]
    centred = rows - rows.mean(0)
    if X.shape[1] > WIDEST:
        centred = centred @ torch.svd_lowrank(centred, q=min(WIDEST, len(rows)))[2]
    space = X.new_zeros(len(X), centred.shape[1])
    space[real] = l2_normalize(centred)
    return space


class Trust(nn.Module):
    """The logit of the trust in a behaviour, t_j = sigmoid(logit), from its agreement in each of several spaces.

    The first space are the item vectors through a learned map; each further one is constant. In each a behaviour
    agrees more or less with the others of its history, and with those that are far away in it: a burst of another
    taste agrees with itself. The logit is the mean of all `s_j - mean_k s_k`, and what a small network learns of these
    and of `s_j`, which is little at the start. A behaviour that a constant space lacks is not compared there, and both
    numbers are 0.

    Parameters
    ----------
    width : int
        Of the item vectors.
    n_constant : int
        Number of constant spaces.
    k : int
        Nearest behaviours, as `agreement` takes it.
    """

    def __init__(self, width: int, n_constant: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.space = nn.Linear(width, width, bias=False)  # P
        n_found = 4 * (1 + n_constant)  # with others and with far ones, relative and not, in each space
        last = nn.Linear(HIDDEN, 1)
        nn.init.normal_(last.weight, std=FIRST_STD)
        nn.init.zeros_(last.bias)
        self.learned = nn.Sequential(nn.Linear(n_found, HIDDEN), nn.GELU(), last)

    def forward(self, items: Tensor, constant: Sequence[Tensor], real: Tensor) -> Tensor:
        """Return logits (B, L), of no meaning at the other positions.

        Parameters
        ----------
        items : Tensor, shape (B, L, width)
            The vectors of the behaviours.
        constant : sequence of Tensor, each (B, L, d_m)
            The behaviours in the constant spaces; a row of 0 where a space lacks one.
        real : bool Tensor, shape (B, L)
            Which positions hold a behaviour.
        """
        parts, found, relative = (others(real), far(real)), [], []
        for number, space in enumerate((self.space(items), *constant)):
            unit = l2_normalize(space.flatten(0, 1)).view_as(space)
            cosines = unit @ unit.mT
            held = real & (space != 0).any(2) if number else real  # (B, L)
            for among in parts:
                s = SCALE * agreement(cosines, among & held.unsqueeze(1) & held.unsqueeze(2), self.k)
                found.append(s)
                relative.append((s - s.sum(1, keepdim=True) / held.sum(1, keepdim=True).clamp_min(1)) * held)
        learned = self.learned(torch.stack(relative + found, dim=2)).squeeze(2)  # of (B, L, n_found)
        logits: Tensor = torch.stack(relative, dim=2).mean(2) + learned
        return logits


def planted_loss(logits: Tensor, planted: Tensor, counted: Tensor) -> Tensor:
    """Return the binary cross entropy of trust where it is known: noise that was planted, and what was there.

    Parameters
    ----------
    logits : Tensor, shape (B, L)
        Of the trust.
    planted : bool Tensor, shape (B, L)
        Whether a behaviour was put there.
    counted : bool Tensor, shape (B, L)
        Which positions count; 0 without one.
    """
    wrong = F.binary_cross_entropy_with_logits(logits, (~planted).to(logits.dtype), reduction="none")
    return (wrong * counted).sum() / counted.sum().clamp_min(1)
