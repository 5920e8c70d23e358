"""CCL4Rec: contrast over contrastive learning on noisy histories (arXiv 2208.08024)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.base.errors import InputError
from recbole_mm.graphs.building import history_matrix, related_items
from recbole_mm.model.base import Multimodal, padded
from recbole_mm.model.parts import losses
from recbole_mm.model.parts.contrast import l2_normalize
from recbole_mm.model.parts.views import RelatedItems, Views, make_views
from recbole_mm.settings.parameters import parameter

ID_STD = 0.02  # of an item embedding at the start: small beside a projected modality, which so leads where data is thin


@dataclass(frozen=True, slots=True)
class CCL4RecParameters:
    """Parameters of CCL4Rec; the paper leaves their values open."""

    embedding_size: int = parameter(64, "width d of item and user vectors", low=1)
    use_ids: bool = parameter(True, "give every item an embedding of its own")
    use_modalities: bool = parameter(True, "add a projection of each modality to the item vector")
    recency: bool = parameter(True, "learn a bias of the attention per distance from the end of the history")
    dropout: float = parameter(0.5, "share of a user vector's entries that training drops", low=0.0, high=0.99)
    loss_type: str = parameter("CE", "softmax over the items, or pairs", choices=("CE", "BPR"))
    softmax_items: int = parameter(100_000, "with more items, CE is over this many drawn ones and the target", low=1)
    cl_weight: float = parameter(1.0, "weight of the pull", low=0.0)
    over_weight: float = parameter(0.1, "weight of the contrast over contrast", low=0.0)
    adaptive: bool = parameter(True, "strengths by quality and damage; false: equal, as in vanilla contrast")
    n_positives: int = parameter(2, "positive views a user", low=1)
    n_negatives: int = parameter(2, "negative views a user", low=0)
    r_min: float = parameter(0.1, "share of the history that the mildest view replaces", low=0.0, high=1.0)
    r_max: float = parameter(0.5, "share of the history that the hardest view replaces", low=0.0, high=1.0)
    n_contrasts: int = parameter(256, "users of a batch that are contrasted, at most; one history each", low=1)
    tau: float = parameter(1.0, "temperature of the contrast", low=1e-6)
    tau_w: float = parameter(0.1, "temperature of the strengths", low=1e-6)
    related_k: int = parameter(20, "related items of an item to draw substitutes from", low=1)
    related_share: float = parameter(0.5, "weight of the modalities in relatedness", low=0.0, high=1.0)


class CCL4Rec(Multimodal, SequentialRecommender):
    """CCL4Rec: attention pooling over the history, and views of it whose quality is known.

    A dataset without modalities works: item vectors are then the embeddings alone.
    """

    parameter_class = CCL4RecParameters
    proposed = True
    ablations = MappingProxyType(
        {
            "without over-contrast": {"over_weight": 0.0},
            "vanilla contrast": {"over_weight": 0.0, "adaptive": False},
            "no contrast": {"over_weight": 0.0, "cl_weight": 0.0},
            "on ids only": {"use_modalities": False},
        }
    )
    ITEM_SEQ: str
    ITEM_SEQ_LEN: str
    max_seq_length: int
    n_items: int
    positive_shares: Tensor  # (n_positives,)
    negative_shares: Tensor  # (n_negatives,)

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: CCL4RecParameters = self.p
        d = p.embedding_size
        if p.r_min > p.r_max:
            raise InputError(f"r_min {p.r_min} must not be above r_max {p.r_max}")
        if not p.use_ids and not (p.use_modalities and self.modality_names):
            raise InputError("use_ids is false and there is no modality: items could not be told apart")
        self.item_embedding = nn.Embedding(self.n_real_items if p.use_ids else 0, d)
        used = self.features if p.use_modalities else ()
        self.projections = nn.ModuleList(nn.Linear(X.shape[1], d, bias=False) for X in used)
        self.attention = nn.Sequential(nn.Linear(d, d), nn.Tanh(), nn.Linear(d, 1, bias=False))  # W, b, w
        self.recency = nn.Parameter(torch.zeros(self.max_seq_length), requires_grad=p.recency)
        self.contrast_head = nn.Linear(d, d)  # f
        self.contrasts = bool(p.cl_weight or p.over_weight)
        if self.contrasts:  # of what `views` needs, the neighbours of a large catalogue are dear
            interactions = history_matrix(dataset, self.ITEM_SEQ, self.ITEM_SEQ_LEN)
            self.related = RelatedItems(
                related_items(
                    interactions,
                    list(used),
                    list(self.masks),
                    p.related_k,
                    p.related_share,
                    method=self.engine.neighbour_search,
                )
            )
            self.register_buffer("positive_shares", self._shares(p.n_positives), persistent=False)
            self.register_buffer("negative_shares", self._shares(p.n_negatives), persistent=False)
        if p.use_ids:
            nn.init.normal_(self.item_embedding.weight, std=ID_STD)

    def _shares(self, n_views: int) -> Tensor:
        """Return r_v, spread over [r_min, r_max]; one view takes the middle."""
        low, high = self.p.r_min, self.p.r_max
        return torch.linspace(low, high, n_views) if n_views > 1 else torch.full((n_views,), (low + high) / 2)

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return item vectors e_i (I, d) and the attention logits w^T tanh(W e_i + b) (I,)."""
        parts = [self.item_embedding.weight] if self.p.use_ids else []
        parts += [project(X) for project, X in zip(self.projections, self.features, strict=False)]
        items = torch.stack(parts).sum(0)
        return items, self.attention(items).squeeze(1)

    def parts(self) -> dict[str, Tensor]:
        return {"items": self.embeddings()[0]}

    def attend(self, history: Tensor, logits: Tensor) -> Tensor:
        """Return a_j (B, L), 0 at the padded positions of a history; `logits` (n_items,) by internal id."""
        distance = (history > 0).sum(1, keepdim=True) - 1 - torch.arange(history.shape[1], device=history.device)
        scores = F.embedding(history, logits.unsqueeze(1)).squeeze(2) + F.embedding(
            distance.clamp_min(0), self.recency.unsqueeze(1)
        ).squeeze(2)
        scores = scores.masked_fill(history == 0, torch.finfo(scores.dtype).min)
        return scores.softmax(1)

    def encode(self, history: Tensor, items: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return users u = sum_j a_j e_j (B, d) and a (B, L); `items` (n_items, d) by internal id."""
        attention = self.attend(history, logits)
        return F.embedding_bag(history, items, per_sample_weights=attention, mode="sum"), attention

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        """Return the weighted terms of the loss by name; a term of weight 0 is not computed."""
        items, logits = (padded(table) for table in self.embeddings())
        history, target = interaction[self.ITEM_SEQ], interaction[self.POS_ITEM_ID]
        users, attention = self.encode(history, items, logits)
        dropped = F.dropout(users, self.p.dropout, self.training)
        terms = {"rec": self._recommendation(dropped, items, target, interaction)}
        if self.contrasts:
            rows = self._contrasted(interaction)
            terms |= self._contrast(history[rows], attention[rows], F.embedding(rows, users), items, logits)
        return terms

    def _recommendation(self, users: Tensor, items: Tensor, target: Tensor, interaction: Any) -> Tensor:
        if self.p.loss_type == "BPR":
            positive, negative = (F.embedding(ids, items) for ids in (target, interaction[self.NEG_ITEM_ID]))
            return losses.bpr((users * positive).sum(1), (users * negative).sum(1))
        if self.n_real_items <= self.p.softmax_items:
            scores = users @ items.T
            scores[:, 0] = -torch.inf  # [PAD] fills histories and is no answer
            return F.cross_entropy(scores, target)
        drawn = torch.randint(1, self.n_items, (self.p.softmax_items,), device=target.device)
        scores = users @ F.embedding(drawn, items).T + math.log(self.n_real_items / len(drawn))
        scores = scores.masked_fill(drawn == target.unsqueeze(1), -torch.inf)
        own = (users * F.embedding(target, items)).sum(1, keepdim=True)
        return (torch.cat([own, scores], dim=1).logsumexp(1) - own.squeeze(1)).mean()

    def _contrasted(self, interaction: Any) -> Tensor:
        """Draw one history each of at most `n_contrasts` users of the batch."""
        user = interaction[self.USER_ID]
        order = torch.randperm(len(user), device=user.device)
        distinct, inverse = user[order].unique(return_inverse=True)
        first = torch.full_like(distinct, len(user)).scatter_reduce(
            0, inverse, torch.arange(len(user), device=user.device), "amin"
        )
        return order[first.sort().values[: self.p.n_contrasts]]

    def views(self, history: Tensor, attention: Tensor) -> tuple[Views, Views]:
        """Draw the positive and the negative views of histories (B, L) with importance (B, L)."""
        good = make_views(history, attention, self.related, self.positive_shares, positive=True)
        return good, make_views(history, attention, self.related, self.negative_shares, positive=False)

    def _contrast(
        self, history: Tensor, attention: Tensor, users: Tensor, items: Tensor, logits: Tensor
    ) -> dict[str, Tensor]:
        p = self.p
        good, bad = self.views(history, attention)
        anchor = l2_normalize(self.contrast_head(users))
        near, far = (self._similarity(anchor, views, items, logits) for views in (good, bad))  # (B, P), (B, N)
        terms = {}
        if p.cl_weight:
            others = (anchor @ anchor.T / p.tau).fill_diagonal_(-torch.inf)
            terms["pull"] = p.cl_weight * losses.adaptive_info_nce(near, far, others, *self._strengths(good, bad))
        if p.over_weight:
            over = losses.over_contrast(near, 1 - good.damage) + losses.over_contrast(far, 1 - bad.damage)
            terms["over"] = p.over_weight * over
        return terms

    def _similarity(self, anchor: Tensor, views: Views, items: Tensor, logits: Tensor) -> Tensor:
        """Return c(v) = cos(f(u), f(u_v)) / tau, (B, V)."""
        encoded, _ = self.encode(views.items.flatten(0, 1), items, logits)
        encoded = l2_normalize(self.contrast_head(encoded)).unflatten(0, views.damage.shape)
        return (anchor.unsqueeze(1) * encoded).sum(2) / self.p.tau

    def _strengths(self, good: Views, bad: Views) -> tuple[Tensor, Tensor]:
        """Return w_p = softmax(quality / tau_w) and w_n = N softmax(damage / tau_w)."""
        if not self.p.adaptive:
            return torch.full_like(good.damage, 1 / self.p.n_positives), torch.ones_like(bad.damage)
        pull = ((1 - good.damage) / self.p.tau_w).softmax(1)
        return pull, self.p.n_negatives * (bad.damage / self.p.tau_w).softmax(1)

    def _users(self, interaction: Any) -> tuple[Tensor, Tensor]:
        items, logits = self.scoring_embeddings()
        with torch.no_grad():
            return self.encode(interaction[self.ITEM_SEQ], items, logits)[0], items

    def predict(self, interaction: Any) -> Tensor:  # (batch,)
        users, items = self._users(interaction)
        return (users * items[interaction[self.ITEM_ID]]).sum(1)

    def full_sort_predict(self, interaction: Any) -> Tensor:  # (batch, n_items)
        users, items = self._users(interaction)
        return users @ items.T
