"""Trust of CCL4Rec: how well each behaviour of a history agrees with the others, and what that says of noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.model.parts.contrast import l2_normalize

WIDEST = 64  # directions of a modality: every behaviour of a batch has them
START = 5.0  # weight, at the start, of a behaviour's agreement relative to that of its history


def agreement(vectors: Tensor, real: Tensor, k: int) -> Tensor:
    """Return s_j (B, L): the mean cosine of each behaviour with its `k` nearest others in the history, in [-1, 1].

    The nearest few instead of all, so that a second interest of a user is not noise. A behaviour without others has 0.

    Parameters
    ----------
    vectors : Tensor, shape (B, L, d)
        Of the behaviours.
    real : bool Tensor, shape (B, L)
        Which positions hold one.
    k : int
        At least 1; of a history with fewer others all of them.
    """
    unit = l2_normalize(vectors.flatten(0, 1)).view_as(vectors)
    others = real.unsqueeze(1) & ~torch.eye(real.shape[1], dtype=torch.bool, device=real.device)  # (B, L, L)
    nearest = (unit @ unit.mT).masked_fill(~others, -torch.inf).topk(min(k, real.shape[1]), dim=2).values
    found = nearest.isfinite()
    mean = nearest.masked_fill(~found, 0.0).sum(2) / found.sum(2).clamp_min(1)
    return mean.masked_fill(~real, 0.0)


def constant_space(X: Tensor) -> Tensor:
    """Return features (n, d_m) for `agreement`: centred, in at most `WIDEST` principal directions, of length 1."""
    centred = X - X.mean(0)
    if X.shape[1] > WIDEST:
        centred = centred @ torch.svd_lowrank(centred, q=min(WIDEST, len(X)))[2]
    return l2_normalize(centred)


class Trust(nn.Module):
    """The logit of the trust in a behaviour, t_j = sigmoid(logit), from its agreement in each of several spaces.

    The first space are the item vectors through a learned map; each further one is constant. Linear in
    `s_j^m - mean_k s_k^m` and `s_j^m`.

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
        n_spaces = 1 + n_constant
        self.weigh = nn.Linear(2 * n_spaces, 1)
        with torch.no_grad():  # at the start the relative agreement alone, all spaces alike
            self.weigh.bias.zero_()
            self.weigh.weight.zero_()
            self.weigh.weight[:, :n_spaces] = START / n_spaces

    def forward(self, items: Tensor, constant: Sequence[Tensor], real: Tensor) -> Tensor:
        """Return logits (B, L), of no meaning at the other positions.

        Parameters
        ----------
        items : Tensor, shape (B, L, width)
            The vectors of the behaviours.
        constant : sequence of Tensor, each (B, L, d_m)
            The behaviours in the constant spaces.
        real : bool Tensor, shape (B, L)
            Which positions hold a behaviour.
        """
        spaces = [self.space(items), *constant]
        each = torch.stack([agreement(space, real, self.k) for space in spaces], dim=2)  # (B, L, spaces)
        mean = each.sum(1, keepdim=True) / real.sum(1).clamp_min(1)[:, None, None]
        return self.weigh(torch.cat([each - mean, each], dim=2)).squeeze(2)


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
