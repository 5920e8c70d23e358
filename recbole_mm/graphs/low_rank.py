"""The user-item graph by its largest singular values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import svds
from torch import Tensor, nn

from recbole_mm.graphs.building import bipartite_adjacency


class LowRankAdjacency(nn.Module):
    """`[[0, R_q], [R_q^T, 0]]` (N, N), N = U + I, with `R_q = P S Q^T` the truncated singular values of R_hat.

    Parameters
    ----------
    interactions : scipy sparse array, shape (U, I)
        `R`, binary.
    rank : int
        How many of the largest singular values count; at most all but one, if there are several.
    """

    left: Tensor  # P S^1/2 (U, rank)
    right: Tensor  # Q S^1/2 (I, rank)

    def __init__(self, interactions: sp.csr_array, rank: int) -> None:
        super().__init__()
        n_users, smaller = interactions.shape[0], min(interactions.shape)
        matrix = bipartite_adjacency(interactions)[:n_users, n_users:]  # R_hat
        if smaller == 1:
            P, s, Q = np.linalg.svd(matrix.toarray(), full_matrices=False)
        else:
            start = np.random.default_rng(0).standard_normal(smaller)  # the same factors each time
            P, s, Q = svds(sp.csr_array(matrix), k=min(rank, smaller - 1), v0=start)
        for name, factor in (("left", P * np.sqrt(s)), ("right", Q.T * np.sqrt(s))):
            table = torch.from_numpy(np.ascontiguousarray(factor)).to(torch.get_default_dtype())
            self.register_buffer(name, table, persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, d)
        users, items = x.split([len(self.left), len(self.right)])
        return torch.cat([self.left @ (self.right.T @ items), self.right @ (self.left.T @ users)])

    def propagate(self, x: Tensor, weights: Sequence[float]) -> tuple[Tensor]:
        """Return `sum_l w_l A^l x`, as `SparseGraph.propagate` does for one sequence of weights."""
        total = weights[0] * x
        with torch.autocast(x.device.type, enabled=False):
            for weight in weights[1:]:
                x = self(x)
                total = total + weight * x
        return (total,)
