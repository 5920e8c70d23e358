"""Graphs: exact values by hand, a brute-force knn, and sparse products against dense ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_contract import StandInDataset
from torch import Tensor

from recbole_mm.graphs import nearest as knn
from recbole_mm.graphs.building import (
    bipartite_adjacency,
    interaction_matrix,
    knn_graph,
    row_normalise,
    symmetric_normalise,
)

QUICK = settings(deadline=None, max_examples=25)


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


def test_row_normalise_by_hand() -> None:
    normal = row_normalise(sp.csr_array(np.array([[1.0, 2, 0, 1], [0, 0, 0, 0], [1, 0, 0, -1]]))).toarray()
    np.testing.assert_allclose(normal, [[0.25, 0.5, 0, 0.25], [0, 0, 0, 0], [0, 0, 0, 0]])


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


def test_equal_items_keep_themselves_and_rows_of_zeros_have_no_neighbours() -> None:
    K = knn_graph(torch.ones(30, 3), 10, binary=True).toarray()
    assert (K.diagonal() == 1).all()
    features = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    features[[2, 5]] = 0
    K = knn_graph(features, 3, binary=True).toarray()
    for item in (2, 5):  # as those that are not real
        assert K[item].nonzero()[0].tolist() == K[:, item].nonzero()[0].tolist() == [item]


def test_masked_items_keep_a_self_loop_only() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.0], [0.9, 0.1]])
    K = knn_graph(features, 3, torch.tensor([True, True, False, True])).toarray()
    assert K[2].tolist() == K[:, 2].tolist() == [0, 0, 1, 0]
    assert symmetric_normalise(sp.csr_array(K)).toarray()[2].tolist() == [0, 0, 1, 0]


def test_without_real_items_the_graph_is_the_identity() -> None:
    K = knn_graph(torch.ones(3, 2), 2, torch.zeros(3, dtype=torch.bool))
    assert K.toarray().tolist() == np.eye(3).tolist()
