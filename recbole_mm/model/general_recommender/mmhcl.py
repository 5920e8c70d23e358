"""MMHCL: LightGCN beside hypergraphs of users who share items and of items that share neighbours (TOMM 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.graphs.building import interaction_matrix, knn_graph
from recbole_mm.graphs.hypergraphs import SharedHyperedges, SharedItems
from recbole_mm.model.graph_base import GraphParameters, GraphRecommender
from recbole_mm.model.parts import losses
from recbole_mm.model.parts.contrast import l2_normalize
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class MMHCLParameters(GraphParameters):
    """Parameters of MMHCL; the defaults are the paper's for TikTok."""

    n_ui_layers: int = parameter(2, "user-item propagation layers", low=0)
    n_user_layers: int = parameter(3, "layers of the users' hypergraph", low=0)
    n_item_layers: int = parameter(2, "layers of the items' hypergraph", low=0)
    knn_k: int = parameter(5, "neighbours of an item in each modality, itself included", low=1)
    user_cl_weight: float = parameter(0.03, "weight w_u of the contrast of the users", low=0.0)
    item_cl_weight: float = parameter(0.07, "weight w_i of the contrast of the items", low=0.0)
    contrast_nodes: str = parameter("all", "nodes that are contrasted: all, or the batch's", choices=("all", "batch"))
    temp: float = parameter(0.6, "temperature of the contrasts", low=1e-6)
    reg_weight: float = parameter(1e-3, "weight of the L2 term of a batch's embeddings", low=0.0)


class MMHCL(GraphRecommender):
    """MMHCL for any number of modalities.

    Notes
    -----
    Own reading: row i of `K^m` marks the neighbours of item i, so that two items share as many hyperedges as they have
    neighbours in common; the hypergraph views are the last layers; the anchor of a contrast is the LightGCN view.
    """

    parameter_class = MMHCLParameters

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: MMHCLParameters = self.p
        method = self.engine.neighbour_search
        self.user_hypergraph = SharedItems(interaction_matrix(dataset))
        self.item_hypergraph = SharedHyperedges(
            sp.hstack(  # H (I, M I)
                [
                    knn_graph(X, p.knn_k, mask, binary=True, method=method)
                    for X, mask in zip(self.features, self.masks, strict=True)
                ],
                format="csr",
            )
        )
        self.user_hyper_embedding = nn.Embedding(self.n_real_users, p.embedding_size)  # E'_U
        self.item_hyper_embedding = nn.Embedding(self.n_real_items, p.embedding_size)  # E'_I
        self.initialise(self.user_hyper_embedding, self.item_hyper_embedding)

    def forward(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return the users and the items, each by LightGCN and by the hypergraph, (U, d) and (I, d)."""
        p = self.p
        users, items = self.sides(self.propagated(p.n_ui_layers))
        hyper_users, hyper_items = self.user_hyper_embedding.weight, self.item_hyper_embedding.weight
        for _layer in range(p.n_user_layers):
            hyper_users = self.user_hypergraph(hyper_users)
        for _layer in range(p.n_item_layers):
            hyper_items = self.item_hypergraph(hyper_items)
        return (users, l2_normalize(hyper_users)), (items, l2_normalize(hyper_items))

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        p, (users, items) = self.p, self.forward()
        terms, rows = self.ranking(interaction, users[0] + users[1], items[0] + items[1])
        terms["reg"] = p.reg_weight * losses.squared_norm(rows, len(rows[0]))
        user, item = self.rows(interaction, self.USER_ID, self.ITEM_ID)
        if p.user_cl_weight:
            terms["cl of users"] = p.user_cl_weight * self._contrast(*users, user)
        if p.item_cl_weight:
            terms["cl of items"] = p.item_cl_weight * self._contrast(*items, item)
        return terms

    def _contrast(self, view: Tensor, other: Tensor, batch: Tensor) -> Tensor:
        """InfoNCE of two views of nodes, each (n, d); the negatives are the other nodes in both."""
        if self.p.contrast_nodes == "batch":
            nodes = batch.unique()
            view, other = F.embedding(nodes, view), F.embedding(nodes, other)
        itself = torch.arange(len(view), 2 * len(view), device=view.device)
        return losses.info_nce_among(view, other, torch.cat([other, view]), self.p.temp, without=itself)

    def embeddings(self) -> tuple[Tensor, Tensor]:
        users, items = self.forward()
        return users[0] + users[1], items[0] + items[1]

    def parts(self) -> dict[str, Tensor]:
        """Return the hypergraph views beside what scores are made from."""
        users, items = self.forward()
        return super().parts() | {"hypergraph, users": users[1], "hypergraph, items": items[1]}
