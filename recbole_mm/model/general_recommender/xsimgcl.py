"""XSimGCL: LightGCN with noise in its layers, and a contrast of two of them (arXiv 2209.02544)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recbole_mm.base.errors import InputError
from recbole_mm.model.graph_base import GraphParameters, GraphRecommender
from recbole_mm.model.parts import losses
from recbole_mm.model.parts.contrast import l2_normalize
from recbole_mm.model.parts.sums import summed
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class XSimGCLParameters(GraphParameters):
    """Parameters of XSimGCL."""

    n_layers: int = parameter(3, "user-item propagation layers L", low=1)
    contrast_layer: int = parameter(1, "layer l* that the mean of the layers is contrasted with, 1 to L", low=1)
    eps: float = parameter(0.2, "length epsilon of the noise of a row", low=0.0)
    cl_weight: float = parameter(0.2, "weight lambda of the contrast", low=0.0)
    temp: float = parameter(0.2, "temperature tau of the contrast", low=1e-6)
    reg_weight: float = parameter(1e-4, "weight of the L2 term of a batch's embeddings", low=0.0)


class XSimGCL(GraphRecommender):
    """XSimGCL, which reads no features; a dataset without modalities will do.

    Notes
    -----
    The final embedding is the mean of the layers 1 to L, without the layer 0, as in the paper: that of an item without
    training interactions is 0, unless `cold_items` is `neighbours` or `features`.
    Own reading: the contrast sees each user and item of a batch once, and the noise is in the BPR term too.
    """

    parameter_class = XSimGCLParameters
    modalities_required = False

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p: XSimGCLParameters = self.p
        if p.contrast_layer > p.n_layers:
            raise InputError(f"contrast_layer {p.contrast_layer} must be at most n_layers {p.n_layers}")
        self.initialise()

    def forward(self, eps: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return the mean of the layers 1 to L and the layer l*, each (N, d), with noise of length `eps`."""
        p, h, each = self.p, torch.cat([self.user_embedding.weight, self.item_embedding.weight]), []
        for _layer in range(p.n_layers):
            h = self.adjacency(h)
            if eps:
                h = h + eps * l2_normalize(torch.rand_like(h)) * h.detach().sign()
            each.append(h)
        return summed(each) / len(each), each[p.contrast_layer - 1]

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        p, (final, layer) = self.p, self.forward(self.p.eps)
        terms, rows = self.ranking(interaction, *self.sides(final))
        terms["reg"] = p.reg_weight * losses.squared_norm(rows, len(rows[0]))
        if p.cl_weight:
            user, item = self.rows(interaction, self.USER_ID, self.ITEM_ID)
            batch = [nodes.unique() for nodes in (user, self.n_real_users + item)]
            contrast = [losses.info_nce(F.embedding(n, final), F.embedding(n, layer), p.temp) for n in batch]
            terms["cl"] = p.cl_weight * torch.stack(contrast).sum()
        return terms

    def embeddings(self) -> tuple[Tensor, Tensor]:
        return self.sides(self.forward()[0])
