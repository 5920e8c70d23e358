"""SEA: generic and unique halves of every modality, aligned and distanced (arXiv 2406.08270)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.base.errors import InputError
from recbole_mm.graphs.building import fused_knn_graph
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.model.base import BufferList
from recbole_mm.model.graph_base import BipartiteRecommender
from recbole_mm.model.parts import losses
from recbole_mm.model.parts.cold_items import ColdItemParameters
from recbole_mm.model.parts.contrast import l2_normalize, negatives
from recbole_mm.model.parts.item_shares import blocks
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class SEAParameters(ColdItemParameters):
    """Parameters of SEA; the released code's values stand in brackets where ours differ."""

    embedding_size: int = parameter(64, "width d of a modality's part of the embeddings", low=1)
    widths: dict[str, int] = parameter({}, "width 2h_m of Z^m by modality, even; d_m where not named", low=2)
    n_ui_layers: int = parameter(2, "user-item propagation layers", low=0)
    n_mm_layers: int = parameter(1, "item-item propagation layers", low=0)
    knn_k: int = parameter(10, "neighbours of an item in each modality, itself included", low=1)
    graph_weights: dict[str, float] = parameter(
        {}, "weight of each modality in the item graph, summing to 1; equal if empty [image 0.1, text 0.9]", low=0.0
    )
    item_ids: bool = parameter(False, "add an id embedding to each modality's item nodes [false]")
    item_bias: bool = parameter(False, "add a learned bias of the item to its scores [false]")
    bpr_log: str = parameter("natural", "logarithm of the BPR term [2]", choices=("natural", "2"))
    alpha_contrast: float = parameter(0.012, "weight of the generic alignment", low=0.0)
    temp: float = parameter(0.2, "temperature of the generic alignment", low=1e-6)
    contrast_negatives: int | str = parameter(
        "all", "items that the alignment is among: all, the batch's, or so many drawn anew each step",
        choices=("all", "batch"), low=2,
    )  # fmt: skip
    hidden_dim: int = parameter(64, "hidden width of the alignment's heads", low=1)
    out_dim: int = parameter(32, "output width of the alignment's heads", low=1)
    ureg: float = parameter(0.006, "weight of the unique distancing", low=0.0)
    distancing: str = parameter("club", "what keeps the halves apart", choices=("club", "mse"))
    distance_dim: int = parameter(32, "width of t1 and t2, the halves as the distancing sees them", low=1)
    club_hidden: int = parameter(8, "hidden width of the CLUB estimator", low=1)
    club_steps: int = parameter(5, "steps of the CLUB estimator's own Adam a batch [50]", low=1)
    club_learning_rate: float = parameter(1e-2, "learning rate of that Adam [that of the model]", low=1e-12)
    club_pairing: str = parameter("paper", "what the estimator learns to pair", choices=("paper", "released"))


class Projections(NamedTuple):
    """Every linear map of Z^m that the model uses."""

    node: Tensor  # (I, 4d)
    head: Tensor  # (I, hidden_dim), of the generic half
    generic: Tensor  # t1 (I, distance_dim)
    unique: Tensor  # t2 (I, distance_dim)


class SEA(BipartiteRecommender):
    r"""SEA for two or more modalities.

    The CLUB estimator is trained by `SEATrainer`, on what `club_samples` holds after each loss: with
    `club_pairing="paper"` the generic and the unique half of a modality, which the bound is then evaluated on; with
    `"released"`, as in the released code, the same half of two modalities.

    Notes
    -----
    Z^m (I, 2h_m) is never computed: all that reads it is linear, `C (W X + b) + c = (C W) X + (C b + c)`.
    Items whose features are filled in take no part in the alignment and the distancing.
    """

    parameter_class = SEAParameters
    proposed = True
    ablations = MappingProxyType({"without alignment": {"alpha_contrast": 0.0}, "without distancing": {"ureg": 0.0}})

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: SEAParameters = self.p
        d, names = p.embedding_size, self.modality_names
        if len(names) < 2:
            raise InputError(
                f"SEA aligns two or more modalities and the dataset has {names[0]} alone: add one under `modalities`, "
                "or train MHCR"
            )
        dims = {name: X.shape[1] for name, X in zip(names, self.features, strict=True)}
        widths = {name: dim + dim % 2 for name, dim in dims.items()} | self.by_modality("widths")
        if odd := [name for name, width in widths.items() if width % 2]:
            raise InputError(f"widths of {', '.join(odd)}: must be even, half generic and half unique")

        weights, method = self.graph_weights(), self.engine.neighbour_search
        self.item_graph = SparseGraph(  # T (I, I)
            fused_knn_graph(self.features, self.masks, weights, p.knn_k, method)
        )
        self.pairs = list(combinations(range(len(names)), 2))
        self.real = BufferList([mask.nonzero().squeeze(1) for mask in self.masks])
        self.real_in_both = BufferList([(self.masks[a] & self.masks[b]).nonzero().squeeze(1) for a, b in self.pairs])
        for (a, b), rows in zip(self.pairs, self.real_in_both, strict=True):
            if len(rows) < 2 and (p.alpha_contrast or p.club_pairing == "released"):
                raise InputError(
                    f"fewer than two items have features of both {names[a]} and {names[b]}, which SEA aligns: "
                    "leave one of them out, or set alpha_contrast to 0"
                )

        self.preferences = nn.ParameterList(torch.empty(self.n_real_users, d) for _ in names)  # P^m (U, d)
        self.modality_weight = nn.Parameter(
            nn.init.xavier_normal_(torch.empty(self.n_real_users, len(names))).softmax(1)
        )
        ids = names if p.item_ids else ()
        self.item_embeddings = nn.ParameterList(torch.empty(self.n_real_items, d) for _ in ids)  # (I, d)
        self.item_bias = nn.Parameter(torch.zeros(self.n_real_items, 1)) if p.item_bias else None
        self.splits: Any = nn.ModuleList(nn.Linear(dims[name], widths[name]) for name in names)  # W_m, b_m
        self.nodes: Any = nn.ModuleList(
            nn.Sequential(nn.Linear(widths[name], 4 * d), nn.LeakyReLU(), nn.Linear(4 * d, d)) for name in names
        )
        self.heads: Any = nn.ModuleList(self._head(widths[name] // 2) for name in names)
        self.generic: Any = nn.ModuleList(nn.Linear(widths[name] // 2, p.distance_dim) for name in names)
        self.unique: Any = nn.ModuleList(nn.Linear(widths[name] // 2, p.distance_dim) for name in names)
        self.club = losses.CLUB(p.distance_dim, p.distance_dim, p.club_hidden)
        self.club_samples: list[tuple[Tensor, Tensor]] = []
        for table in (*self.preferences, *self.item_embeddings):
            nn.init.xavier_normal_(table)

    def _head(self, width: int) -> nn.Sequential:
        hidden, out = self.p.hidden_dim, self.p.out_dim
        return nn.Sequential(
            nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, out),
        )  # fmt: skip

    def forward(self) -> tuple[Tensor, Tensor, list[Projections]]:
        """Return users (U, M d), items (I, M d) and each modality's projections; an item bias is a column more."""
        projections = [self._projections(m) for m in range(len(self.features))]
        nodes = [node[1:](projected.node) for node, projected in zip(self.nodes, projections, strict=True)]
        if self.p.item_ids:
            nodes = [node + table for node, table in zip(nodes, self.item_embeddings, strict=True)]
        each = zip(self.preferences, nodes, strict=True)
        x = torch.cat([l2_normalize(torch.cat([P, node])) for P, node in each], dim=1)  # (N, M d)
        (rep,) = self.adjacency.propagate(x, [1.0] * (self.p.n_ui_layers + 1))
        users, items = self.sides(rep)
        users = (users.unflatten(1, (len(self.features), -1)) * self.modality_weight.unsqueeze(2)).flatten(1)
        (similar,) = self.item_graph.propagate(items, [0.0] * self.p.n_mm_layers + [1.0])
        items = items + similar
        if self.item_bias is not None:
            users, items = torch.cat([users, users.new_ones(len(users), 1)], 1), torch.cat([items, self.item_bias], 1)
        return users, items, projections

    def _projections(self, m: int) -> Projections:
        """Fold W_m into each linear map of Z^m; g^m is the first half of its columns, q^m the second."""
        split = self.splits[m]
        readers = self.nodes[m][0], self.heads[m][0], self.generic[m], self.unique[m]
        node, head, generic, unique = (reader.weight for reader in readers)
        node_g, node_q = node.chunk(2, dim=1)  # (4d, h)
        on_g, on_q = torch.cat([node_g, head, generic]), torch.cat([node_q, unique])

        def fold(inner: Tensor) -> Tensor:  # (2h, ...) -> (sum of the readers' widths, ...)
            g, q = inner.chunk(2)
            g, q = on_g @ g, on_q @ q
            return torch.cat([g[: len(node)] + q[: len(node)], g[len(node) :], q[len(node) :]])

        biases = fold(split.bias) + torch.cat([reader.bias for reader in readers])
        projected = F.linear(self.features[m], fold(split.weight), biases)
        return Projections(*projected.split([reader.out_features for reader in readers], dim=1))

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        """Return the weighted terms of the loss by name; a term of weight 0 is not computed."""
        p = self.p
        users, items, projections = self.forward()
        terms, _ = self.ranking(interaction, users, items)
        if p.bpr_log == "2":
            terms["bpr"] = terms["bpr"] / math.log(2)
        if p.alpha_contrast:
            terms["alignment"] = p.alpha_contrast * self._alignment(
                [projected.head for projected in projections],
                torch.cat(self.rows(interaction, self.ITEM_ID, self.NEG_ITEM_ID)),
            )
        if p.ureg:
            terms["distancing"] = p.ureg * self._distancing(projections)
        return terms

    def _alignment(self, hidden: list[Tensor], batch: Tensor) -> Tensor:
        """Solosimloss: the generic halves of every two modalities agree on the item, among items."""
        generic = [head[1:](x) for head, x in zip(self.heads, hidden, strict=True)]  # each (I, out_dim)
        each = [
            losses.info_nce(F.embedding(rows, generic[b]), F.embedding(rows, generic[a]), self.p.temp)
            for (a, b), real in zip(self.pairs, self.real_in_both, strict=True)
            for rows in [negatives(self.p.contrast_negatives, real, batch)]
        ]
        return torch.stack(each).mean()

    def _distancing(self, projections: list[Projections]) -> Tensor:
        """Half of what the generic half tells about the unique one (in nats, at least 0), mean over the modalities."""
        halves = [
            (F.embedding(rows, projected.generic), F.embedding(rows, projected.unique))
            for projected, rows in zip(projections, self.real, strict=True)
        ]
        if self.p.distancing == "mse":
            return -torch.stack([F.mse_loss(t1, t2) for t1, t2 in halves]).mean()
        samples = self._across_modalities(projections) if self.p.club_pairing == "released" else halves
        self.club_samples = [(x.detach(), y.detach()) for x, y in samples]
        bounds = [self.club(t1, t2, torch.randperm(len(t1), device=t1.device)) for t1, t2 in halves]
        return 0.5 * torch.stack(bounds).clamp_min(0).mean()

    def _across_modalities(self, projections: list[Projections]) -> list[tuple[Tensor, Tensor]]:
        """Pair as the released code does: generic with generic, unique with unique, across modalities."""
        return [
            (F.embedding(rows, getattr(projections[b], half)), F.embedding(rows, getattr(projections[a], half)))
            for (a, b), rows in zip(self.pairs, self.real_in_both, strict=True)
            for half in ("generic", "unique")
        ]

    def embeddings(self) -> tuple[Tensor, Tensor]:
        return self.forward()[:2]

    def item_parts(self) -> dict[str, Tensor]:
        return blocks(self.modality_names, self.embeddings()[1], self.p.embedding_size)

    def parts(self) -> dict[str, Tensor]:
        """Return what each modality adds to users and items beside what scores are made from."""
        parts = super().parts()
        for kind in ("users", "items"):
            each = parts[kind].split(self.p.embedding_size, dim=1)[: len(self.modality_names)]  # without the bias
            parts |= {f"{name}, {kind}": table for name, table in zip(self.modality_names, each, strict=True)}
        return parts
