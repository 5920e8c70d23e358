"""Items that nobody has interacted with in training, scored by their features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.graphs.nearest import nearest_among
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.settings.parameters import parameter

COLD_NEIGHBOURS = 10  # in each modality, of a model without the parameter knn_k


@dataclass(frozen=True, slots=True)
class ColdItemParameters:
    """How a model scores items without training interactions; the parameters of every model begin with it."""

    cold_items: str = parameter(
        "own", "final embedding of an item without training interactions: its own [own], or the mean of the "
        f"{COLD_NEIGHBOURS} (knn_k, where a model has it) trained items in each modality that are most similar to it",
        choices=("neighbours", "own"),
    )  # fmt: skip


def cold_to_trained(features: Sequence[Tensor], masks: Sequence[Tensor], trained: np.ndarray, k: int) -> sp.csr_array:
    """Return the weights (n_items, n_items) with which the trained items stand in for each cold one.

    A row is the cosine of the features with the `k` most similar trained items of each modality, a negative one as 0,
    summed over the modalities and divided by its sum. The rows of trained items are empty, and so are those of
    cold items without features, or without any similar trained item.

    Parameters
    ----------
    features, masks : sequence of Tensor, each (n_items, dim) and (n_items,)
        The modalities and their real rows.
    trained : bool array (n_items,)
        Which items have training interactions.
    k : int
        At least 1.
    """
    n_items = len(trained)
    weights = sp.csr_array((n_items, n_items))
    for X, mask in zip(features, masks, strict=True):
        real = mask.cpu().numpy()
        cold, known = np.flatnonzero(~trained & real), np.flatnonzero(trained & real)
        if not len(cold) or not len(known):
            continue
        rows = X[torch.from_numpy(cold).to(X.device)], X[torch.from_numpy(known).to(X.device)]
        neighbours, cosines = nearest_among(*rows, min(k, len(known)))  # (n_cold, k)
        place = np.repeat(cold, neighbours.shape[1]), known[neighbours.ravel()]
        weights = weights + sp.csr_array((cosines.ravel().astype(np.float64).clip(min=0), place), weights.shape)
    total = weights.sum(axis=1)
    scale = np.divide(1, total, out=np.zeros(n_items), where=total > 0)
    weights = sp.csr_array(sp.diags_array(scale) @ weights)
    weights.eliminate_zeros()
    return weights


class ColdItems(nn.Module):
    """Gives cold items the mean embedding of the trained items that are similar to them.

    An id embedding that no interaction has trained, and that negative sampling has only pushed away, ranks last
    whatever the features say. The embeddings of the trained items stay as they are.

    Parameters
    ----------
    features, masks, trained, k
        As in `cold_to_trained`.
    """

    replaced: Tensor  # (n_items, 1)

    def __init__(self, features: Sequence[Tensor], masks: Sequence[Tensor], trained: np.ndarray, k: int) -> None:
        super().__init__()
        weights = cold_to_trained(features, masks, trained, k)
        self.similar = SparseGraph(weights)
        replaced = torch.from_numpy(np.diff(weights.indptr) > 0).unsqueeze(1)
        self.register_buffer("replaced", replaced, persistent=False)

    def forward(self, items: Tensor) -> Tensor:  # (n_items, d)
        return torch.where(self.replaced, self.similar(items), items)


class FeatureItems(nn.Module):
    """Says what an item is by its features alone, in the place of its final embedding.

    In training it takes the place of some items that have interactions, so that it learns to be scored as they are; in
    evaluation it takes the place of cold items.

    Parameters
    ----------
    features, masks, trained
        As in `cold_to_trained`.
    width : int
        Of the final embeddings.
    """

    content: Tensor  # (n_items, dim)
    cold: Tensor  # (n_items, 1)
    trained: Tensor  # (n_items,)

    def __init__(self, features: Sequence[Tensor], masks: Sequence[Tensor], trained: np.ndarray, width: int) -> None:
        super().__init__()
        known = [F.normalize(X, dim=1) * mask.unsqueeze(1) for X, mask in zip(features, masks, strict=True)]
        self.register_buffer("content", torch.cat(known, dim=1), persistent=False)  # (n_items, dim)
        some = torch.stack(list(masks)).any(0)
        is_trained = torch.from_numpy(trained).to(some.device)
        self.register_buffer("cold", (some & ~is_trained).unsqueeze(1), persistent=False)
        self.register_buffer("trained", some & is_trained, persistent=False)
        dim = self.content.shape[1]
        self.layers = nn.Sequential(nn.Linear(dim, 2 * width), nn.LeakyReLU(), nn.Linear(2 * width, width))

    def forward(self, items: Tensor) -> Tensor:  # (n_items, d)
        return torch.where(self.cold, self.layers(self.content), items)

    def dropped(self, item: Tensor, rows: Tensor, share: float) -> Tensor:
        """Return rows (n, d) of the items `item` (n,); of a share of them what the features say.

        A cold item keeps its row, as it is met as a negative only, which would teach that its features mean nothing.
        """
        replaced = (torch.rand(len(item), device=item.device) < share) & self.trained[item]
        said = self.layers(self.content[item[replaced]])
        return rows.masked_scatter(replaced.unsqueeze(1), said)
