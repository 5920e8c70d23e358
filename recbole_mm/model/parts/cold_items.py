"""Items that nobody has interacted with in training, scored by their features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from recbole_mm.graphs.nearest import nearest_among
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.model.parts.contrast import l2_normalize
from recbole_mm.model.parts.losses import info_nce
from recbole_mm.settings.parameters import parameter

COLD_NEIGHBOURS = 10  # in each modality, of a model without the parameter knn_k
CONTENT_BATCH = 512  # pairs of an item and a user


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


def side_by_side(features: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
    """Return all modalities of items beside each other, rows of length 1 in each, or 0 without features (n, dim)."""
    known = [l2_normalize(X) * mask.unsqueeze(1) for X, mask in zip(features, masks, strict=True)]
    return torch.cat(known, dim=1)


class FeatureItems(nn.Module):
    """Says what an item is by its features alone, and blends that into final embeddings in evaluation.

    A network is trained to tell an item's users from others by its features, beside the model and without a gradient
    into it, so that the model is trained as without it. An item with n training interactions consists of what the
    network says by a share of `prior / (prior + n)`, a cold item as a whole.

    Parameters
    ----------
    features, masks
        As in `cold_to_trained`.
    degree : int array (n_items,)
        Training interactions of each item.
    width : int
        Of the final embeddings.
    scale : float
        Length of what the network says, in mean lengths of the final embeddings of items with interactions: a cold
        item has to compete with them, though its direction is less certain than theirs.
    prior : float
        At least 0; with 0 the items with interactions stay as they are.
    """

    content: Tensor  # (n_items, dim)
    share: Tensor  # (n_items, 1)
    trained: Tensor  # (n_items,)

    def __init__(
        self,
        features: Sequence[Tensor],
        masks: Sequence[Tensor],
        degree: np.ndarray,
        width: int,
        *,
        scale: float,
        prior: float,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("content", side_by_side(features, masks), persistent=False)  # (n_items, dim)
        some = torch.stack(list(masks)).any(0)
        n = torch.from_numpy(np.asarray(degree)).to(some.device)
        share = torch.where(n > 0, prior / (prior + n).clamp_min(1), 1.0) * some
        self.register_buffer("share", share.to(self.content.dtype).unsqueeze(1), persistent=False)
        self.register_buffer("trained", n > 0, persistent=False)
        dim = self.content.shape[1]
        self.layers = nn.Sequential(
            nn.Linear(dim, 4 * width), nn.LeakyReLU(), nn.Dropout(0.5), nn.Linear(4 * width, width)
        )

    def forward(self, items: Tensor) -> Tensor:  # (n_items, d)
        return torch.lerp(items, self.of_content(self.content, items), self.share)

    def of_content(self, content: Tensor, items: Tensor) -> Tensor:
        """Return what the network says of content (n, dim), beside final embeddings of all items (n_items, d)."""
        length = self.scale * items[self.trained].norm(dim=1).mean() if self.trained.any() else self.scale
        return length * l2_normalize(self.layers(content))

    def loss(self, item: Tensor, users: Tensor) -> Tensor:
        """Return InfoNCE between what features say of items (n,) and their users' final embeddings (n, d), in nats.

        Of a large batch the first `CONTENT_BATCH` pairs are taken, as the cost grows with their square.
        """
        item, users = item[:CONTENT_BATCH], users[:CONTENT_BATCH].detach()
        return info_nce(self.layers(self.content[item]), users, 0.2)
