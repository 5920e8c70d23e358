"""Sparse products and propagation: against dense ones, values and gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mm.graphs import products as sparse
from recbole_mm.graphs.products import SparseGraph

QUICK = settings(deadline=None, max_examples=25)


def random_matrix(rows: int, columns: int, seed: int = 0) -> sp.csr_array:
    values = np.random.default_rng(seed).random((rows, columns))
    return sp.csr_array(np.where(values < 0.4, values, 0))


def symmetric_matrix() -> sp.csr_array:
    matrix = random_matrix(6, 6)
    return sp.csr_array(matrix + matrix.T)


@pytest.mark.parametrize(
    ("matrix", "symmetric"),
    [(random_matrix(5, 7), False), (random_matrix(6, 6), False), (symmetric_matrix(), True)],
    ids=["rectangular", "square", "symmetric"],
)
def test_products_and_gradients_equal_dense_ones(matrix: sp.csr_array, symmetric: bool) -> None:
    sparse = SparseGraph(matrix, symmetric).double()
    dense = torch.tensor(matrix.toarray()).float().double()  # the weights were kept in the default type
    x = torch.randn(matrix.shape[1], 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(sparse(x), dense @ x)
    assert torch.autograd.gradcheck(sparse, x)
    upstream = torch.randn(matrix.shape[0], 3, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((sparse(x) * upstream).sum(), x)
    torch.testing.assert_close(gradient, dense.T @ upstream)


def test_a_gradient_may_be_no_contiguous_tensor() -> None:
    sparse = SparseGraph(random_matrix(4, 4))
    x = torch.randn(4, 3, requires_grad=True)
    sparse(x).sum().backward()  # the gradient of a sum is one number, expanded
    expected = sparse(torch.eye(4)).sum(0, keepdim=True).T.expand(4, 3)
    torch.testing.assert_close(x.grad, expected)


def test_repeated_entries_are_summed() -> None:
    matrix = sp.coo_array((np.ones(3), ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    assert SparseGraph(matrix)(torch.eye(2)).tolist() == [[0, 2], [1, 0]]


def test_propagate_by_hand() -> None:
    sparse = SparseGraph(sp.csr_array(np.array([[0.0, 2.0], [1.0, 0.0]])))
    x = torch.tensor([[1.0], [10.0]])
    weights = torch.eye(4).tolist()
    layers = sparse.propagate(x, *weights)
    assert [layer.ravel().tolist() for layer in layers] == [[1, 10], [20, 1], [2, 20], [40, 2]]
    (total,) = sparse.propagate(x, [1, 0.5, 0, 2])
    assert total.ravel().tolist() == [1 + 10 + 80, 10 + 0.5 + 4]
    (alone,) = sparse.propagate(x, [3.0])
    assert alone.ravel().tolist() == [3, 30]


@QUICK
@given(symmetric=st.booleans(), n_layers=st.integers(0, 4), n_sums=st.integers(1, 3), seed=st.integers(0, 99))
def test_propagate_has_the_values_and_gradients_of_dense_powers(
    symmetric: bool, n_layers: int, n_sums: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(6, 6, generator=generator).double() * (torch.rand(6, 6, generator=generator) < 0.4)
    dense = ((dense + dense.T) / 2 if symmetric else dense).float().double()  # as the graph holds it
    weights = torch.randn(n_sums, n_layers + 1, generator=generator).double() * (torch.arange(n_layers + 1) != 1)
    x, plain = (torch.randn(6, 3, generator=generator.manual_seed(seed)).double().requires_grad_() for _ in range(2))
    sparse = SparseGraph(sp.csr_array(dense.numpy()), symmetric).double()
    found = sparse.propagate(x, *weights.tolist())
    powers = [torch.linalg.matrix_power(dense, layer) @ plain for layer in range(n_layers + 1)]
    expected = [sum(w * power for w, power in zip(row, powers, strict=True)) for row in weights]
    loss, other = (sum((k + 1) * out.sin().sum() for k, out in enumerate(outs)) for outs in (found, expected))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    loss.backward()
    other.backward()
    torch.testing.assert_close(x.grad, plain.grad)


def test_propagate_keeps_nothing_for_the_backward() -> None:
    sparse = SparseGraph(random_matrix(5, 5))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda _: None):
        sparse.propagate(torch.ones(5, 2, requires_grad=True), [1.0, 1.0, 1.0])
    assert kept == []


def test_copies_types_and_checkpoints() -> None:
    matrix = random_matrix(4, 6)
    sparse = SparseGraph(matrix)
    x = torch.randn(6, 2)
    expected = sparse(x)
    assert expected.dtype == torch.float32
    assert torch.equal(copy.deepcopy(sparse)(x), expected)
    double = copy.deepcopy(sparse).to(torch.float64)
    assert double(x).dtype == torch.float64
    torch.testing.assert_close(double(x).float(), expected)
    assert sparse(x).dtype == torch.float32
    assert sparse.state_dict() == {}, "a checkpoint does not carry the graphs, which are made from the data"


def test_a_graph_has_no_parameters() -> None:
    assert list(SparseGraph(random_matrix(4, 4)).parameters()) == []


def test_mixed_precision_leaves_the_product_in_full_precision() -> None:
    graph = SparseGraph(sp.csr_array(np.array([[0.0, 2.0], [1.0, 0.0]])))
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = graph(x)
    product.sum().backward()
    assert torch.equal(product, torch.tensor([[6.0, 8.0], [1.0, 2.0]]))
    assert torch.equal(x.grad, torch.tensor([[1.0, 1.0], [2.0, 2.0]]))


class TestConstantMM:
    @pytest.mark.parametrize("symmetric", [True, False])
    def test_values_and_gradients_are_torchs_at_every_meeting(self, symmetric: bool) -> None:
        dense = torch.rand(6, 6, generator=torch.Generator().manual_seed(0)).round(decimals=1)
        matrix = (dense + dense.T if symmetric else dense).to_sparse_coo()
        for meeting in range(sparse.MET_OFTEN + 3):
            x, plain = (torch.arange(12.0).view(6, 2).requires_grad_() for _ in range(2))
            found, expected = sparse.constant_mm(matrix, x), torch.sparse.mm(matrix, plain)
            torch.testing.assert_close(found, expected)
            found.sin().sum().backward()
            expected.sin().sum().backward()
            torch.testing.assert_close(x.grad, plain.grad)
            assert isinstance(matrix._met, SparseGraph) == (meeting >= sparse.MET_OFTEN)  # type: ignore[attr-defined]
        assert matrix._met.symmetric == symmetric  # type: ignore[attr-defined]

    def test_a_matrix_that_learns_stays_torchs(self) -> None:
        matrix = torch.eye(3).to_sparse_coo().requires_grad_()
        for _ in range(sparse.MET_OFTEN + 2):
            sparse.constant_mm(matrix, torch.ones(3, 1)).sum().backward()
        assert matrix.grad is not None
        assert not hasattr(matrix, "_met")
