"""VBPR: visual Bayesian personalised ranking, here from features of any modalities (arXiv 1510.01784)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.model.base import MultimodalRecommender
from recbole_mm.model.parts import losses
from recbole_mm.model.parts.cold_items import ColdItemParameters
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class VBPRParameters(ColdItemParameters):
    """Parameters of VBPR; the paper's values stand in brackets where ours differ."""

    embedding_size: int = parameter(64, "width K of the latent factors gamma [10]", low=1)
    feature_size: int = parameter(64, "width D of the factors theta of the features [10]", low=1)
    reg_weight: float = parameter(1e-4, "weight lambda of the L2 term of a batch's factors and biases", low=0.0)


class VBPR(MultimodalRecommender):
    """VBPR: `x_ui = beta_i + gamma_u . gamma_i + theta_u . (E f_i) + beta' . f_i`.

    The features f_i of several modalities stand side by side. The paper's alpha and beta_u are left out: they are the
    same for all items of a user. E and beta' have no L2 term, as in the paper's experiments.
    """

    parameter_class = VBPRParameters

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: VBPRParameters = self.p
        dim = sum(X.shape[1] for X in self.features)
        self.user_factors = nn.Embedding(self.n_real_users, p.embedding_size)  # gamma_u
        self.item_factors = nn.Embedding(self.n_real_items, p.embedding_size)  # gamma_i
        self.user_taste = nn.Embedding(self.n_real_users, p.feature_size)  # theta_u
        self.item_bias = nn.Embedding(self.n_real_items, 1)  # beta_i
        self.feature_map = nn.Linear(dim, p.feature_size, bias=False)  # E
        self.feature_bias = nn.Linear(dim, 1, bias=False)  # beta'
        for module in (self.user_factors, self.item_factors, self.user_taste, self.feature_map, self.feature_bias):
            nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(self.item_bias.weight)

    def _features(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return `E f_i` (n, D) and `beta' . f_i` (n, 1)."""
        f = torch.cat([F.embedding(items, X) for X in self.features], dim=1)  # (n, dim)
        return self.feature_map(f), self.feature_bias(f)

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        users, *pair = self.rows(interaction)
        gamma_u, theta_u = self.user_factors(users), self.user_taste(users)
        scores, learned = [], [gamma_u, theta_u]
        for items in pair:
            gamma_i, beta_i, (mapped, bias) = self.item_factors(items), self.item_bias(items), self._features(items)
            scores.append((beta_i + bias).squeeze(1) + (gamma_u * gamma_i).sum(1) + (theta_u * mapped).sum(1))
            learned += [gamma_i, beta_i]
        return {"bpr": losses.bpr(*scores), "reg": self.p.reg_weight * losses.squared_norm(learned, len(users))}

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return users `[gamma, theta, 1]` (U, K + D + 1) and items `[gamma, E f, beta + beta' . f]` of that width."""
        gamma_u, theta_u = self.user_factors.weight, self.user_taste.weight
        mapped, bias = self._features(torch.arange(self.n_real_items, device=gamma_u.device))
        users = torch.cat([gamma_u, theta_u, gamma_u.new_ones(len(gamma_u), 1)], dim=1)
        return users, torch.cat([self.item_factors.weight, mapped, self.item_bias.weight + bias], dim=1)

    def item_parts(self) -> dict[str, Tensor]:
        widths = [X.shape[1] for X in self.features]
        maps = zip(self.feature_map.weight.split(widths, 1), self.feature_bias.weight.split(widths, 1), strict=True)
        none = torch.zeros_like(self.item_factors.weight)
        return {
            name: torch.cat([none, X @ E.T, X @ bias.T], dim=1)
            for name, X, (E, bias) in zip(self.modality_names, self.features, maps, strict=True)
        }
