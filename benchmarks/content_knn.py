"""A baseline of cold starts that learns nothing: an item is worth what its nearest neighbours in content are.

`--models=benchmarks/content_knn.py:ContentKNN` puts it into any command.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from recbole.utils import InputType, ModelType
from torch import Tensor, nn

from recbole_mm.graphs.building import interaction_matrix
from recbole_mm.graphs.nearest import nearest_among
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.model.base import MultimodalRecommender
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class ContentKNNParameters:
    """Parameters of the content kNN."""

    knn_k: int = parameter(20, "nearest items with training interactions in each modality", low=1)


class ContentKNN(MultimodalRecommender):
    """Scores an item for a user by the cosines of its features with those of the user's items.

    Of these only the `knn_k` count that are nearest to the item among all items with training interactions, in each
    modality; the features are centred first.
    """

    parameter_class = ContentKNNParameters
    sweep_space = MappingProxyType({"knn_k": {"choice": [5, 10, 20, 50, 100]}})
    proposed = False
    type = ModelType.TRADITIONAL
    input_type = InputType.POINTWISE

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.interactions = interaction_matrix(dataset)  # R (U, I)
        trained = self.interactions.sum(axis=0) > 0
        weights = [
            neighbour_weights(X, mask.cpu().numpy(), trained, self.p.knn_k)
            for X, mask in zip(self.features, self.masks, strict=True)
        ]
        self.similar = SparseGraph(sp.csr_array(sum(weights)))
        self.unused = nn.Parameter(torch.zeros(1))  # RecBole's trainer wants one

    def calculate_loss(self, interaction: Any) -> Tensor:
        return 0 * self.unused.sum()

    def parts(self) -> dict[str, Tensor]:
        return {}  # no embeddings

    def full_sort_predict(self, interaction: Any) -> Tensor:  # (batch * n_items,)
        user = interaction[self.USER_ID].cpu().numpy() - 1
        consumed = torch.from_numpy(self.interactions[user].toarray()).to(self.unused)
        scores = self.similar(consumed.T).T  # (batch, I)
        return nn.functional.pad(scores, (1, 0)).reshape(-1)

    def predict(self, interaction: Any) -> Tensor:  # (batch,)
        rows = torch.arange(len(interaction[self.ITEM_ID]), device=self.unused.device)
        return self.full_sort_predict(interaction).view(len(rows), -1)[rows, interaction[self.ITEM_ID]]


def neighbour_weights(X: Tensor, real: np.ndarray, trained: np.ndarray, k: int) -> sp.csr_array:
    """Return the cosines (I, I) of each real row of X (I, dim) with its `k` nearest trained ones; negative ones as 0.

    Features are centred by the mean of the real rows; no item is its own neighbour.
    """
    rows, known = np.flatnonzero(real), np.flatnonzero(real & trained)
    centred = X - X[torch.from_numpy(rows).to(X.device)].mean(0)
    k = min(k + 1, len(known))
    found, cosines = nearest_among(
        centred[torch.from_numpy(rows).to(X.device)], centred[torch.from_numpy(known).to(X.device)], k
    )
    items, neighbours = np.repeat(rows, k), known[found.ravel()]
    kept = np.where(items == neighbours, 0, cosines.ravel().clip(min=0))
    weights = sp.csr_array((kept, (items, neighbours)), (len(X), len(X)))
    weights.eliminate_zeros()
    return weights
