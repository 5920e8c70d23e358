"""Products with graphs of nodes that share something, by way of what they share."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from recbole_mm.graphs.building import inverse_root
from recbole_mm.graphs.products import SparseGraph


class SharedItems(nn.Module):
    """P (U, U): the number of items that two different users share, divided by the sum of a user's row.

    Never made: `R R^T x` is `R (R^T x)`, of which a user's own share is taken off.
    A user who shares none has a row of 0.

    Parameters
    ----------
    interactions : scipy sparse array, shape (U, I)
        `R`, binary.
    """

    own: Tensor  # (U, 1)

    def __init__(self, interactions: sp.csr_array) -> None:
        super().__init__()
        degree = interactions.sum(axis=1).astype(np.float64)
        total = interactions @ interactions.sum(axis=0).astype(np.float64) - degree
        scale = np.divide(1, total, out=np.zeros_like(degree), where=total > 0)
        self.to_users = SparseGraph(sp.diags_array(scale) @ interactions)
        self.to_items = SparseGraph(interactions.T)
        own = torch.from_numpy(scale * degree).to(torch.get_default_dtype()).unsqueeze(1)
        self.register_buffer("own", own, persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (U, d)
        out: Tensor = self.to_users(self.to_items(x)) - self.own * x
        return out


class SharedHyperedges(nn.Module):
    """Q (n, n): the hyperedges that two nodes share, `H H^T`, divided by the roots of the sums of both rows.

    Never made: `H H^T x` is `H (H^T x)`.

    Parameters
    ----------
    hyperedges : scipy sparse array, shape (n, n_hyperedges)
        H, binary: which node is in which hyperedge.
    """

    def __init__(self, hyperedges: sp.csr_array) -> None:
        super().__init__()
        half = inverse_root(hyperedges @ hyperedges.sum(axis=0)) @ hyperedges
        self.to_nodes, self.to_edges = SparseGraph(half), SparseGraph(half.T)

    def forward(self, x: Tensor) -> Tensor:  # (n, d)
        out: Tensor = self.to_nodes(self.to_edges(x))
        return out
