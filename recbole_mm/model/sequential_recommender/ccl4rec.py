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
from recbole_mm.model.base import BufferList, Multimodal, padded
from recbole_mm.model.parts import losses
from recbole_mm.model.parts.contrast import l2_normalize
from recbole_mm.model.parts.history_contrast import HistoryContrast
from recbole_mm.model.parts.planted import plant
from recbole_mm.model.parts.repeats import add_bias, of_prefixes, once, score
from recbole_mm.model.parts.sums import summed
from recbole_mm.model.parts.trust import Trust, constant_space, planted_loss
from recbole_mm.model.parts.views import ViewSource, influence, worth
from recbole_mm.recbole_bridge.item_softmax import item_softmax
from recbole_mm.recbole_bridge.whole_histories import counted
from recbole_mm.settings.execution import Histories
from recbole_mm.settings.parameters import parameter, read_config

ID_STD = 0.02  # of an item embedding at the start: small beside a projected modality, which so leads where data is thin
BIAS_SCALE = 10.0  # of recency, repeats, beta: a parameter moves by the learning rate a step, and these have far to go
LEAST_HISTORY = 5  # behaviours of a history that noise is planted in and views are made of


@dataclass(frozen=True, slots=True)
class CCL4RecParameters:
    """Parameters of CCL4Rec; the paper leaves their values open."""

    embedding_size: int = parameter(64, "width d of item and user vectors", low=1)
    use_ids: bool = parameter(True, "give every item an embedding of its own")
    use_modalities: bool = parameter(True, "add a projection of each modality to the item vector")
    transition: bool = parameter(True, "learn a matrix T, and users are u + T u: what follows is not only what is like")
    item_attention: bool = parameter(False, "learn how much attention an item gets in every history")
    recency: bool = parameter(True, "learn a bias of the attention per distance from the end of the history")
    repeat_bias: bool = parameter(True, "learn a bias of the scores of the items of the history")
    dropout: float = parameter(0.5, "share of a user vector's entries that training drops", low=0.0, high=0.99)
    loss_type: str = parameter("CE", "softmax over the items, or pairs", choices=("CE", "BPR"))
    softmax_items: int = parameter(100_000, "with more items, CE is over this many drawn ones and the target", low=1)
    trust_beta: float = parameter(
        1.0, "weight of the log of trust in the attention, in scoring, at the start; 0 leaves trust out", low=0.0
    )
    learn_beta: bool = parameter(True, "learn trust_beta: how much of trust foretells the items that training has next")
    trust_k: int = parameter(3, "behaviours of a history that one has to agree with, the nearest ones", low=1)
    trust_modalities: bool = parameter(True, "agreement in each modality, too, beside that of item vectors")
    trust_weight: float = parameter(0.1, "weight of the supervision of trust by planted noise", low=0.0)
    cl_weight: float = parameter(0.0, "weight of the denoising pull", low=0.0)
    hard_weight: float = parameter(0.0, "weight of the push of hard negatives", low=0.0)
    over_weight: float = parameter(0.0, "weight of the contrast over contrast", low=0.0)
    adaptive: bool = parameter(True, "strengths of views by damage; false: equal, as in vanilla contrast")
    n_views: int = parameter(1, "cleaned, noised, and hard negative views a user, each", low=1)
    r_min: float = parameter(0.2, "share of the history that the mildest view replaces", low=0.0, high=1.0)
    r_max: float = parameter(0.5, "share of the history that the hardest view replaces", low=0.0, high=1.0)
    hardness: float = parameter(
        0.5, "quantile, by similarity to the history, of what hard negatives put in", low=0.0, high=1.0
    )
    margin: float = parameter(0.2, "distance, per damage, that hard negatives and worse views keep", low=0.0)
    n_contrasts: int = parameter(256, "users of a batch that are contrasted, at most; one history each", low=2)
    tau: float = parameter(0.2, "temperature of the contrasts", low=1e-6)
    tau_w: float = parameter(0.1, "temperature of the strengths", low=1e-6)


def pooled(history: Tensor, items: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return users u = sum_j a_j e_j (B, d) of histories (B, L), and a (B, L), the softmax of scores (B, L)."""
    attention = scores.masked_fill(history == 0, torch.finfo(scores.dtype).min).softmax(1)
    return F.embedding_bag(history, items, per_sample_weights=attention, mode="sum"), attention


class CCL4Rec(Multimodal, SequentialRecommender):
    """CCL4Rec: attention pooling over the history, trust in its behaviours, and views of it whose damage is known.

    Users are u + T u, where u is the attention's mean of item vectors: a score u e_i alone would be the same for either
    order of two items, and what follows an item is not only what is like it.

    A dataset without modalities works: item vectors are then the embeddings alone. Trust is learned from planted noise,
    and weighs the behaviours of a history that is scored. In training it does not: the attention learns less from
    histories that are clean already, and from whole histories (`train_histories`) trust would tell it what comes later.
    How much it counts, beta, is learned from what follows the histories of training, and is 0 where trust does not
    foretell it.
    """

    parameter_class = CCL4RecParameters
    proposed = True
    ablations = MappingProxyType(
        {
            "without trust": {"trust_beta": 0.0, "trust_weight": 0.0},
            "without planted noise": {"trust_weight": 0.0},
            "without repeat bias": {"repeat_bias": False},
            "without transition": {"transition": False},
            "with item attention": {"item_attention": True},
            "with denoising pull": {"cl_weight": 0.1},
            "with pull and hard negatives": {"cl_weight": 0.1, "hard_weight": 0.1},
            "with all contrasts": {"cl_weight": 0.1, "hard_weight": 0.1, "over_weight": 0.1},
            "with vanilla contrast": {"cl_weight": 0.1, "adaptive": False},
            "on ids only": {"use_modalities": False, "trust_modalities": False},
        }
    )
    gather_indexes: Any  # of RecBole; training on whole histories puts another one there
    ITEM_SEQ: str
    ITEM_SEQ_LEN: str
    max_seq_length: int
    n_items: int

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: CCL4RecParameters = self.p
        d = p.embedding_size
        if p.r_min > p.r_max:
            raise InputError(f"r_min {p.r_min} must not be above r_max {p.r_max}")
        if not p.use_ids and not (p.use_modalities and self.modality_names):
            raise InputError("use_ids is false and there is no modality: items could not be told apart")
        self.whole = read_config(Histories, config).train_histories == "whole"
        self.item_embedding = nn.Embedding(self.n_real_items if p.use_ids else 0, d)
        self.projections = nn.ModuleList(
            nn.Linear(X.shape[1], d, bias=False) for X in (self.features if p.use_modalities else ())
        )
        if p.transition:
            self.transition = nn.Linear(d, d, bias=False)
            nn.init.zeros_(self.transition.weight)
        if p.item_attention:
            self.attention = nn.Sequential(nn.Linear(d, d), nn.Tanh(), nn.Linear(d, 1, bias=False))  # W, b, w
        self.recency = nn.Parameter(torch.zeros(self.max_seq_length), requires_grad=p.recency)
        self.repeat = nn.Parameter(torch.zeros(()), requires_grad=p.repeat_bias)
        self.contrasts = bool(p.cl_weight or p.hard_weight or p.over_weight)
        self.has_trust = bool(p.trust_beta or p.trust_weight or self.contrasts)
        if self.has_trust:
            modalities = zip(self.features, self.masks, strict=True) if p.trust_modalities else ()
            spaces = [padded(constant_space(X, real)) for X, real in modalities]
            self.spaces = BufferList(spaces)  # by internal id
            self.trust = Trust(d, len(spaces), p.trust_k)
        if p.trust_beta:
            self.beta = nn.Parameter(torch.tensor(p.trust_beta / BIAS_SCALE), requires_grad=p.learn_beta)
        if self.contrasts:
            self.contrast = HistoryContrast(p, d)
        if p.use_ids:
            nn.init.normal_(self.item_embedding.weight, std=ID_STD)

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return item vectors e_i (I, d) and the attention logits w^T tanh(W e_i + b) (I,)."""
        parts = [self.item_embedding.weight] if self.p.use_ids else []
        parts += [project(X) for project, X in zip(self.projections, self.features, strict=False)]
        items = summed(parts).to(self.recency.dtype)  # under mixed precision projections have another
        return items, self.attention(items).squeeze(1) if self.p.item_attention else items.new_zeros(len(items))

    def item_parts(self) -> dict[str, Tensor]:
        parts = [project(X) for project, X in zip(self.projections, self.features, strict=False)]
        return dict(zip(self.modality_names, parts, strict=False))  # none with use_modalities=false

    def parts(self) -> dict[str, Tensor]:
        return {"items": self.embeddings()[0]}

    def trust_logits(self, history: Tensor, items: Tensor) -> Tensor:
        """Return the logits of the trust t_j in the behaviours of histories (B, L); `items` by internal id."""
        constant = [F.embedding(history, space) for space in self.spaces]
        logits: Tensor = self.trust(F.embedding(history, items), constant, history > 0)
        return logits

    def attention_logits(self, history: Tensor, logits: Tensor) -> Tensor:
        """Return the logits of the attention on histories (B, L), but for trust; of no meaning at padded positions."""
        distance = (history > 0).sum(1, keepdim=True) - 1 - torch.arange(history.shape[1], device=history.device)
        recency = F.embedding(distance.clamp_min(0), self.recency.unsqueeze(1)).squeeze(2)
        return F.embedding(history, logits.unsqueeze(1)).squeeze(2) + BIAS_SCALE * recency

    def transited(self, users: Tensor) -> Tensor:
        """Return u + T u of users u (..., d)."""
        if not self.p.transition:
            return users
        return users + self.transition(F.dropout(users, self.p.dropout, self.training))

    def encode(self, history: Tensor, items: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return users (B, d), u + T u of u = sum_j a_j e_j, and a (B, L); `items` (n_items, d) by internal id."""
        scores = self.attention_logits(history, logits)
        if self.p.trust_beta and not self.training:
            beta = self.beta.clamp_min(0)
            scores = scores + BIAS_SCALE * beta * F.logsigmoid(self.trust_logits(history, items))
        users, attention = pooled(history, items, scores)
        return self.transited(users), attention

    def encode_every(self, history: Tensor, items: Tensor, logits: Tensor) -> Tensor:
        """Return the users of all prefixes of histories, (B, L, d): at position t of the first t + 1 behaviours."""
        place = torch.arange(history.shape[1], device=history.device)
        distance = place.unsqueeze(1) - place  # (L, L), row t
        scores = F.embedding(history, logits.unsqueeze(1)).squeeze(2).unsqueeze(1)
        scores = scores + BIAS_SCALE * self.recency[distance.clamp_min(0)]  # (B, L, L)
        hidden = (distance < 0) | (history == 0).unsqueeze(1)
        attention = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(2)
        return self.transited(attention @ F.embedding(history, items))

    @property
    def bias(self) -> Tensor:
        """Return what the score of an item of the history has added, ()."""
        return BIAS_SCALE * self.repeat

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        """Return the weighted terms of the loss by name; a term of weight 0 is not computed."""
        items, logits = (padded(table) for table in self.embeddings())
        history, target = interaction[self.ITEM_SEQ], interaction[self.POS_ITEM_ID]
        if self.whole:  # the users of every position, in the order of `target`
            last = interaction[self.ITEM_SEQ_LEN] - 1
            every = self.encode_every(history, items, logits), of_prefixes(history)
            users, seen = (self.gather_indexes(table, last) for table in every)
        else:
            users, seen = self.encode(history, items, logits)[0], once(history)
        dropped = F.dropout(users, self.p.dropout, self.training)
        terms = {"rec": self._recommendation(dropped, items, target, seen, interaction)}
        learns_beta = bool(self.p.trust_beta) and self.p.learn_beta
        rows = self._contrasted(interaction) if self.contrasts or self.p.trust_weight or learns_beta else ()
        if not len(rows):
            return terms
        some = history[rows]
        following = target[self._last(interaction) if len(target) > len(history) else slice(None)][rows]
        if learns_beta:
            terms["beta"] = self._beta_loss(some, items, logits, following)
        if self.p.trust_weight:
            noisy, planted = plant(some)
            known = planted_loss(self.trust_logits(noisy, items.detach()), planted, noisy > 0)
            terms["trust"] = self.p.trust_weight * known
        if self.contrasts:
            given, of_rows = self.view_source(some, items, logits)
            following = F.embedding(following, items)
            terms |= self.contrast(given, of_rows, following, lambda views: self.encode(views, items, logits)[0])
        return terms

    def _beta_loss(self, history: Tensor, items: Tensor, logits: Tensor, following: Tensor) -> Tensor:
        """Return the loss of what follows histories (B, L) that are weighed by trust; beta alone has a gradient."""
        with torch.no_grad():
            scores = self.attention_logits(history, logits)
            trust = F.logsigmoid(self.trust_logits(history, items))
            table, bias = items.detach(), self.bias.detach()
        users, _ = pooled(history, table, scores + BIAS_SCALE * self.beta * trust)
        if self.p.transition:
            users = users + F.linear(users, self.transition.weight.detach())
        return self._softmax(users, table, following, once(history), bias)

    def _recommendation(self, users: Tensor, items: Tensor, target: Tensor, seen: Tensor, interaction: Any) -> Tensor:
        if self.p.loss_type == "CE":
            return self._softmax(users, items, target, seen, self.bias)
        ids = target, interaction[self.NEG_ITEM_ID]
        return losses.bpr(*(score(users, items, seen, self.bias, some) for some in ids))

    def _softmax(self, users: Tensor, items: Tensor, target: Tensor, seen: Tensor, bias: Tensor) -> Tensor:
        if self.n_real_items <= self.p.softmax_items:
            return item_softmax(users, items, target, seen=seen, seen_bias=bias)
        drawn = torch.randperm(self.n_real_items, device=target.device)[: self.p.softmax_items] + 1
        drawn = F.pad(drawn, (1, 0))  # [PAD] first: where the column of an item that was not drawn is
        column = torch.zeros(self.n_items, dtype=drawn.dtype, device=drawn.device)
        column[drawn] = torch.arange(len(drawn), device=drawn.device)
        scores = users @ F.embedding(drawn, items).T + math.log(self.n_real_items / (len(drawn) - 1))
        scores = add_bias(scores, column[seen], bias)
        scores = scores.masked_fill((drawn == target.unsqueeze(1)) | (drawn == 0), -torch.inf)
        own = score(users, items, seen, bias, target).unsqueeze(1)
        return (torch.cat([own, scores], dim=1).logsumexp(1) - own.squeeze(1)).mean()

    def _contrasted(self, interaction: Any) -> Tensor:
        """Draw one history each, of `LEAST_HISTORY` behaviours, of at most `n_contrasts` users of the batch."""
        user = interaction[self.USER_ID]
        order = torch.randperm(len(user), device=user.device)
        order = order[(interaction[self.ITEM_SEQ][order] > 0).sum(1) >= LEAST_HISTORY]
        distinct, inverse = user[order].unique(return_inverse=True)
        first = torch.full_like(distinct, len(user)).scatter_reduce(
            0, inverse, torch.arange(len(order), device=user.device), "amin"
        )
        return order[first.sort().values[: self.p.n_contrasts]]

    def _last(self, interaction: Any) -> Tensor:
        """Return where the last prediction of each history is among those of the batch."""
        count = counted(interaction[self.ITEM_SEQ_LEN], self.max_seq_length, self.max_seq_length)
        return count.sum(1).cumsum(0) - 1

    def view_source(self, history: Tensor, items: Tensor, logits: Tensor) -> tuple[ViewSource, Tensor]:
        """Return what views of histories (B, L) are made from, and the users (B, d)."""
        users, attention = self.encode(history, items, logits)
        trust = self.trust_logits(history, items).sigmoid() * (history > 0)
        with torch.no_grad():
            importance = influence(attention, F.embedding(history, items))
            space = l2_normalize(self.trust.space(items))
        return ViewSource(history, importance, trust.detach(), worth(importance, trust), space), users

    def _users(self, interaction: Any) -> tuple[Tensor, Tensor]:
        items, logits = self.scoring_embeddings()
        return self.encode(interaction[self.ITEM_SEQ], items, logits)[0], items

    def forward(self, item_seq: Tensor, item_seq_len: Tensor) -> Tensor:
        """Return the users (B, d) of histories (B, L), as RecBole's sequential models do."""
        return self.encode(item_seq, *self.scoring_embeddings())[0]

    @torch.no_grad()
    def predict(self, interaction: Any) -> Tensor:  # (batch,)
        users, items = self._users(interaction)
        return score(users, items, interaction[self.ITEM_SEQ], self.bias, interaction[self.ITEM_ID])

    @torch.no_grad()
    def full_sort_predict(self, interaction: Any) -> Tensor:  # (batch, n_items)
        users, items = self._users(interaction)
        return add_bias(users @ items.T, once(interaction[self.ITEM_SEQ]), self.bias)
