"""Features exchanged between items: a control that has all of the features, and nothing that they say about an item."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor


def shuffled_origins(tokens: np.ndarray, masks: Tensor, seed: int) -> Tensor:
    """Return for each item the one whose features it gets, in all modalities alike.

    Items exchange features among those that have the same modalities, in one ring in random order: masks stay as they
    are, and no item keeps its own features unless no other has the same modalities. An item without any keeps what
    stands in for them.

    Parameters
    ----------
    tokens : array of str, shape (item_num,)
        External ids. They, and not their order, decide with the seed.
    masks : bool tensor, shape (n_modalities, item_num)
        Which rows are real; False for the padding.
    seed : int

    Returns
    -------
    int64 tensor, shape (item_num,)
    """
    origins = torch.arange(len(tokens))
    order = np.array(sorted(range(len(tokens)), key=lambda item: _rank(seed, str(tokens[item]))))
    for pattern in torch.unique(masks, dim=1).T:
        alike = (masks == pattern[:, None]).all(dim=0).numpy()
        if pattern.any():
            ring = torch.from_numpy(order[alike[order]])
            origins[ring] = ring.roll(1)
    return origins


def _rank(seed: int, token: str) -> bytes:
    return hashlib.sha256(f"{seed} {token}".encode()).digest()
