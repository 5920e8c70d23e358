"""The pack's graphs as scipy arrays: user-item adjacency and item-item knn.

Rows and columns are real users and items only: RecBole's internal id `i` is row `i - 1`, `[PAD]` has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recbole_mm.graphs.nearest import nearest_items


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
        Real rows. The others, and rows of zeros, are nobody's neighbour and keep only a self-loop of weight 1.
    binary : bool
        Whether every edge weighs 1 instead of its cosine.
    method, keep
        Of `recbole_mm.graphs.nearest.nearest_items`.
    """
    n_items = features.shape[0]
    like_some = features.any(dim=1) if mask is None else features.any(dim=1) & mask.to(features.device)
    real = like_some.cpu().numpy().nonzero()[0]  # (n_real,)
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
