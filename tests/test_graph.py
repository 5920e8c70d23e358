"""Graphs: exact values by hand, a brute-force knn, and sparse products against dense ones."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_contract import StandInDataset
from torch import Tensor

from recbole_mm import graph, knn
from recbole_mm.graph import (
    SparseGraph,
    bipartite_adjacency,
    cooccurrence_graph,
    interaction_matrix,
    knn_graph,
    related_items,
    symmetric_normalise,
)

QUICK = settings(deadline=None, max_examples=25)


def random_matrix(rows: int, columns: int, seed: int = 0) -> sp.csr_array:
    return sp.csr_array(sp.random_array((rows, columns), density=0.4, rng=np.random.default_rng(seed)))


def test_interactions_are_binary_and_without_padding() -> None:
    dataset = StandInDataset(3, 2, np.array([[0, 0], [0, 0], [2, 1]]), {})
    matrix = interaction_matrix(dataset)
    assert matrix.toarray().tolist() == [[1, 0], [0, 0], [0, 1]]
    assert matrix.nnz == 2


def test_bipartite_adjacency_by_hand() -> None:
    """User 0 has items 0 and 1, user 1 item 0; user 2 and item 2 have none and stay 0."""
    R = sp.csr_array(np.array([[1.0, 1, 0], [1, 0, 0], [0, 0, 0]]))
    half, root = 1 / 2, 1 / math.sqrt(2)
    block = np.array([[half, root, 0], [root, 0, 0], [0, 0, 0]])
    expected = np.block([[np.zeros((3, 3)), block], [block.T, np.zeros((3, 3))]])
    adjacency = bipartite_adjacency(R)
    np.testing.assert_allclose(adjacency.toarray(), expected, rtol=1e-15)
    assert (adjacency != adjacency.T).nnz == 0


def test_symmetric_normalise_by_hand() -> None:
    """Row sums 4, 1, 0 and -2: what is not positive becomes 0, and its column with it."""
    K = sp.csr_array(np.array([[1.0, 2, 0, 1], [0, 1, 0, 0], [1, 0, 0, -1], [0, -3, 1, 0]]))
    normal = symmetric_normalise(K).toarray()
    assert normal.tolist() == [[0.25, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_symmetric_normalise_of_an_empty_matrix() -> None:
    assert symmetric_normalise(sp.csr_array((3, 3))).nnz == 0


def brute_force_knn(features: np.ndarray, k: int, real: np.ndarray) -> np.ndarray:
    n_items = len(features)
    K = np.zeros((n_items, n_items))
    for i in range(n_items):
        if not real[i]:
            K[i, i] = 1
            continue
        cosine = {}
        for j in np.flatnonzero(real):
            cosine[j] = features[i] @ features[j] / np.linalg.norm(features[i]) / np.linalg.norm(features[j])
        for j in sorted(cosine, key=lambda j: -cosine[j])[:k]:
            K[i, j] = cosine[j]
    return K


def test_knn_by_hand() -> None:
    features = torch.tensor([[2.0, 0.0], [3.0, 4.0], [0.0, 1.0], [-1.0, 0.0]])
    expected = [[1, 0.6, 0, 0], [0, 1, 0.8, 0], [0, 0.8, 1, 0], [0, 0, 0, 1]]
    K = knn_graph(features, 2)
    np.testing.assert_allclose(K.toarray(), expected, atol=1e-7)
    assert np.diff(K.indptr).tolist() == [2, 2, 2, 2]


@QUICK
@given(n_items=st.integers(1, 12), k=st.integers(1, 15), seed=st.integers(0, 1000), data=st.data())
def test_knn_equals_brute_force(n_items: int, k: int, seed: int, data: st.DataObject) -> None:
    """Random normal features have no ties; `k` may exceed the items, and any of them may be masked."""
    features = np.random.default_rng(seed).normal(size=(n_items, 5))
    real = np.array(data.draw(st.lists(st.booleans(), min_size=n_items, max_size=n_items)))
    K = knn_graph(torch.tensor(features), k, torch.tensor(real))
    np.testing.assert_allclose(K.toarray(), brute_force_knn(features, k, real), atol=1e-12)
    normal = symmetric_normalise(K)
    assert np.isfinite(normal.data).all()


@pytest.mark.parametrize("elements", [1, 20, 60, 130, 10_000])
def test_chunks_give_the_same_graph(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.randn(20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(20) % 5 != 2
    whole = knn_graph(features, 4, mask).toarray()
    monkeypatch.setattr(knn, "CHUNK_ELEMENTS", elements)
    np.testing.assert_allclose(knn_graph(features, 4, mask).toarray(), whole, rtol=1e-12)


def test_chunks_bound_what_is_compared_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "CHUNK_ELEMENTS", 60)
    sizes, topk = [], torch.topk

    def watched(similarity: Tensor, k: int, dim: int) -> tuple[Tensor, Tensor]:
        sizes.append(similarity.numel())
        return topk(similarity, k, dim=dim)

    monkeypatch.setattr(torch, "topk", watched)
    knn_graph(torch.randn(20, 6), 4)
    assert max(sizes) <= 60
    assert sum(sizes) == 400


def test_binary_edges_are_those_of_the_cosine_graph() -> None:
    features, mask = torch.randn(12, 4, generator=torch.Generator().manual_seed(1)), torch.arange(12) != 5
    weighted, binary = (knn_graph(features, 3, mask, binary=binary).toarray() for binary in (False, True))
    assert set(np.unique(binary)) == {0.0, 1.0}
    assert np.array_equal(binary > 0, weighted != 0)
    assert (binary.sum(1) == np.where(mask, 3, 1)).all()


def test_masked_items_keep_a_self_loop_only() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.0], [0.9, 0.1]])
    K = knn_graph(features, 3, torch.tensor([True, True, False, True])).toarray()
    assert K[2].tolist() == K[:, 2].tolist() == [0, 0, 1, 0]
    assert symmetric_normalise(sp.csr_array(K)).toarray()[2].tolist() == [0, 0, 1, 0]


def test_without_real_items_the_graph_is_the_identity() -> None:
    K = knn_graph(torch.ones(3, 2), 2, torch.zeros(3, dtype=torch.bool))
    assert K.toarray().tolist() == np.eye(3).tolist()


def test_a_zero_row_has_similarity_0_and_no_nan() -> None:
    K = knn_graph(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), 2)
    np.testing.assert_allclose(K.toarray(), [[0, 0], [0, 1]], atol=1e-7)
    np.testing.assert_allclose(symmetric_normalise(K).toarray(), [[0, 0], [0, 1]], atol=1e-7)


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


def test_cooccurrence_by_hand() -> None:
    """Items 0 and 1 share a user of two, items 1 and 2 one of two and three; item 3 is alone, item 4 cold."""
    R = sp.csr_array(np.array([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0]]))
    expected = np.zeros((5, 5))
    expected[0, 1] = expected[1, 0] = 1 / 2
    expected[1, 2] = expected[2, 1] = 1 / np.sqrt(6)
    expected[2, 3] = expected[3, 2] = 1 / np.sqrt(3)
    np.testing.assert_allclose(cooccurrence_graph(R, 4).toarray(), expected)
    best = np.where(expected == expected.max(1, keepdims=True), expected, 0)
    np.testing.assert_allclose(cooccurrence_graph(R, 1).toarray(), best)


@QUICK
@given(seed=st.integers(0, 99), k=st.integers(1, 6), elements=st.integers(1, 60))
def test_cooccurrence_equals_brute_force_in_chunks(seed: int, k: int, elements: int) -> None:
    R = (np.random.default_rng(seed).random((8, 6)) < 0.4).astype(float)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "CHUNK_ELEMENTS", elements)
        found = cooccurrence_graph(sp.csr_array(R), k).toarray()
    length = np.sqrt(R.sum(0))
    cosine = np.divide(R.T @ R, np.outer(length, length), out=np.zeros((6, 6)), where=np.outer(length, length) > 0)
    np.fill_diagonal(cosine, 0)
    for row, mine in zip(cosine, found, strict=True):
        np.testing.assert_allclose(np.sort(mine)[::-1][:k], np.sort(row)[::-1][:k], atol=1e-12)
        assert (mine > 0).sum() == min(k, (row > 0).sum())
        np.testing.assert_allclose(mine[mine > 0], row[mine > 0], atol=1e-12)


def test_relatedness_blends_who_and_what() -> None:
    R = sp.csr_array(np.array([[1.0, 1, 0], [1, 0, 0]]))
    features = [torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.6, 0.8]]), torch.tensor([[1.0], [1.0], [2.0]])]
    masks = [torch.tensor([True, True, True]), torch.tensor([True, True, False])]
    found = related_items(R, features, masks, 2, modality_share=0.5).toarray()
    who = 1 / np.sqrt(2)
    expected = np.array([[0, who / 2 + 0.25, 0.6 / 4], [who / 2 + 0.25, 0, 0], [0.6 / 4, 0, 0]])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    for share, parts in ((0.0, features), (1.0, [])):
        np.testing.assert_allclose(
            related_items(R, parts, masks[: len(parts)], 2, share).toarray(), cooccurrence_graph(R, 2).toarray()
        )


class TestConstantMM:
    @pytest.mark.parametrize("symmetric", [True, False])
    def test_values_and_gradients_are_torchs_at_every_meeting(self, symmetric: bool) -> None:
        dense = torch.rand(6, 6, generator=torch.Generator().manual_seed(0)).round(decimals=1)
        matrix = (dense + dense.T if symmetric else dense).to_sparse_coo()
        for meeting in range(graph.MET_OFTEN + 3):
            x, plain = (torch.arange(12.0).view(6, 2).requires_grad_() for _ in range(2))
            found, expected = graph.constant_mm(matrix, x), torch.sparse.mm(matrix, plain)
            torch.testing.assert_close(found, expected)
            found.sin().sum().backward()
            expected.sin().sum().backward()
            torch.testing.assert_close(x.grad, plain.grad)
            assert isinstance(matrix._met, SparseGraph) == (meeting >= graph.MET_OFTEN)  # type: ignore[attr-defined]
        assert matrix._met.symmetric == symmetric  # type: ignore[attr-defined]

    def test_a_matrix_that_learns_stays_torchs(self) -> None:
        matrix = torch.eye(3).to_sparse_coo().requires_grad_()
        for _ in range(graph.MET_OFTEN + 2):
            graph.constant_mm(matrix, torch.ones(3, 1)).sum().backward()
        assert matrix.grad is not None
        assert not hasattr(matrix, "_met")
