"""BM3: bootstrapped multimodal recommendation without negative samples (arXiv 2207.05969)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recbole.utils import InputType
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.base.errors import InputError
from recbole_mm.model.base import BufferList
from recbole_mm.model.graph_base import GraphParameters, GraphRecommender
from recbole_mm.model.parts import losses
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class BM3Parameters(GraphParameters):
    """Parameters of BM3; the released code's values stand in brackets where ours differ."""

    n_layers: int = parameter(1, "user-item propagation layers", low=0)
    dropout: float = parameter(0.3, "share p of a target's values that are dropped", low=0.0, high=0.999)
    cl_weight: float = parameter(2.0, "weight of the alignment between and within modalities", low=0.0)
    reg_weight: float = parameter(
        1e-3, "weight lambda of the L2 term of a batch's embeddings [0.1, of the lengths of whole tables]", low=0.0
    )


class BM3(GraphRecommender):
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
        if (config["train_neg_sample_args"] or {}).get("distribution", "none") != "none":
            raise InputError(
                "BM3 aligns users with items that they had, and would take drawn negatives for those: leave "
                "train_neg_sample_args out, or set --train_neg_sample_args=None"
            )
        d = self.p.embedding_size
        self.real = BufferList(self.masks)
        self.projections: Any = nn.ModuleList(nn.Linear(X.shape[1], d) for X in self.features)  # W_m, b_m
        self.predictor = nn.Linear(d, d)  # W_p, b_p
        self.initialise(*self.projections, self.predictor)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return users (U, d) and items (I, d): the mean of all layers, to which items add where they start from."""
        users, items = self.sides(self.propagated(self.p.n_layers))
        return users, items + self.item_embedding.weight

    def _views(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the online view of embeddings (batch, d) and their target."""
        return self.predictor(h), F.dropout(h.detach(), self.p.dropout)

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        p, users, items = self.p, *self.forward()
        user, item = self.rows(interaction, self.USER_ID, self.ITEM_ID)
        h_u, h_i = F.embedding(user, users), F.embedding(item, items)
        (online_u, target_u), (online_i, target_i) = self._views(h_u), self._views(h_i)
        each = _cosine_distance(online_u, target_i) + _cosine_distance(
            online_i, target_u
        )  # (batch,), graph reconstruction
        for X, project, real in zip(self.features, self.projections, self.real, strict=True):
            online_m, target_m = self._views(project(F.embedding(item, X)))
            between, within = _cosine_distance(online_m, target_i), _cosine_distance(online_m, target_m)
            each = each + p.cl_weight * real[item] * (between + within)
        reg = p.reg_weight * losses.squared_norm([h_u, h_i], len(user))
        return {"alignment": each.mean(), "reg": reg} | self.content_term(item, online_u)

    def embeddings(self) -> tuple[Tensor, Tensor]:
        users, items = self.forward()
        return self.predictor(users), self.predictor(items)


def _cosine_distance(online: Tensor, target: Tensor) -> Tensor:
    """Return one minus the cosine of each row, (batch,)."""
    return 1 - F.cosine_similarity(online, target, dim=1)
