"""Every sparse graph of the pack: user-item adjacency, item-item knn, and propagation over them.

Rows and columns are real users and items only: RecBole's internal id `i` is row `i - 1`, `[PAD]` has none.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from recbole_mm.knn import CHUNK_ELEMENTS, nearest_items

# Said once a process about every CSR tensor; nobody who trains a model can act on it.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", module=r"recbole_mm\.graph")

MET_OFTEN = 16  # products with a matrix of RecBole's, after which it is worth a graph of ours

Weights: TypeAlias = Sequence[Sequence[float]]  # of the powers of a matrix, by result


class _Matrix(NamedTuple):
    """A sparse matrix in CSR form."""

    rows: Tensor  # (n + 1,), where each row's entries start
    columns: Tensor  # (entries,)
    values: Tensor  # (entries,)
    shape: tuple[int, int]

    def __matmul__(self, x: Tensor) -> Tensor:
        rows, columns, values, shape = self
        with torch.autocast(x.device.type, enabled=False):  # torch has no sparse product in bfloat16
            if x.device.type == "cpu":  # a weighted sum of rows of x, in which torch is several times faster
                return F.embedding_bag(
                    columns, x, rows, mode="sum", per_sample_weights=values, include_last_offset=True
                )
            return torch.sparse_csr_tensor(rows, columns, values, size=shape, check_invariants=False) @ x


class _MatMul(torch.autograd.Function):
    """`A @ x` for a constant sparse `A`, whose backward is `A^T @ grad` on the transpose kept beside it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: _Matrix, transpose: _Matrix) -> Tensor:
        ctx.transpose = transpose
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, None, None]:
        return ctx.transpose @ grads[0].contiguous(), None, None


class _Propagate(torch.autograd.Function):
    """`sum_l w_kl A^l x` for every k; nothing is kept for the backward, which is Horner's scheme on the transpose."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: _Matrix, transpose: _Matrix, weights: Weights) -> tuple[Tensor, ...]:
        ctx.transpose, ctx.weights = transpose, weights
        sums, power = [w[0] * x for w in weights], x
        for layer in range(1, len(weights[0])):
            power = matrix @ power
            for total, w in zip(sums, weights, strict=True):
                if w[layer]:
                    total.add_(power, alpha=w[layer])
        return tuple(sums)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        total = torch.zeros_like(grads[0])
        for layer in reversed(range(len(ctx.weights[0]))):
            for grad, w in zip(grads, ctx.weights, strict=True):
                if w[layer]:
                    total.add_(grad, alpha=w[layer])
            if layer:
                total = ctx.transpose @ total
        return total, None, None, None


class SparseGraph(nn.Module):
    """A constant sparse matrix that multiplies dense ones on any device and in any float type.

    Parameters
    ----------
    matrix : scipy sparse array, shape (n, m)
        The weights; repeated entries are summed.
    symmetric : bool
        Whether the matrix is its own transpose, which is then stored once.
    """

    def __init__(self, matrix: Any, symmetric: bool = False) -> None:
        super().__init__()
        self.shape: tuple[int, int] = matrix.shape
        self.symmetric = symmetric
        self._register("matrix", matrix)
        if not symmetric:
            self._register("transpose", matrix.T)

    @classmethod
    def of(cls, matrix: Tensor) -> SparseGraph:
        """Return the graph of a COO tensor, on its device and in its type."""
        entries = matrix.detach().coalesce().cpu()
        csr = sp.csr_array(sp.coo_array((entries.values(), tuple(entries.indices())), shape=tuple(matrix.shape)))
        symmetric = csr.shape[0] == csr.shape[1] and abs(csr - csr.T).nnz == 0
        return cls(csr, symmetric).to(matrix.device, matrix.dtype)

    def _register(self, name: str, matrix: Any) -> None:
        # As three dense buffers: torch can neither deep-copy nor broadcast a CSR tensor.
        csr = sp.csr_array(matrix)
        csr.sum_duplicates()
        self.register_buffer(f"{name}_rows", torch.from_numpy(csr.indptr.astype(np.int32)), persistent=False)
        self.register_buffer(f"{name}_columns", torch.from_numpy(csr.indices.astype(np.int32)), persistent=False)
        values = torch.from_numpy(csr.data).to(torch.get_default_dtype())
        self.register_buffer(f"{name}_values", values, persistent=False)

    def _both(self) -> tuple[_Matrix, _Matrix]:
        """Return the matrix and its transpose."""
        matrix = self._stored("matrix", self.shape)
        return matrix, matrix if self.symmetric else self._stored("transpose", (self.shape[1], self.shape[0]))

    def _stored(self, name: str, shape: tuple[int, int]) -> _Matrix:
        rows, columns, values = (self.get_buffer(f"{name}_{part}") for part in ("rows", "columns", "values"))
        return _Matrix(rows, columns, values, shape)

    def forward(self, x: Tensor) -> Tensor:  # (m, d) -> (n, d)
        matrix, transpose = self._both()
        out: Tensor = _MatMul.apply(x.to(matrix.values.dtype), matrix, transpose)
        return out

    def propagate(self, x: Tensor, *weights: Sequence[float]) -> tuple[Tensor, ...]:
        """Return `sum_l w_l A^l x` for each sequence of weights `w_0, ..., w_L`, all of one length.

        Parameters
        ----------
        x : Tensor, shape (n, d)
            The matrix is square, (n, n).
        weights : sequences of float
            Such as `[1, 1, 1]` for the sum of two layers and what they start from, `[0, 0, 1]` for the last alone.
        """
        matrix, transpose = self._both()
        out: tuple[Tensor, ...] = _Propagate.apply(x.to(matrix.values.dtype), matrix, transpose, weights)
        return out


def constant_mm(matrix: Tensor, x: Tensor) -> Tensor:
    """Multiply as `torch.sparse.mm` does; a constant matrix that is met often is kept as a `SparseGraph` and is faster.

    RecBole's graph models multiply with the same COO matrix in every layer of every step, which torch sorts anew for
    each product and each gradient. The graph lies on the tensor itself, so that it goes when the tensor goes; one that
    is made for a single step, as by dropout of edges, is not worth it.
    """
    if matrix.requires_grad or matrix.layout is not torch.sparse_coo:
        return torch.sparse.mm(matrix, x)
    met: Any = getattr(matrix, "_met", 0)
    if met == MET_OFTEN:
        met = SparseGraph.of(matrix)
    matrix._met = met if isinstance(met, SparseGraph) else met + 1  # type: ignore[attr-defined]
    out: Tensor = met(x) if isinstance(met, SparseGraph) else torch.sparse.mm(matrix, x)
    return out


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
    scale = _inverse_root(matrix.sum(axis=1))
    return sp.csr_array(scale @ matrix @ scale)


def _inverse_root(degree: np.ndarray) -> sp.dia_array:
    """Return `D^-1/2` of the degrees (n,); one that is not positive becomes 0."""
    degree = np.asarray(degree, dtype=np.float64).ravel()
    scale = np.zeros_like(degree)
    np.power(degree, -0.5, out=scale, where=degree > 0)
    return sp.diags_array(scale)


def knn_graph(
    features: Tensor, k: int, mask: Tensor | None = None, binary: bool = False, method: str = "exact"
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
    method : str
        Of `recbole_mm.knn.nearest_items`.
    """
    n_items = features.shape[0]
    real = np.arange(n_items) if mask is None else mask.cpu().numpy().nonzero()[0]  # (n_real,)
    rows = features if len(real) == n_items else features[torch.from_numpy(real).to(features.device)]
    neighbours, cosines = nearest_items(rows, min(k, len(real)), method)  # (n_real, k)
    found = neighbours.ravel() >= 0  # an approximation may find fewer
    isolated = np.setdiff1d(np.arange(n_items), real)
    similarity = cosines.astype(np.float64).ravel()[found]
    weight = np.concatenate([np.ones_like(similarity) if binary else similarity, np.ones(len(isolated))])
    row = np.concatenate([np.repeat(real, neighbours.shape[1])[found], isolated])
    column = np.concatenate([real[neighbours.ravel()[found]], isolated])
    return sp.csr_array((weight, (row, column)), shape=(n_items, n_items))


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
    unit = sp.csr_array(interactions @ _inverse_root(interactions.sum(axis=0)))  # columns of length 1
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
        Of `recbole_mm.knn.nearest_items`, for the features.
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
    """Return who has which item in the training part of a sequential data set, binary, without `[PAD]`.

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
