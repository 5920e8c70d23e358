"""The graph of RecBole's LightGCN, NGCF and NCL, made of arrays instead of a dictionary with an entry a pair."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

NOT_ZERO = 1e-7  # RecBole adds it to every degree


def graph_by_columns(module: Any) -> None:
    """Let the models of a module of RecBole's make their graph of arrays."""
    for model in vars(module).values():
        if inspect.isclass(model) and model.__module__ == module.__name__ and "get_norm_adj_mat" in vars(model):
            setattr(model, "get_norm_adj_mat", norm_adj_mat)  # noqa: B010 (mypy does not know it)


def norm_adj_mat(self: Any) -> torch.Tensor:
    """Return `D^-1/2 [[0, R], [R^T, 0]] D^-1/2`, in the place of RecBole's `get_norm_adj_mat`, with its numbers.

    Returns
    -------
    Tensor, sparse, shape (n_users + n_items, n_users + n_items)
        A repeated interaction counts once.
    """
    pairs = sp.csr_array(self.interaction_matrix)
    adjacency = sp.block_array([[None, pairs], [pairs.T, None]], format="csr")
    scale = np.power(np.diff(adjacency.indptr) + NOT_ZERO, -0.5)
    self.diag = torch.from_numpy(scale).to(self.device)  # NCL keeps it
    columns = torch.from_numpy(adjacency.indices)
    rows = torch.repeat_interleave(torch.from_numpy(np.diff(adjacency.indptr)))
    values = torch.from_numpy(scale)[rows].mul_(torch.from_numpy(scale)[columns]).float()
    place = torch.empty((2, len(values)), dtype=torch.int64)
    place[0], place[1] = rows, columns
    return torch.sparse_coo_tensor(place, values, adjacency.shape, check_invariants=False)
