"""Products with constant sparse matrices, and propagation over them, with gradients and without stored layers."""

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

# Said once a process about every CSR tensor; nobody who trains a model can act on it.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", module=r"recbole_mm\.sparse")

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
        sums: list[Tensor | None] = [None] * len(weights)
        power = x
        for layer in range(len(weights[0])):
            if layer:
                power = matrix @ power
            sums = [_plus(total, power, w[layer]) for total, w in zip(sums, weights, strict=True)]
        return tuple(torch.zeros_like(x) if total is None else total for total in sums)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        total: Tensor | None = None
        for layer in reversed(range(len(ctx.weights[0]))):
            for grad, w in zip(grads, ctx.weights, strict=True):
                total = _plus(total, grad, w[layer])
            if layer and total is not None:
                total = ctx.transpose @ total
        return torch.zeros_like(grads[0]) if total is None else total, None, None, None


def _plus(total: Tensor | None, x: Tensor, weight: float) -> Tensor | None:
    """Return `total + weight x`, in the place of the total; the first table that counts makes one."""
    if not weight:
        return total
    return weight * x if total is None else total.add_(x, alpha=weight)


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
    is made for a single step, as by dropout of edges, is not worth it. Under autocast, too, products are made in the
    precision of the matrix: torch has no sparse product in bfloat16.
    """
    if matrix.requires_grad or matrix.layout is not torch.sparse_coo:
        return _full_precision_mm(matrix, x)
    met: Any = getattr(matrix, "_met", 0)
    if met == MET_OFTEN:
        met = SparseGraph.of(matrix)
    matrix._met = met if isinstance(met, SparseGraph) else met + 1  # type: ignore[attr-defined]
    out: Tensor = met(x) if isinstance(met, SparseGraph) else _full_precision_mm(matrix, x)
    return out


def _full_precision_mm(matrix: Tensor, x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return torch.sparse.mm(matrix, x.to(matrix.dtype))
