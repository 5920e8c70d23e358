"""MHCR: multi-modal hypergraph contrastive recommendation of micro-videos (arXiv 2409.09638)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.base.errors import InputError
from recbole_mm.graphs.building import interaction_matrix
from recbole_mm.model.base import BufferList, repeated_batch_norm
from recbole_mm.model.graph_base import GraphParameters, GraphRecommender
from recbole_mm.model.parts import losses
from recbole_mm.model.parts.contrast import l2_normalize, negatives
from recbole_mm.model.parts.hypergraph import Hypergraph
from recbole_mm.model.parts.item_shares import shares_of_unit
from recbole_mm.model.parts.sums import summed
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class MHCRParameters(GraphParameters):
    """Parameters of MHCR; the released code's values stand in brackets where ours differ."""

    reading: str = parameter("released", "equation of the final embedding", choices=("paper", "released"))
    n_ui_layers: int = parameter(4, "user-item propagation layers [7]", low=0)
    n_layers: int = parameter(1, "item-item propagation layers", low=0)
    knn_k: int = parameter(10, "neighbours of an item in each modality, itself included", low=1)
    hyper_num: int = parameter(32, "hyperedges a modality", low=1)
    n_hyper_layer: int = parameter(1, "hypergraph layers [4]", low=1)
    hyper_norm: bool = parameter(True, "divide a hyperedge's sum by its degree [false]")
    tau: float = parameter(0.5, "temperature of the hyperedge softmax", low=1e-6)
    logit_scale: float = parameter(
        3.0,
        "initial value of the learned scale of the logits Z, standardised per hyperedge; 0 leaves Z as it is [0]",
        low=0.0,
    )
    hyper_noise: float = parameter(1.0, "scale of the Gumbel noise on the logits in training", low=0.0)
    hyper_users: str = parameter(
        "mean", "rows of users in G: the mean of their items' rows, or by memberships of their own [memberships]",
        choices=("memberships", "mean"),
    )  # fmt: skip
    hyper_centre: bool = parameter(True, "subtract G's mean row, of users and of items, before its row norm [false]")
    keep_rate: float = parameter(0.7, "share of hyperedge memberships that dropout keeps", low=1e-6, high=1.0)
    alpha: float = parameter(0.05, "weight of the hypergraph part in the final embedding", low=0.0)
    side_weight: float = parameter(0.0, "weight of rownorm(E_side) in the final embedding [0]", low=0.0)
    freeze_features: bool = parameter(True, "keep X^m as it came from the file instead of training it [false]")
    reg_weight: float = parameter(1e-4, "weight of the batch's L2 term beside BPR", low=0.0)
    cl_loss: float = parameter(0.01, "weight of the side-content contrast", low=0.0)
    embloss_weight: float = parameter(0.1, "weight of the Frobenius norms of the final embeddings", low=0.0)
    hc_loss_weight: float = parameter(0.0, "weight of the hypergraph contrast [1e-5 of the sum]", low=0.0)
    hc_reduction: str = parameter("mean", "over the batch [sum]", choices=("mean", "sum"))
    hc_reference: str = parameter("", "modality of the negatives, the first where empty [text]")
    contrast_negatives: int | str = parameter(
        "batch", "nodes it contrasts with: the batch's, so many drawn anew each step, or all [all]",
        choices=("all", "batch"), low=1,
    )  # fmt: skip
    ghc_weight: float = parameter(0.0, "weight of the graph-hypergraph rank contrast [0.01]", low=0.0)


RELEASED_FORM = MappingProxyType({
    "logit_scale": 0.0, "hyper_users": "memberships", "hyper_centre": False, "n_hyper_layer": 4,
    "hc_loss_weight": 0.02, "ghc_weight": 0.01, "freeze_features": False,
})  # fmt: skip


class Fusing(NamedTuple):
    """What E_side is made from row by row, after all BatchNorms; N = U + I nodes, users first."""

    modal: list[Tensor]  # E^m, each (N, d)
    queries: list[Tensor]  # of the attention over modalities, before their tanh, each (N, d)
    gate: Tensor  # of the content, before its sigmoid, (N, d)

    def of(self, nodes: Tensor) -> Fusing:
        """Return the rows of nodes (n,)."""
        modal, queries = ([F.embedding(nodes, table) for table in tables] for tables in (self.modal, self.queries))
        return Fusing(modal, queries, F.embedding(nodes, self.gate))


class Forward(NamedTuple):
    """What one pass computes."""

    content: Tensor  # (N, d)
    fusing: Fusing
    hyper: list[Tensor]  # G^m, each (N, d)
    final: Tensor  # (N, d)


class MHCR(GraphRecommender):
    r"""MHCR for any number of modalities.

    Two readings of the final embedding exist; the default is the one with the better validation metric on ml-100k.
    `reading="paper"`: `E_content + E_side + alpha * rownorm(sum G^m)`.
    `reading="released"`: the released code's, with the last propagation layer `E^(n_ui_layers)` for `E_side`.

    By default the hypergraph is not the released one, whose rows are all one vector where features have length 1: its
    logits, small beside the Gumbel noise, make every hyperedge the mean of all items. Here they are standardised, users
    are the mean of their items, G is centred, and no contrast acts on it; features are not trained. Validation on
    TikTok, lfm2k and ml-100k has chosen so. The settings of `RELEASED_FORM` are the released ones.
    """

    parameter_class = MHCRParameters
    proposed = True
    ablations = MappingProxyType(
        {
            "without hypergraph": {"alpha": 0.0, "hc_loss_weight": 0.0, "ghc_weight": 0.0},
            "without side-content contrast": {"cl_loss": 0.0},
            "without item graph": {"n_layers": 0},
            "with trained features": {"freeze_features": False},
            "in the released form": RELEASED_FORM,
        }
    )

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: MHCRParameters = self.p
        d = p.embedding_size
        if p.hc_reference and p.hc_reference not in self.modality_names:
            raise InputError(f"hc_reference is '{p.hc_reference}', the modalities are {', '.join(self.modality_names)}")
        self.reference = self.modality_names.index(p.hc_reference) if p.hc_reference else 0

        # A part whose weights are all 0 is neither made nor computed.
        self.has_hypergraph = bool(p.alpha or p.hc_loss_weight or p.ghc_weight)
        self.has_modal = bool(p.reading == "paper" or p.side_weight or p.cl_loss or p.ghc_weight)
        widths = [X.shape[1] for X in self.features]
        if not (self.has_hypergraph or self.has_modal):
            self.features = BufferList([X.detach() for X in self.features])
        if self.has_modal:
            self.user_mean = self.user_graph(dataset)  # R_hat (U, I)
            self.item_graphs = self.item_graphs_of(p.knn_k)  # S^m (I, I)
            self.projections = nn.ModuleList(nn.Linear(width, d) for width in widths)  # W_m, b_m
            self.gate = nn.Sequential(
                nn.Linear(d, d), nn.BatchNorm1d(d), nn.ReLU(), nn.Linear(d, d), nn.BatchNorm1d(d), nn.Sigmoid()
            )
            self.query = nn.Sequential(nn.Linear(d, d), nn.BatchNorm1d(d), nn.Tanh(), nn.Linear(d, 1, bias=False))
        if self.has_hypergraph:
            self.hyperedges = nn.ParameterList(torch.empty(width, p.hyper_num) for width in widths)  # V^m
            self.hypergraph = Hypergraph(p, interaction_matrix(dataset), len(widths))
        self.initialise(*(self.hyperedges if self.has_hypergraph else ()))

    def forward(self) -> Forward:
        p, n = self.p, self.p.n_ui_layers
        content, last = self.layers([1 / (n + 1)] * (n + 1), [0.0] * n + [1.0])
        _, items = self.sides(content)
        modal: list[Tensor] = []
        hyper: list[Tensor] = []
        for m in range(len(self.features)):
            projected, logits = self._features(m)
            modal += [self._modal_nodes(m, projected)] if self.has_modal else []
            hyper += [self.hypergraph(m, logits, items)] if self.has_hypergraph else []
        fusing = self._fusing(content, modal)
        side = self.side(fusing) if p.reading == "paper" or p.side_weight else content
        final = content + (side if p.reading == "paper" else last)
        if p.side_weight:
            final = torch.add(final, l2_normalize(side), alpha=p.side_weight)
        if p.alpha:
            final = torch.add(final, l2_normalize(summed(hyper)), alpha=p.alpha)
        return Forward(content, fusing, hyper, final)

    def _features(self, m: int) -> tuple[Tensor, Tensor]:
        """F^m (I, d) and Z_I (I, hyper_num), both of which are linear in X^m, by one product; empty where not used."""
        X, d = self.features[m], self.p.embedding_size if self.has_modal else 0
        maps: list[Any] = [self.projections[m].weight.T] if self.has_modal else []
        maps += [self.hyperedges[m]] if self.has_hypergraph else []
        if not maps:
            return X[:, :0], X[:, :0]
        both = X @ torch.cat(maps, dim=1)
        projected, logits = both.split([d, both.shape[1] - d], dim=1)
        return projected + self.projections[m].bias if self.has_modal else projected, logits

    def _modal_nodes(self, m: int, projected: Tensor) -> Tensor:
        """E^m: gated items, over the item-item graph, and their mean at the users."""
        item_graph: Any = self.item_graphs[m]
        items = self.item_embedding.weight * self.gate(projected)
        (items,) = item_graph.propagate(items, [0.0] * self.p.n_layers + [1.0])
        return torch.cat([self.user_mean(items), items])

    def _fusing(self, content: Tensor, modal: list[Tensor]) -> Fusing:
        if not modal:
            return Fusing([], [], content[:0])
        with repeated_batch_norm(self.gate, len(modal)):  # one call a modality in the released code
            gate = self.gate[:-1](content)
        return Fusing(modal, [self.query[:2](E) for E in modal], gate)

    def side(self, fusing: Fusing) -> Tensor:
        """E_side: what the modalities share, and what each adds to it behind the content's gate."""
        modal, n = fusing.modal, len(fusing.modal)
        common = summed([a * E for a, E in zip(self._attention(fusing), modal, strict=True)])
        separate = fusing.gate.sigmoid() * (summed(modal) - n * common)  # the sum over modalities
        return (separate + common) / (n + 1)

    def _attention(self, fusing: Fusing) -> tuple[Tensor, ...]:
        """Return what each modality weighs in what they share, each (n, 1)."""
        return torch.cat([self.query[2:](query) for query in fusing.queries], dim=1).softmax(1).split(1, dim=1)

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        """Return the weighted terms of the loss by name; a term of weight 0 is not computed."""
        p, out = self.p, self.forward()
        user, item = self.rows(interaction, self.USER_ID, self.ITEM_ID)
        users, items = self.sides(out.final)
        terms, rows = self.ranking(interaction, users, items)
        terms["reg"] = p.reg_weight * losses.squared_norm(rows, self.batch_size)
        terms["emb"] = p.embloss_weight * (users.norm() + items.norm()) / self.n_real_items
        # Contrasts see each node of the batch once, with how often it occurs: equal to repeating it, and cheaper.
        batch = [node.unique(return_counts=True) for node in (user, item + self.n_real_users)]
        if p.cl_loss:
            terms["cl"] = p.cl_loss * self._content_contrast(out, batch)
        if p.hc_loss_weight:
            scale = len(user) if p.hc_reduction == "sum" else 1
            users, items = (self._hypergraph_contrast(out.hyper, node, count) for node, count in batch)
            terms["hc"] = p.hc_loss_weight * scale * (users + items)
        if p.ghc_weight:
            permutation = torch.randperm(len(out.final), device=out.final.device)
            pairs = zip(out.hyper, out.fusing.modal, strict=True)
            terms["ghc"] = p.ghc_weight * sum(losses.rank_contrast(G, E, permutation, 0.1) for G, E in pairs)
        return terms

    def _content_contrast(self, out: Forward, batch: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Contrast E_side with E_content at the batch's users, and at its items."""
        nodes, sizes = torch.cat([node for node, _ in batch]), [len(node) for node, _ in batch]
        sides = self.side(out.fusing.of(nodes)).split(sizes)
        contents = F.embedding(nodes, out.content).split(sizes)
        each = zip(sides, contents, [count for _, count in batch], strict=True)
        return summed([losses.info_nce(side, content, 0.2, count) for side, content, count in each])

    def _hypergraph_contrast(self, hyper: list[Tensor], node: Tensor, count: Tensor) -> Tensor:
        """Contrast nodes of one side across modalities with nodes of that side."""
        side = slice(0, self.n_real_users) if node[0] < self.n_real_users else slice(self.n_real_users, None)
        reference = hyper[self.reference]
        among = negatives(self.p.contrast_negatives, torch.arange(len(reference), device=node.device)[side], node)
        anchors = [F.embedding(node, G) for G in hyper]
        return losses.cross_modal_contrast(anchors, F.embedding(among, reference), 0.2, count)

    def embeddings(self) -> tuple[Tensor, Tensor]:
        return self.sides(self.forward().final)

    def item_parts(self) -> dict[str, Tensor]:
        """Return what each modality adds behind the attention, the gate and the lengths that all of them have made."""
        p, out = self.p, self.forward()
        parts = [torch.zeros_like(self.item_embedding.weight) for _ in self.modality_names]
        if self.has_modal:
            items = out.fusing.of(torch.arange(self.n_real_users, len(out.final), device=out.final.device))
            weight: Any = float(p.reading == "paper")
            if p.side_weight:
                weight = weight + p.side_weight / self.side(items).norm(dim=1, keepdim=True).clamp_min(1e-12)
            parts = [weight * part for part in self._side_shares(items)]
        if p.alpha:
            shares = shares_of_unit([self.sides(table)[1] for table in out.hyper])
            parts = [part + p.alpha * share for part, share in zip(parts, shares, strict=True)]
        return dict(zip(self.modality_names, parts, strict=True))

    def _side_shares(self, fusing: Fusing) -> list[Tensor]:
        """Return the terms of `side` that have each E^m, whose sum is E_side."""
        gate, n = fusing.gate.sigmoid(), len(fusing.modal)
        attention = zip(self._attention(fusing), fusing.modal, strict=True)
        return [(gate * (E - n * a * E) + a * E) / (n + 1) for a, E in attention]

    def parts(self) -> dict[str, Tensor]:
        """Return E^m and G^m of users and items beside what scores are made from."""
        out, parts = self.forward(), super().parts()
        for what, nodes in (("modal nodes", out.fusing.modal), ("hypergraph", out.hyper)):
            for name, table in zip(self.modality_names, nodes, strict=False):  # none where the part is not computed
                users, items = self.sides(table)
                parts |= {f"{what} of {name}, users": users, f"{what} of {name}, items": items}
        return parts
