"""FREEDOM: a frozen item graph and a denoised user-item graph (arXiv 2211.06924)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.graphs.building import fused_knn_graph
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.model.base import BufferList
from recbole_mm.model.graph_base import GraphParameters, GraphRecommender
from recbole_mm.model.parts import losses
from recbole_mm.model.pruned_base import PrunedGraphRecommender
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class FREEDOMParameters(GraphParameters):
    """Parameters of FREEDOM; the released code's values stand in brackets where ours differ."""

    n_ui_layers: int = parameter(2, "user-item propagation layers", low=0)
    n_mm_layers: int = parameter(1, "item-item propagation layers", low=0)
    knn_k: int = parameter(10, "neighbours of an item in each modality, itself included", low=1)
    graph_weights: dict[str, float] = parameter(
        {}, "weight of each modality in the item graph, summing to 1; equal if empty [image 0.1, text 0.9]", low=0.0
    )
    dropout: float = parameter(0.8, "share rho of the edges that an epoch does without", low=0.0, high=1.0)
    reg_weight: float = parameter(1e-3, "weight lambda of the ranking by each modality", low=0.0)


class FREEDOM(PrunedGraphRecommender, GraphRecommender):
    """FREEDOM for any number of modalities.

    Notes
    -----
    An epoch is trained on a share `1 - rho` of the user-item edges; scores are made from all edges.
    Items whose features of a modality are filled in are not ranked by them.
    """

    parameter_class = FREEDOMParameters

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: FREEDOMParameters = self.p
        self.dropped_share = p.dropout
        weights, method = self.graph_weights(), self.engine.neighbour_search
        self.item_graph = SparseGraph(  # S (I, I)
            fused_knn_graph(self.features, self.masks, weights, p.knn_k, method)
        )
        self.real = BufferList(self.masks)
        self.projections: Any = nn.ModuleList(  # W_m; the paper's b_m is in both scores of a pair
            nn.Linear(X.shape[1], p.embedding_size, bias=False) for X in self.features
        )
        self.initialise(*self.projections)

    def forward(self, adjacency: SparseGraph) -> tuple[Tensor, Tensor]:
        """Return users (U, d) and items (I, d)."""
        p = self.p
        (similar,) = self.item_graph.propagate(self.item_embedding.weight, [0.0] * p.n_mm_layers + [1.0])
        users, items = self.sides(self.propagated(p.n_ui_layers, adjacency))
        return users, items + similar

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        terms, (u, *_) = self.ranking(interaction, *self.forward(self.epoch_adjacency()))
        i, j = self.rows(interaction, self.ITEM_ID, self.NEG_ITEM_ID)
        modalities = zip(self.modality_names, self.features, self.projections, self.real, strict=True)
        for name, X, project, real in modalities:
            both = real[i] & real[j]  # a pair with a filled-in row counts as a tie, which has no gradient
            by_i, by_j = (both * (u * project(F.embedding(items, X))).sum(1) for items in (i, j))
            terms[f"bpr of {name}"] = self.p.reg_weight * losses.bpr(by_i, by_j)
        return terms

    def embeddings(self) -> tuple[Tensor, Tensor]:
        return self.forward(self.adjacency)
