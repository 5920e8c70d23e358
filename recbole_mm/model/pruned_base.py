"""What recommenders share that train every epoch on a part of the user-item edges, drawn by degree."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from recbole_mm.graphs.building import bipartite_adjacency, interaction_matrix
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.model.graph_base import BipartiteRecommender


class PrunedGraphRecommender(BipartiteRecommender):
    """A recommender with degree-sensitive edge pruning (FREEDOM, arXiv 2211.06924).

    An epoch is trained on a share of the edges, drawn without replacement in proportion to
    `1 / sqrt(degree_u degree_i)`.

    Attributes
    ----------
    dropped_share : float
        The share of the edges that an epoch does without; a model sets it.
    """

    dropped_share: float

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        interactions = interaction_matrix(dataset)  # R (U, I)
        self.edges = interactions.tocoo()
        degree = interactions.sum(axis=1)[self.edges.row] * interactions.sum(axis=0)[self.edges.col]
        self.edge_probability = degree**-0.5 / (degree**-0.5).sum()  # (n_edges,)
        self.pruned: SparseGraph | None = None  # A_hat of this epoch's edges

    def train(self, mode: bool = True) -> Any:
        """RecBole's trainer calls this at the beginning of every epoch, which then draws its own edges."""
        self.pruned = None
        return super().train(mode)

    def epoch_adjacency(self) -> SparseGraph:
        """Return A_hat of this epoch's edges, (N, N)."""
        if self.pruned is None:
            self.pruned = self._pruned()
        return self.pruned

    def _pruned(self) -> SparseGraph:
        n_edges = len(self.edge_probability)
        n_kept = round((1 - self.dropped_share) * n_edges)
        kept = np.random.choice(n_edges, n_kept, replace=False, p=self.edge_probability)
        edges = np.ones(n_kept), (self.edges.row[kept], self.edges.col[kept])
        adjacency = bipartite_adjacency(sp.csr_array(edges, shape=self.edges.shape))
        return SparseGraph(adjacency, symmetric=True).to(next(self.parameters()))
