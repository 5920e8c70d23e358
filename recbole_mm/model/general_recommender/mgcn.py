"""MGCN: multi-view graph convolution with features purified by behaviour (arXiv 2308.03588)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.model.graph_base import GraphParameters, GraphRecommender
from recbole_mm.model.parts import losses
from recbole_mm.model.parts.sums import summed
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class MGCNParameters(GraphParameters):
    """Parameters of MGCN."""

    n_ui_layers: int = parameter(2, "user-item propagation layers", low=0)
    n_mm_layers: int = parameter(1, "item-item propagation layers", low=0)
    knn_k: int = parameter(10, "neighbours of an item in each modality, itself included", low=1)
    fusion: str = parameter(
        "paper", "what the modalities add: the shared part and the mean of the specific ones [paper], or the sum of "
        "them all over M + 1, as the released code has it", choices=("paper", "released"),
    )  # fmt: skip
    cl_weight: float = parameter(0.01, "weight lambda_C of the contrast of behaviour and modalities", low=0.0)
    temp: float = parameter(0.2, "temperature of that contrast", low=1e-6)
    reg_weight: float = parameter(1e-4, "weight lambda_E of the L2 term of a batch's embeddings", low=0.0)


class MGCN(GraphRecommender):
    """MGCN for any number of modalities."""

    parameter_class = MGCNParameters

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        d = self.p.embedding_size
        self.user_mean = self.user_graph(dataset)  # R_hat (U, I)
        self.item_graphs: Any = self.item_graphs_of(self.p.knn_k)  # S^m (I, I)
        self.projections: Any = nn.ModuleList(nn.Linear(X.shape[1], d) for X in self.features)  # W_1, b_1
        self.gates: Any = nn.ModuleList(self._gate() for _ in self.features)  # W_2, b_2
        self.attention = nn.Sequential(nn.Linear(d, d), nn.Tanh(), nn.Linear(d, 1, bias=False))  # W_3, b_3, q
        self.preferences: Any = nn.ModuleList(self._gate() for _ in self.features)  # W_4, b_4
        self.initialise()

    def _gate(self) -> nn.Sequential:
        d = self.p.embedding_size
        return nn.Sequential(nn.Linear(d, d), nn.Sigmoid())

    def forward(self) -> tuple[Tensor, list[Tensor]]:
        """Return the behaviour of users and items (N, d), and them in each modality (N, d)."""
        p, items = self.p, self.item_embedding.weight
        behaviour = self.propagated(p.n_ui_layers)
        modal = []
        for X, project, gate, graph in zip(self.features, self.projections, self.gates, self.item_graphs, strict=True):
            purified = items * gate(project(X))  # behaviour-guided purifier, (I, d)
            (item_view,) = graph.propagate(purified, [0.0] * p.n_mm_layers + [1.0])
            modal.append(torch.cat([self.user_mean(item_view), item_view]))
        return behaviour, modal

    def _fused(self, behaviour: Tensor, modal: list[Tensor]) -> Tensor:
        """Behaviour-aware fuser of nodes (n, d): what modalities share, and of the rest what the behaviour prefers."""
        each = torch.stack(modal, dim=1)  # (n, M, d)
        shared = (self.attention(each).softmax(1) * each).sum(1)
        specific = [prefers(behaviour) * (view - shared) for prefers, view in zip(self.preferences, modal, strict=True)]
        if self.p.fusion == "released":
            return (shared + summed(specific)) / (len(modal) + 1)
        return shared + summed(specific) / len(specific)

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        """Return the weighted terms of the loss by name; a contrast of weight 0 is not computed."""
        p, (behaviour, modal) = self.p, self.forward()
        users, *items = self.rows(interaction)
        # Each node of the batch is fused once, and no other.
        nodes, row = torch.cat([users, *(self.n_real_users + each for each in items)]).unique(return_inverse=True)
        behaviour = F.embedding(nodes, behaviour)
        fused = self._fused(behaviour, [F.embedding(nodes, view) for view in modal])
        user, item, other = row.chunk(3)
        u, i, j = (F.embedding(rows, behaviour + fused) for rows in (user, item, other))
        terms = self.ranked(items[0], u, i, j)
        terms["reg"] = p.reg_weight * losses.squared_norm([u, i, j], len(user))
        if p.cl_weight:
            contrast = [
                losses.info_nce(F.embedding(rows, fused), F.embedding(rows, behaviour), p.temp, count)
                for rows, count in (batch.unique(return_counts=True) for batch in (user, item))
            ]
            terms["cl"] = p.cl_weight * torch.stack(contrast).sum()
        return terms

    def embeddings(self) -> tuple[Tensor, Tensor]:
        behaviour, modal = self.forward()
        return self.sides(behaviour + self._fused(behaviour, modal))

    def item_parts(self) -> dict[str, Tensor]:
        """Return what each modality adds behind the attention and the preferences that all of them have made."""
        of_nodes, modal_nodes = self.forward()
        behaviour, *modal = (self.sides(table)[1] for table in (of_nodes, *modal_nodes))
        each = torch.stack(modal, dim=1)  # (I, M, d)
        shared = self.attention(each).softmax(1) * each
        prefers = torch.stack([prefer(behaviour) for prefer in self.preferences], dim=1)
        specific = prefers * each - prefers.sum(1, keepdim=True) * shared
        if self.p.fusion == "released":
            parts = (shared + specific) / (len(modal) + 1)
        else:
            parts = shared + specific / len(modal)
        return dict(zip(self.modality_names, parts.unbind(1), strict=True))
