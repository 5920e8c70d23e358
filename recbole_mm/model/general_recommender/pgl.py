"""PGL: principal graph learning, trained on a part of the user-item graph (AAAI 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.graphs.building import fused_knn_graph, interaction_matrix
from recbole_mm.graphs.low_rank import LowRankAdjacency
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.model.parts import losses
from recbole_mm.model.parts.cold_items import ColdItemParameters
from recbole_mm.model.parts.contrast import l2_normalize
from recbole_mm.model.parts.item_shares import blocks
from recbole_mm.model.pruned_base import PrunedGraphRecommender
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class PGLParameters(ColdItemParameters):
    """Parameters of PGL."""

    embedding_size: int = parameter(64, "width d of a modality's part of the embeddings", low=1)
    n_ui_layers: int = parameter(2, "user-item propagation layers", low=0)
    n_mm_layers: int = parameter(1, "item-item propagation layers", low=0)
    knn_k: int = parameter(10, "neighbours of an item in each modality, itself included", low=1)
    graph_weights: dict[str, float] = parameter(
        {}, "weight of each modality in the item graph, summing to 1; equal if empty", low=0.0
    )
    principal: str = parameter(
        "edges", "what training keeps of the user-item graph: edges of each epoch, or its largest singular values",
        choices=("edges", "svd"),
    )  # fmt: skip
    edge_dropout: float = parameter(0.7, "share of the edges that an epoch does without", low=0.0, high=1.0)
    svd_rank: int = parameter(64, "singular values that training keeps", low=1)
    dropout: float = parameter(0.2, "share of the values that a view of the contrast drops", low=0.0, high=0.999)
    cl_weight: float = parameter(0.05, "weight of the contrast of two views", low=0.0)
    temp: float = parameter(0.2, "temperature of that contrast", low=1e-6)


class PGL(PrunedGraphRecommender):
    """PGL for any number of modalities; no item has an embedding of its own.

    Notes
    -----
    Scores are made from the whole graph. An epoch keeps 30 % of the edges, drawn as FREEDOM draws them.
    Own reading: the views are of final embeddings, and the contrast sees each user and item of a batch once; the rank
    of the decomposition is ours; there is no L2 term.
    """

    parameter_class = PGLParameters

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: PGLParameters = self.p
        d, weights, method = p.embedding_size, self.graph_weights(), self.engine.neighbour_search
        self.dropped_share = p.edge_dropout
        self.item_graph = SparseGraph(  # S (I, I)
            fused_knn_graph(self.features, self.masks, weights, p.knn_k, method)
        )
        self.user_preferences = nn.ParameterList(torch.empty(self.n_real_users, d) for _ in self.features)  # E^m (U, d)
        self.projections: Any = nn.ModuleList(nn.Linear(X.shape[1], d) for X in self.features)  # W_m, b_m
        self.low_rank = LowRankAdjacency(interaction_matrix(dataset), p.svd_rank) if p.principal == "svd" else None
        for weight in (*self.user_preferences, *(project.weight for project in self.projections)):
            nn.init.xavier_uniform_(weight)

    def forward(self, adjacency: SparseGraph | LowRankAdjacency) -> tuple[Tensor, Tensor]:
        """Return users (U, M d) and items (I, M d)."""
        p = self.p
        projected = [l2_normalize(project(X)) for project, X in zip(self.projections, self.features, strict=True)]
        start = torch.cat(projected, dim=1).to(self.user_preferences[0].dtype)
        table = torch.cat([torch.cat(list(self.user_preferences), dim=1), start])  # (N, M d)
        (mean,) = adjacency.propagate(table, [1 / (p.n_ui_layers + 1)] * (p.n_ui_layers + 1))
        (similar,) = self.item_graph.propagate(start, [0.0] * p.n_mm_layers + [1.0])
        users, items = self.sides(mean)
        return users, items + similar

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        p = self.p
        users, items = self.forward(self.low_rank or self.epoch_adjacency())
        terms, _ = self.ranking(interaction, users, items)
        if p.cl_weight:
            user, item = self.rows(interaction, self.USER_ID, self.ITEM_ID)
            batch = [F.embedding(rows.unique(), table) for rows, table in ((user, users), (item, items))]
            contrast = [losses.info_nce(F.dropout(x, p.dropout), F.dropout(x, p.dropout), p.temp) for x in batch]
            terms["cl"] = p.cl_weight * torch.stack(contrast).sum()
        return terms

    def embeddings(self) -> tuple[Tensor, Tensor]:
        return self.forward(self.adjacency)

    def item_parts(self) -> dict[str, Tensor]:
        return blocks(self.modality_names, self.embeddings()[1], self.p.embedding_size)
