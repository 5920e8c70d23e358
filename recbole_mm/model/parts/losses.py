"""Every loss of the pack, once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.model.parts.contrast import l2_normalize, log_normaliser


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
    a, b = l2_normalize(anchor) / temperature, l2_normalize(positive)
    share = _share(a, count)
    return log_normaliser(a.unsqueeze(1), b, share, count) - (a * b).sum(1) @ share


def info_nce_among(
    anchor: Tensor,
    positive: Tensor,
    among: Tensor,
    temperature: float,
    *,
    count: Tensor | None = None,
    without: Tensor | None = None,
) -> Tensor:
    """InfoNCE among given rows: mean of `-log(exp(cos(a_i, b_i)/t) / sum_j exp(cos(a_i, c_j)/t))`.

    Parameters
    ----------
    anchor, positive : Tensor, shape (n, d)
        Row i of `positive` belongs to row i of `anchor`.
    among : Tensor, shape (m, d)
        What each anchor is compared with, the positives among them.
    temperature : float
        Greater than 0.
    count : int Tensor, shape (n,), optional
        How often each anchor occurs; once by default.
    without : int Tensor, shape (n,), optional
        The row of `among` that each anchor is not compared with.
    """
    a, b, c = l2_normalize(anchor) / temperature, l2_normalize(positive), l2_normalize(among)
    share = _share(a, count)
    return log_normaliser(a.unsqueeze(1), c, share, without=without) - (a * b).sum(1) @ share


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
    each = [l2_normalize(anchor) for anchor in anchors]
    pairs = torch.stack([(a * b).sum(1) / temperature for a, b in combinations(each, 2)], dim=1)  # (n, pairs)
    negatives = l2_normalize(reference) / temperature  # (n_negatives, d)
    share = _share(anchors[0], count)
    return log_normaliser(torch.stack(each, dim=1), negatives, share) - pairs.logsumexp(1) @ share


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
    a, b = l2_normalize(_ascending(a)), l2_normalize(_ascending(b))
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


def denoising_pull(views: Tensor, anchors: Tensor, strength: Tensor, temperature: float) -> Tensor:
    """Draw views to their users, whose vectors get no gradient (CCL4Rec, pulling by adaptive strengths).

    Mean over users of `-sum_v w_v log(exp(c(v, u)/t) / sum_u' exp(c(v, u')/t))`, c the cosine.

    Parameters
    ----------
    views : Tensor, shape (B, V, d)
        Rows of length 1.
    anchors : Tensor, shape (B, d)
        The users, rows of length 1.
    strength : Tensor, shape (B, V)
        w_v, of sum 1 a row.
    temperature : float
        Greater than 0.
    """
    logits = views @ anchors.detach().T / temperature  # (B, V, B)
    own = torch.arange(len(anchors), device=anchors.device)[:, None].expand(strength.shape)
    wrong = F.cross_entropy(logits.flatten(0, 1), own.flatten(), reduction="none").view_as(strength)
    return (strength * wrong).sum(1).mean()


def hard_push(
    near: Tensor, far: Tensor, damage: Tensor, strength: Tensor, *, margin: float, temperature: float
) -> Tensor:
    """Push hard negative views behind the positive ones, with a denominator of their own (CCL4Rec, pushing).

    Mean over users of `sum_n w_n softplus((c(n) - min_p c(p) + margin D_n) / t)`.

    Parameters
    ----------
    near, far : Tensor, shapes (B, P) and (B, N)
        Cosines c of a user with its positive and its hard negative views.
    damage, strength : Tensor, shape (B, N)
        D_n, and w_n of sum 1 a row.
    margin : float
        At least 0.
    temperature : float
        Greater than 0.
    """
    gap = far - near.amin(1, keepdim=True) + margin * damage
    return (strength * F.softplus(gap / temperature)).sum(1).mean()


def over_contrast(similarity: Tensor, damage: Tensor, margin: float, temperature: float) -> Tensor:
    """Contrast over contrast: of two views the less damaged one is nearer (CCL4Rec, arXiv 2208.08024).

    Mean over the pairs with `D_q > D_p` of `(D_q - D_p) softplus((c_q - c_p + margin (D_q - D_p)) / t)`, 0 without one.

    Parameters
    ----------
    similarity, damage : Tensor, shape (B, V)
        c of each view with its anchor, and D in [0, 1].
    margin : float
        At least 0.
    temperature : float
        Greater than 0.
    """
    worse = (damage.unsqueeze(1) - damage.unsqueeze(2)).clamp_min(0)  # (B, V, V): D_q - D_p at (p, q)
    gap = similarity.unsqueeze(1) - similarity.unsqueeze(2) + margin * worse
    each = worse * F.softplus(gap / temperature)
    return each.sum() / (worse > 0).sum().clamp_min(1)
