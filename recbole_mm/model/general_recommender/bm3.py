"""BM3: bootstrapped multimodal recommendation without negative samples (arXiv 2207.05969)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from recbole.utils import InputType
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.graphs.building import bipartite_adjacency, interaction_matrix
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.model.base import BufferList, MultimodalRecommender
from recbole_mm.model.parts import losses
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class BM3Parameters:
    """Parameters of BM3; the released code's values stand in brackets where ours differ."""

    embedding_size: int = parameter(64, "width d of every embedding", low=1)
    n_layers: int = parameter(1, "user-item propagation layers", low=0)
    dropout: float = parameter(0.3, "share p of a target's values that are dropped", low=0.0, high=0.999)
    cl_weight: float = parameter(2.0, "weight of the alignment between and within modalities", low=0.0)
    reg_weight: float = parameter(
        1e-3, "weight lambda of the L2 term of a batch's embeddings [0.1, of the lengths of whole tables]", low=0.0
    )


class BM3(MultimodalRecommender):
    """BM3 for any number of modalities.

    Notes
    -----
    The online view of an embedding is its linear predictor; its target is itself after dropout, without gradient.
    An item whose features of a modality are filled in is not aligned with them.
    """

    parameter_class = BM3Parameters
    input_type = InputType.POINTWISE

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: BM3Parameters = self.p
        d = p.embedding_size
        self.adjacency = SparseGraph(bipartite_adjacency(interaction_matrix(dataset)), symmetric=True)  # A_hat (N, N)
        self.real = BufferList(self.masks)
        self.user_embedding = nn.Embedding(self.n_real_users, d)
        self.item_embedding = nn.Embedding(self.n_real_items, d)
        self.projections: Any = nn.ModuleList(nn.Linear(X.shape[1], d) for X in self.features)  # W_m, b_m
        self.predictor = nn.Linear(d, d)  # W_p, b_p
        for module in (self.user_embedding, self.item_embedding, *self.projections, self.predictor):
            nn.init.xavier_uniform_(module.weight)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return users (U, d) and items (I, d): the mean of all layers, to which items add where they start from."""
        items, layers = self.item_embedding.weight, self.p.n_layers + 1
        (h,) = self.adjacency.propagate(torch.cat([self.user_embedding.weight, items]), [1 / layers] * layers)
        users, propagated = h.split([self.n_real_users, self.n_real_items])
        return users, propagated + items

    def _views(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the online view of embeddings (batch, d) and their target."""
        return self.predictor(h), F.dropout(h.detach(), self.p.dropout)

    def calculate_loss(self, interaction: Any) -> Tensor:
        p, users, items = self.p, *self.forward()
        user, item = interaction[self.USER_ID] - 1, interaction[self.ITEM_ID] - 1
        h_u, h_i = F.embedding(user, users), F.embedding(item, items)
        (online_u, target_u), (online_i, target_i) = self._views(h_u), self._views(h_i)
        each = _cosine_distance(online_u, target_i) + _cosine_distance(
            online_i, target_u
        )  # (batch,), graph reconstruction
        for X, project, real in zip(self.features, self.projections, self.real, strict=True):
            online_m, target_m = self._views(project(F.embedding(item, X)))
            between, within = _cosine_distance(online_m, target_i), _cosine_distance(online_m, target_m)
            each = each + p.cl_weight * real[item] * (between + within)
        return each.mean() + p.reg_weight * losses.squared_norm([h_u, h_i], len(user))

    def embeddings(self) -> tuple[Tensor, Tensor]:
        users, items = self.forward()
        return self.predictor(users), self.predictor(items)


def _cosine_distance(online: Tensor, target: Tensor) -> Tensor:
    """Return one minus the cosine of each row, (batch,)."""
    return 1 - F.cosine_similarity(online, target, dim=1)
