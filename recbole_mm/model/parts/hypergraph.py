"""MHCR's hypergraph: items are softly members of hyperedges by their features, and reach other items through them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.base.randomness import gumbel
from recbole_mm.graphs.products import SparseGraph

ROUNDING = 1e-12  # of a column's mean square: what a constant column's variance is at most


class Hypergraph(nn.Module):
    """Step 4 of MHCR, for each of several modalities.

    Parameters
    ----------
    p : dataclass
        The model's parameters; those that are read begin with `hyper_`, and are `n_hyper_layer`, `tau`, `keep_rate`
        and `logit_scale`.
    interactions : scipy sparse array, shape (U, I)
        R, of the training interactions.
    n_modalities : int
        For each of them a learned scale of its own, where logits are scaled.

    Notes
    -----
    Memberships are drawn by Gumbel softmax in training and are the plain softmax in evaluation, so that scores are a
    function of the weights.
    """

    def __init__(self, p: Any, interactions: sp.csr_array, n_modalities: int) -> None:
        super().__init__()
        self.p = p
        self.interactions = SparseGraph(interactions)
        if p.hyper_users == "mean":
            degree = np.maximum(interactions.sum(axis=1), 1)
            self.item_mean = SparseGraph(sp.csr_array(sp.diags_array(1 / degree) @ interactions))  # D_U^-1 R (U, I)
        n_scales = n_modalities if p.logit_scale else 0
        self.scales = nn.ParameterList(torch.full((p.hyper_num,), p.logit_scale) for _ in range(n_scales))

    def forward(self, m: int, logits: Tensor, items: Tensor) -> Tensor:
        """Return G^m (N, d): items to hyperedges and back, `n_hyper_layer` times.

        From one layer to the next the hyperedges L change by `H_I^T H_I` alone, so that only the last `H_I L` is taken.

        Parameters
        ----------
        m : int
            The modality.
        logits : Tensor, shape (I, hyper_num)
            Z_I.
        items : Tensor, shape (I, d)
            Where it starts: the content of the items.
        """
        if self.p.logit_scale:
            logits = standardised(logits) * self.scales[m]
        H_I = self.memberships(logits)
        scale = 1 / H_I.sum(0).clamp_min(1e-12).unsqueeze(1) if self.p.hyper_norm else 1.0
        edges = scale * (H_I.T @ items)  # L (hyper_num, d)
        if self.p.n_hyper_layer > 1:
            again = scale * (H_I.T @ H_I)  # (hyper_num, hyper_num)
            for _ in range(self.p.n_hyper_layer - 1):
                edges = again @ edges
        mean = self.p.hyper_users == "mean"
        H_U = self.item_mean(H_I) if mean else self.memberships(self.interactions(logits))
        H = [H_U - H_U.mean(0), H_I - H_I.mean(0)] if self.p.hyper_centre else [H_U, H_I]  # so G is centred, too
        return torch.cat(H) @ edges

    def memberships(self, logits: Tensor) -> Tensor:
        """Return H (n, hyper_num), whose rows sum to 1 before dropout."""
        if not self.training:
            return F.softmax(logits / self.p.tau, dim=1)
        if self.p.hyper_noise:
            logits = logits + self.p.hyper_noise * gumbel(logits.shape, logits)
        return F.dropout(F.softmax(logits / self.p.tau, dim=1), 1 - self.p.keep_rate)


def standardised(table: Tensor) -> Tensor:
    """Return a table (n, k) whose columns have mean 0 and standard deviation 1; a constant column is 0."""
    centred = table - table.mean(0)
    variance = centred.square().mean(0)
    constant = variance <= ROUNDING * table.square().mean(0)  # and its gradient is 0
    return (centred * variance.masked_fill(constant, 1).rsqrt()).masked_fill(constant, 0)
