"""LATTICE: latent item-item structures, mined from the features and learned (arXiv 2104.09036)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.graphs.building import knn_graph, symmetric_normalise
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.model.graph_base import GraphParameters, GraphRecommender
from recbole_mm.model.parts import losses
from recbole_mm.model.parts.contrast import l2_normalize
from recbole_mm.model.parts.item_shares import shares_of_unit
from recbole_mm.model.parts.sums import summed
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class LATTICEParameters(GraphParameters):
    """Parameters of LATTICE."""

    feature_size: int = parameter(64, "width of the transformed features", low=1)
    n_ui_layers: int = parameter(2, "user-item propagation layers", low=0)
    n_mm_layers: int = parameter(1, "item-item propagation layers", low=0)
    knn_k: int = parameter(10, "neighbours of an item in each modality, itself included", low=1)
    lambda_coeff: float = parameter(0.9, "share lambda of the graphs of the raw features", low=0.0, high=1.0)
    reg_weight: float = parameter(1e-5, "weight of the L2 term of a batch's embeddings", low=0.0)


class Edges(NamedTuple):
    """A sparse item graph whose weights may carry a gradient, row by row."""

    starts: Tensor  # (I + 1,), where the edges of each row start
    items: Tensor  # (E,)
    weights: Tensor  # (E,)

    def __matmul__(self, h: Tensor) -> Tensor:  # (I, d) -> (I, d)
        return F.embedding_bag(
            self.items, h, self.starts, mode="sum", per_sample_weights=self.weights, include_last_offset=True
        )


class LATTICE(GraphRecommender):
    """LATTICE for any number of modalities, on top of LightGCN.

    Notes
    -----
    In training, the graphs of the transformed features are made anew in the first batch of an epoch, which is the one
    whose gradient reaches the transforms; the other batches take them as constants. Scores use those of the weights.
    The nearest items are found without gradient and only their cosines carry one: no (I, I) matrix is ever held.
    """

    parameter_class = LATTICEParameters

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: LATTICEParameters = self.p
        self.raw_graphs: Any = nn.ModuleList(map(self._raw_graph, self.features, self.masks))  # S^m (I, I)
        self.learned: list[Edges] | None = None  # of this epoch
        self.transforms: Any = nn.ModuleList(nn.Linear(X.shape[1], p.feature_size) for X in self.features)  # W_m, b_m
        self.modality_weight = nn.Parameter(torch.zeros(len(self.features)))  # alpha before its softmax
        self.initialise(*self.transforms)

    def _raw_graph(self, X: Tensor, mask: Tensor) -> SparseGraph:
        graph = knn_graph(X, self.p.knn_k, mask, method=self.engine.neighbour_search)
        graph.data = graph.data.clip(min=0)
        return SparseGraph(symmetric_normalise(graph))

    def _learned_graph(self, X: Tensor, mask: Tensor) -> Edges:
        """Return what `_raw_graph` does, of transformed features (I, feature_size) and with their gradient."""
        nearest = knn_graph(X.detach(), self.p.knn_k, mask, method=self.engine.neighbour_search, keep=False)
        starts, items = (torch.from_numpy(part).to(X.device, torch.long) for part in (nearest.indptr, nearest.indices))
        own = torch.arange(len(X), device=X.device).repeat_interleave(starts.diff())  # (E,), the row of each edge
        x = l2_normalize(X)
        cosine = (F.embedding(own, x) * F.embedding(items, x)).sum(1).clamp_min(0)  # (E,)
        degree = torch.zeros_like(x[:, 0]).index_add(0, own, cosine)  # (I,)
        scale = degree.clamp_min(1e-12).rsqrt().unsqueeze(1)
        return Edges(starts, items, (F.embedding(own, scale) * F.embedding(items, scale)).squeeze(1) * cosine)

    def _learn(self) -> list[Edges]:
        dtype = self.item_embedding.weight.dtype  # under mixed precision a Linear returns another
        transformed = [transform(X).to(dtype) for transform, X in zip(self.transforms, self.features, strict=True)]
        return [self._learned_graph(X, mask) for X, mask in zip(transformed, self.masks, strict=True)]

    def train(self, mode: bool = True) -> Any:
        """RecBole's trainer calls this at the beginning of every epoch, which then learns its own graphs."""
        self.learned = None
        return super().train(mode)

    def forward(self, learned: Sequence[Edges]) -> tuple[Tensor, Tensor]:
        """Return users (U, d) and items (I, d)."""
        users, items = self.sides(self.propagated(self.p.n_ui_layers))
        each = self.item_layers(learned)
        return users, items + l2_normalize(summed(each) if each else self.item_embedding.weight)

    def item_layers(self, learned: Sequence[Edges]) -> list[Tensor]:
        """Return what the last layer over the item graphs takes from each modality's, (I, d); none without layers."""
        p, h, each = self.p, self.item_embedding.weight, list[Tensor]()
        alpha, share = self.modality_weight.softmax(0), p.lambda_coeff
        for _layer in range(p.n_mm_layers):
            graphs = zip(alpha, self.raw_graphs, learned, strict=True)
            each = [a * (share * raw(h) + (1 - share) * (edges @ h)) for a, raw, edges in graphs]
            h = summed(each)
        return each

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        learned = self._learn() if self.learned is None else self.learned
        self.learned = [edges._replace(weights=edges.weights.detach()) for edges in learned]
        terms, rows = self.ranking(interaction, *self.forward(learned))
        return terms | {"reg": self.p.reg_weight * losses.squared_norm(rows, len(rows[0]))}

    def embeddings(self) -> tuple[Tensor, Tensor]:
        return self.forward(self._learn())

    def item_parts(self) -> dict[str, Tensor]:
        """Return what the last layer takes from each modality's graph; empty without layers."""
        each = self.item_layers(self._learn())
        return dict(zip(self.modality_names, shares_of_unit(each), strict=True)) if each else {}
