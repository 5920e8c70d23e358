"""The pack's graphs as scipy arrays: user-item adjacency, item-item knn, which items are related.

Rows and columns are real users and items only: RecBole's internal id `i` is row `i - 1`, `[PAD]` has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recbole_mm.graphs.nearest import CHUNK_ELEMENTS, nearest_items


def interaction_matrix(dataset: Any) -> sp.csr_array:
    """Return the binary train matrix `R` without `[PAD]`, shape (user_num - 1, item_num - 1).

    Parameters
    ----------
    dataset : recbole.data.dataset.Dataset
        The training part; a repeated interaction counts once.
    """
    matrix = sp.csr_array(dataset.inter_matrix(form="csr"))[1:, 1:]
    matrix.data[:] = 1.0
    return matrix


def bipartite_adjacency(interactions: sp.csr_array) -> sp.csr_array:
    """Return `A_hat = D^-1/2 [[0, R], [R^T, 0]] D^-1/2`; a row of degree 0 stays 0.

    Parameters
    ----------
    interactions : scipy sparse array, shape (n_users, n_items)
        `R`, binary.
    """
    adjacency = sp.block_array([[None, interactions], [interactions.T, None]], format="csr")
    return symmetric_normalise(adjacency)


def symmetric_normalise(matrix: sp.csr_array) -> sp.csr_array:
    """Return `D^-1/2 K D^-1/2` with `D` the row sums of `K`; a row whose sum is not positive becomes 0."""
    scale = inverse_root(matrix.sum(axis=1))
    return sp.csr_array(scale @ matrix @ scale)


def row_normalise(matrix: sp.csr_array) -> sp.csr_array:
    """Return `D^-1 K` with `D` the row sums of `K`; a row whose sum is not positive becomes 0."""
    scale = inverse_root(matrix.sum(axis=1))
    return sp.csr_array(scale @ scale @ matrix)


def inverse_root(degree: np.ndarray) -> sp.dia_array:
    """Return `D^-1/2` of the degrees (n,); one that is not positive becomes 0."""
    degree = np.asarray(degree, dtype=np.float64).ravel()
    scale = np.zeros_like(degree)
    np.power(degree, -0.5, out=scale, where=degree > 0)
    return sp.diags_array(scale)


def knn_graph(
    features: Tensor,
    k: int,
    mask: Tensor | None = None,
    binary: bool = False,
    method: str = "exact",
    *,
    keep: bool = True,
) -> sp.csr_array:
    """Return the cosine knn graph `K` of items: row i holds its `k` most similar items, itself among them.

    Parameters
    ----------
    features : Tensor, shape (n_items, dim)
        Raw features, of any scale.
    k : int
        Neighbours a row, at least 1 and at most the number of items.
    mask : bool Tensor, shape (n_items,), optional
        Real rows. The others are nobody's neighbour and keep only a self-loop of weight 1.
    binary : bool
        Whether every edge weighs 1 instead of its cosine.
    method, keep
        Of `recbole_mm.graphs.nearest.nearest_items`.
    """
    n_items = features.shape[0]
    real = np.arange(n_items) if mask is None else mask.cpu().numpy().nonzero()[0]  # (n_real,)
    rows = features if len(real) == n_items else features[torch.from_numpy(real).to(features.device)]
    neighbours, cosines = nearest_items(rows, min(k, len(real)), method, keep)  # (n_real, k)
    found = neighbours.ravel() >= 0  # an approximation may find fewer
    isolated = np.setdiff1d(np.arange(n_items), real)
    similarity = cosines.astype(np.float64).ravel()[found]
    weight = np.concatenate([np.ones_like(similarity) if binary else similarity, np.ones(len(isolated))])
    row = np.concatenate([np.repeat(real, neighbours.shape[1])[found], isolated])
    column = np.concatenate([real[neighbours.ravel()[found]], isolated])
    return sp.csr_array((weight, (row, column)), shape=(n_items, n_items))


def fused_knn_graph(
    features: Sequence[Tensor], masks: Sequence[Tensor], weights: Sequence[float], k: int, method: str = "exact"
) -> sp.csr_array:
    """Return the weighted sum over modalities of their normalised binary knn graphs, shape (n_items, n_items).

    Parameters
    ----------
    features, masks : sequences of Tensor
        As `knn_graph` takes them, one a modality.
    weights : sequence of float
        Of the modalities.
    k, method
        Of `knn_graph`.
    """
    graphs = (knn_graph(X, k, mask, binary=True, method=method) for X, mask in zip(features, masks, strict=True))
    return sum(weight * symmetric_normalise(graph) for weight, graph in zip(weights, graphs, strict=True))


def cooccurrence_graph(interactions: sp.csr_array, k: int) -> sp.csr_array:
    """Return the cosine of every item's users with its `k` most similar others, (n_items, n_items).

    Parameters
    ----------
    interactions : scipy sparse array, shape (n_users, n_items)
        Binary.
    k : int
        Neighbours a row, at most; an item that shares no user with another has none.
    """
    n_items = interactions.shape[1]
    unit = sp.csr_array(interactions @ inverse_root(interactions.sum(axis=0)))  # columns of length 1
    rows = sp.csr_array(unit.T)
    chunk = max(1, CHUNK_ELEMENTS // max(n_items, 1))
    blocks = [
        top_k(_without_self(sp.csr_array(rows[start : start + chunk] @ unit), start), k)
        for start in range(0, n_items, chunk)
    ]
    return sp.csr_array(sp.vstack(blocks, format="csr"))


def _without_self(block: sp.csr_array, first_row: int) -> sp.csr_array:
    row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr)) + first_row
    block.data[block.indices == row] = 0.0
    block.eliminate_zeros()
    return block


def top_k(matrix: sp.csr_array, k: int) -> sp.csr_array:
    """Return the `k` largest stored values of each row, which must be positive, of equal ones the lowest columns."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))  # rows stay together, largest first
    kept = order[np.arange(len(order)) - matrix.indptr[row] < k]
    return sp.csr_array((matrix.data[kept], (row[kept], matrix.indices[kept])), shape=matrix.shape)


def related_items(
    interactions: sp.csr_array,
    features: list[Tensor],
    masks: list[Tensor],
    k: int,
    modality_share: float,
    *,
    method: str = "exact",
) -> sp.csr_array:
    """Return the relatedness of each item to its `k` most related others, in (0, 1], shape (n_items, n_items).

    The cosine of the items' train users, blended with the mean over modalities of the cosine of their features
    (a negative one counts as 0).

    Parameters
    ----------
    interactions : scipy sparse array, shape (n_users, n_items)
        Binary, of the training part alone.
    features, masks : list of Tensor, each (n_items, dim) and (n_items,)
        The modalities and their real rows; none: co-occurrence alone.
    k : int
        Neighbours a row, at most.
    modality_share : float
        Weight of the modalities in the blend, in [0, 1].
    method : str
        Of `recbole_mm.graphs.nearest.nearest_items`, for the features.
    """
    blend = cooccurrence_graph(interactions, k)
    if features and modality_share:
        blend = (1 - modality_share) * blend
        for X, mask in zip(features, masks, strict=True):
            similar = _without_self(knn_graph(X, k + 1, mask, method=method), 0)
            similar.data = similar.data.clip(min=0)
            blend = blend + modality_share / len(features) * similar
        blend = sp.csr_array(blend)
        blend.eliminate_zeros()
    blend.data = blend.data.clip(max=1)  # rounding
    return top_k(blend, k)


def history_matrix(dataset: Any, history_field: str, length_field: str) -> sp.csr_array:
    """Return who has which item in the training part of a sequential dataset, binary, without `[PAD]`.

    Parameters
    ----------
    dataset : recbole.data.dataset.SequentialDataset
        Its rows are a user, a history and the item that followed.
    history_field, length_field : str
        Names of the history and of its length.
    """
    rows = dataset.inter_feat
    users, history = rows[dataset.uid_field].numpy(), rows[history_field].numpy()
    real = np.arange(history.shape[1]) < rows[length_field].numpy()[:, None]
    user = np.concatenate([users, np.repeat(users, real.sum(1))])
    item = np.concatenate([rows[dataset.iid_field].numpy(), history[real]])
    shape = (dataset.num(dataset.uid_field), dataset.num(dataset.iid_field))
    matrix = sp.csr_array((np.ones(len(user)), (user, item)), shape=shape)[1:, 1:]
    matrix.data[:] = 1.0
    return matrix
