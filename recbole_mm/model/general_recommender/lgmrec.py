"""LGMRec: local graphs of behaviour and modalities, global hypergraphs of modalities (arXiv 2312.16400)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.graphs.building import interaction_matrix, row_normalise
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.model.graph_base import GraphParameters, GraphRecommender
from recbole_mm.model.parts import losses
from recbole_mm.model.parts.contrast import l2_normalize
from recbole_mm.model.parts.item_shares import shares_of_unit
from recbole_mm.model.parts.sums import summed
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class LGMRecParameters(GraphParameters):
    """Parameters of LGMRec; the paper's values stand in brackets where ours differ."""

    n_ui_layers: int = parameter(2, "propagation layers K of the ids", low=0)
    n_mm_layers: int = parameter(2, "propagation layers of the modalities over the user-item graph", low=0)
    hyper_num: int = parameter(4, "hyperedges A a modality", low=1)
    n_hyper_layer: int = parameter(1, "hypergraph layers H", low=1)
    tau: float = parameter(0.2, "temperature of the hyperedge softmax", low=1e-6)
    keep_rate: float = parameter(0.5, "share of hyperedge memberships that dropout keeps", low=1e-6, high=1.0)
    alpha: float = parameter(0.3, "weight of the global embedding in the final one", low=0.0)
    cl_weight: float = parameter(
        0.2, "weight lambda_1 of the cross-modal hypergraph contrast [1e-4, of the sum over a batch of 2048]", low=0.0
    )
    temp: float = parameter(0.2, "temperature of that contrast", low=1e-6)
    reg_weight: float = parameter(1e-6, "weight lambda_2 of the L2 term of a batch's embeddings", low=0.0)


class LGMRec(GraphRecommender):
    """LGMRec for any number of modalities.

    Notes
    -----
    Own reading: memberships carry noise in training alone, so that scores are a function of the weights, and dropout is
    taken once of each; the contrast is a mean over the batch, among all nodes, and over the pairs of modalities, whose
    first is the anchor.
    """

    parameter_class = LGMRecParameters

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: LGMRecParameters = self.p
        self.contrasts = bool(p.cl_weight) and len(self.features) > 1
        interactions = interaction_matrix(dataset)
        self.interactions = SparseGraph(interactions)  # R (U, I)
        self.user_mean = SparseGraph(row_normalise(interactions))  # 1 / |N_u| at the items of a user
        dims = [X.shape[1] for X in self.features]
        self.projections: Any = nn.ModuleList(nn.Linear(dim, p.embedding_size, bias=False) for dim in dims)  # TRANSF
        self.hyperedges: Any = nn.ParameterList(torch.empty(dim, p.hyper_num) for dim in dims)  # V^m
        self.initialise(*self.projections, *self.hyperedges)

    def forward(self) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Return the final nodes (N, d), and the users (U, d) and items (I, d) by the hypergraph of each modality."""
        p = self.p
        content = self.propagated(p.n_ui_layers)  # E_lge^id (N, d)
        local = summed([content, *(l2_normalize(self._modal_nodes(m)) for m in range(len(self.features)))])
        if not (p.alpha or self.contrasts):
            return local, []
        _, items = self.sides(content)
        hyper = [self._hypergraph_nodes(X @ V, items) for X, V in zip(self.features, self.hyperedges, strict=True)]
        if not p.alpha:
            return local, hyper
        everything = summed([torch.cat(both) for both in hyper])  # E_ghe (N, d)
        return local + p.alpha * l2_normalize(everything), hyper

    def _modal_nodes(self, m: int) -> Tensor:
        """E_lge^m (N, d): projected items and their mean at the users, over the user-item graph; the last layer."""
        items = self.projections[m](self.features[m])
        nodes = torch.cat([self.user_mean(items), items.to(self.item_embedding.weight.dtype)])
        (last,) = self.adjacency.propagate(nodes, [0.0] * self.p.n_mm_layers + [1.0])
        return last

    def _hypergraph_nodes(self, logits: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Users and items of a modality: items to hyperedges and back; `logits` (I, A), `items` (I, d)."""
        H_I, H_U = (self._memberships(h) for h in (logits, self.interactions(logits)))
        for _layer in range(self.p.n_hyper_layer):
            edges = H_I.T @ items  # (A, d)
            users, items = H_U @ edges, H_I @ edges
        return users, items

    def _memberships(self, logits: Tensor) -> Tensor:
        """Return the hyperedge dependencies, each row a softmax, with the noise log(delta) - log(1 - delta)."""
        if self.training:
            delta = torch.rand_like(logits)
            H = F.softmax((logits + delta.logit(1e-6)) / self.p.tau, dim=1)
            return F.dropout(H, 1 - self.p.keep_rate)
        return F.softmax(logits / self.p.tau, dim=1)

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        p, (final, hyper) = self.p, self.forward()
        terms, rows = self.ranking(interaction, *self.sides(final))
        terms["reg"] = p.reg_weight * losses.squared_norm(rows, len(rows[0]))
        if self.contrasts:
            user, item = self.rows(interaction, self.USER_ID, self.ITEM_ID)
            sides = zip((user, item), zip(*hyper, strict=True), strict=True)
            contrast = [self._contrast(batch, tables) for batch, tables in sides]
            terms["hcl"] = p.cl_weight * torch.stack(contrast).sum()
        return terms

    def _contrast(self, batch: Tensor, tables: tuple[Tensor, ...]) -> Tensor:
        """InfoNCE between modalities of the nodes of one side, each table (n, d), the mean over the pairs."""
        nodes, count = batch.unique(return_counts=True)
        return torch.stack([
            losses.info_nce_among(F.embedding(nodes, a), F.embedding(nodes, b), b, self.p.temp, count=count)
            for a, b in combinations(tables, 2)
        ]).mean()  # fmt: skip

    def embeddings(self) -> tuple[Tensor, Tensor]:
        return self.sides(self.forward()[0])

    def item_parts(self) -> dict[str, Tensor]:
        _, hyper = self.forward()
        parts = [self.sides(l2_normalize(self._modal_nodes(m)))[1] for m in range(len(self.features))]
        if self.p.alpha:
            of_hyper = shares_of_unit([items for _, items in hyper])
            parts = [part + self.p.alpha * more for part, more in zip(parts, of_hyper, strict=True)]
        return dict(zip(self.modality_names, parts, strict=True))

    def parts(self) -> dict[str, Tensor]:
        """Return the hypergraph embeddings of each modality beside what scores are made from."""
        parts = super().parts()
        for name, (users, items) in zip(self.modality_names, self.forward()[1], strict=False):
            parts |= {f"hypergraph of {name}, users": users, f"hypergraph of {name}, items": items}
        return parts
