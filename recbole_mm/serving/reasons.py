"""Why an item is in a list: what each modality adds to its score, and what it is like of what the user had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from recbole_mm.base.errors import InputError
from recbole_mm.data.dataset import MultimodalDataset
from recbole_mm.model.base import Multimodal
from recbole_mm.serving.list_files import MoreColumns
from recbole_mm.serving.trained_model import TrainedModel
from recbole_mm.serving.user_items import UserItems
from recbole_mm.serving.user_lists import UserLists
from recbole_mm.serving.vectors import history_encoder

OWN = "own"  # what is no modality's: id embeddings, biases
LIKE = 3  # items of the user's own that are named


@dataclass(frozen=True)
class Reasons:
    """Of a model of the pack with dot products.

    Attributes
    ----------
    parts : mapping of str to Tensor, each (n_items, d)
        What each modality adds to the vectors of items, less its mean; empty where the model cannot tell.
    mean : Tensor (d,)
        Of the vectors of all items.
    features : mapping of str to Tensor, each (n_items, dim)
        By modality, rows of length 1; 0 where an item has none.
    """

    trained: TrainedModel
    parts: dict[str, Tensor]
    mean: Tensor
    features: dict[str, Tensor]

    @property
    def no_columns(self) -> MoreColumns:
        """The columns without values."""
        why = [f"why_{name}" for name in (*self.parts, OWN)] if self.parts else []
        like = [f"like_{name}_{place + 1}" for name in self.features for place in range(LIKE)]
        return {name: (pa.float32(), None) for name in why} | {name: (pa.string(), None) for name in like}

    def columns(self, lists: UserLists, histories: UserItems) -> MoreColumns:
        """Return the columns of lists (n, k), whose users are rows of `histories`.

        Returns
        -------
        why_M : float
            What modality M adds to the score's distance from the user's mean score of all items; with `why_own`, for
            what is no modality's, they add up to it.
        like_M_1, like_M_2, ... : str or None
            The items of the user's own that are most similar to the item by M, by cosine.
        """
        there = lists.items >= 0
        items = torch.from_numpy(np.where(there, lists.items, 0).astype(np.int64))  # (n, k)
        found = self._why(items, lists, histories) if self.parts else {}
        for name, unit in self.features.items():
            like = self._like(unit, items, histories, lists.users)
            found |= {f"like_{name}_{place + 1}": like[..., place] for place in range(LIKE)}
        return {name: (kind, found[name]) for name, (kind, _) in self.no_columns.items()}

    @torch.no_grad()
    def _why(self, items: Tensor, lists: UserLists, histories: UserItems) -> dict[str, np.ndarray]:
        encode = history_encoder(self.trained) if self.trained.sequential else None
        if encode is not None:
            users = encode(histories, lists.users)
        else:
            users = self.trained.model.scoring_embeddings()[0][1:][torch.from_numpy(lists.users)].float().cpu()
        above = torch.from_numpy(lists.scores) - (users @ self.mean).unsqueeze(1)  # (n, k)
        why = {name: torch.einsum("nd,nkd->nk", users, F.embedding(items, part)) for name, part in self.parts.items()}
        why[OWN] = above - torch.stack(list(why.values())).sum(0)
        return {f"why_{name}": values.numpy() for name, values in why.items()}

    def _like(self, unit: Tensor, items: Tensor, histories: UserItems, users: np.ndarray) -> np.ndarray:
        """Return the ids of the nearest items of the user's own, None where there are no more, (n, k, LIKE)."""
        ids = self.trained.item_ids
        found = np.full((*items.shape, LIKE), None, dtype=object)
        for row, user in enumerate(users):
            own = np.unique(histories.items[histories.starts[user] : histories.starts[user + 1]])
            own = own[unit[torch.from_numpy(own.astype(np.int64))].any(dim=1).numpy()]
            cosine = unit[items[row]] @ unit[torch.from_numpy(own.astype(np.int64))].T  # (k, n_own)
            cosine[items[row].unsqueeze(1) == torch.from_numpy(own)] = -torch.inf  # an item is no reason for itself
            best = cosine.topk(min(LIKE, len(own)), dim=1)
            named = ids[own[best.indices.numpy()]].astype(object)
            named[best.values.numpy() <= 0] = None  # the item has no features, or nothing is like it
            found[row, :, : named.shape[1]] = named
        return found


def reasons_of(trained: object) -> Reasons:
    """Return what tells the reasons of a model's lists.

    Raises
    ------
    InputError
        The source is an export, has new items, or its model reads no modalities.
    """
    if not isinstance(trained, TrainedModel):
        raise InputError("--why reads the model and its features: recommend from the checkpoint, without new items")
    dataset, model = trained.dataset, trained.model
    if not isinstance(dataset, MultimodalDataset) or not dataset.modality_names or not isinstance(model, Multimodal):
        raise InputError(f"--why: {trained.name} was trained without modalities: there is nothing to tell them apart")
    if OWN in dataset.modality_names:
        raise InputError(f"--why: a modality is named {OWN}, which is the name of what is no modality's: rename it")
    n_items = len(trained.item_ids) + 1
    with torch.no_grad():
        parts = {name: part.float().cpu() for name, part in model.scored_item_parts().items()}
        items = model.scoring_embeddings()[0 if trained.sequential else 1][1:n_items].float().cpu()
    features = {name: F.normalize(dataset.modality(name)[1:n_items], dim=1) for name in dataset.modality_names}
    for name, rows in features.items():
        rows[~dataset.modality_mask(name)[1:n_items]] = 0  # a row that was filled in is like nothing
    return Reasons(trained, {name: part - part.mean(0) for name, part in parts.items()}, items.mean(0), features)
