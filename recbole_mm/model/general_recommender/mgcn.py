"""MGCN: multi-view graph convolution with features purified by behaviour (arXiv 2308.03588)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.graphs.building import bipartite_adjacency, interaction_matrix, knn_graph, symmetric_normalise
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.model.base import MultimodalRecommender
from recbole_mm.model.parts import losses
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class MGCNParameters:
    """Parameters of MGCN."""

    embedding_size: int = parameter(64, "width d of every embedding", low=1)
    n_ui_layers: int = parameter(2, "user-item propagation layers", low=0)
    n_mm_layers: int = parameter(1, "item-item propagation layers", low=0)
    knn_k: int = parameter(10, "neighbours of an item in each modality, itself included", low=1)
    cl_weight: float = parameter(0.001, "weight lambda_C of the contrast of behaviour and modalities", low=0.0)
    temp: float = parameter(0.2, "temperature of that contrast", low=1e-6)
    reg_weight: float = parameter(1e-4, "weight lambda_E of the L2 term of a batch's embeddings", low=0.0)


class MGCN(MultimodalRecommender):
    """MGCN for any number of modalities."""

    parameter_class = MGCNParameters

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: MGCNParameters = self.p
        d, n_users = p.embedding_size, self.n_real_users
        adjacency = bipartite_adjacency(interaction_matrix(dataset))
        self.adjacency = SparseGraph(adjacency, symmetric=True)  # A_hat (N, N)
        self.user_graph = SparseGraph(adjacency[:n_users, n_users:])  # R_hat (U, I)
        self.item_graphs: Any = nn.ModuleList(
            SparseGraph(symmetric_normalise(knn_graph(X, p.knn_k, mask, method=self.engine.neighbour_search)))
            for X, mask in zip(self.features, self.masks, strict=True)
        )  # S^m (I, I)
        self.user_embedding = nn.Embedding(n_users, d)
        self.item_embedding = nn.Embedding(self.n_real_items, d)
        self.projections: Any = nn.ModuleList(nn.Linear(X.shape[1], d) for X in self.features)  # W_1, b_1
        self.gates: Any = nn.ModuleList(self._gate() for _ in self.features)  # W_2, b_2
        self.attention = nn.Sequential(nn.Linear(d, d), nn.Tanh(), nn.Linear(d, 1, bias=False))  # W_3, b_3, q
        self.preferences: Any = nn.ModuleList(self._gate() for _ in self.features)  # W_4, b_4
        for table in (self.user_embedding, self.item_embedding):
            nn.init.xavier_uniform_(table.weight)

    def _gate(self) -> nn.Sequential:
        d = self.p.embedding_size
        return nn.Sequential(nn.Linear(d, d), nn.Sigmoid())

    def forward(self) -> tuple[Tensor, list[Tensor]]:
        """Return the behaviour of users and items (N, d), and them in each modality (N, d)."""
        p, items = self.p, self.item_embedding.weight
        layers = p.n_ui_layers + 1
        (behaviour,) = self.adjacency.propagate(torch.cat([self.user_embedding.weight, items]), [1 / layers] * layers)
        modal = []
        for X, project, gate, graph in zip(self.features, self.projections, self.gates, self.item_graphs, strict=True):
            purified = items * gate(project(X))  # behaviour-guided purifier, (I, d)
            (item_view,) = graph.propagate(purified, [0.0] * p.n_mm_layers + [1.0])
            modal.append(torch.cat([self.user_graph(item_view), item_view]))
        return behaviour, modal

    def _fused(self, behaviour: Tensor, modal: list[Tensor]) -> Tensor:
        """Behaviour-aware fuser of nodes (n, d): what modalities share, and of the rest what the behaviour prefers."""
        each = torch.stack(modal, dim=1)  # (n, M, d)
        shared = (self.attention(each).softmax(1) * each).sum(1)
        specific = [prefers(behaviour) * (view - shared) for prefers, view in zip(self.preferences, modal, strict=True)]
        return shared + torch.stack(specific).mean(0)

    def calculate_loss(self, interaction: Any) -> Tensor:
        p, (behaviour, modal) = self.p, self.forward()
        items = (self.n_real_users + interaction[field] - 1 for field in (self.ITEM_ID, self.NEG_ITEM_ID))
        # Each node of the batch is fused once, and no other.
        nodes, row = torch.cat([interaction[self.USER_ID] - 1, *items]).unique(return_inverse=True)
        behaviour = F.embedding(nodes, behaviour)
        fused = self._fused(behaviour, [F.embedding(nodes, view) for view in modal])
        user, item, other = row.chunk(3)
        u, i, j = (F.embedding(rows, behaviour + fused) for rows in (user, item, other))
        contrast = [
            losses.info_nce(F.embedding(rows, fused), F.embedding(rows, behaviour), p.temp, count)
            for rows, count in (batch.unique(return_counts=True) for batch in (user, item))
        ]
        return (
            losses.bpr((u * i).sum(1), (u * j).sum(1))
            + p.cl_weight * torch.stack(contrast).sum()
            + p.reg_weight * losses.squared_norm([u, i, j], len(user))
        )

    def embeddings(self) -> tuple[Tensor, Tensor]:
        behaviour, modal = self.forward()
        users, items = (behaviour + self._fused(behaviour, modal)).split([self.n_real_users, self.n_real_items])
        return users, items
