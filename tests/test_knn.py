"""The nearest items: exact in chunks against all pairs, faiss against exact, and a cache that knows its content."""

from __future__ import annotations

import importlib.util
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mm.base.errors import InputError
from recbole_mm.graphs import nearest as knn

faiss_only = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="no faiss")


def features(n: int, dim: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) * 3


def clustered(n: int, dim: int = 16) -> torch.Tensor:
    """Return features around 20 centres, as those of items of 20 kinds."""
    return features(20, dim)[torch.arange(n) % 20] + features(n, dim, seed=1) / 6


def by_all_pairs(X: torch.Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    unit = torch.nn.functional.normalize(X.double(), dim=1)
    cosine = (unit @ unit.T).numpy()
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(cosine, order, axis=1)


@settings(deadline=None, max_examples=20)
@given(n=st.integers(1, 40), k=st.integers(1, 5), elements=st.sampled_from([1, 50, 10_000]))
def test_exact_equals_all_pairs_whatever_the_chunks(n: int, k: int, elements: int) -> None:
    k = min(n, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knn, "CHUNK_ELEMENTS", elements)
        neighbours, cosines = knn.nearest_items(features(n), k)
    expected = by_all_pairs(features(n), k)
    assert np.array_equal(neighbours, expected[0])
    np.testing.assert_allclose(cosines, expected[1], atol=1e-6)


def test_a_row_of_zeros_is_near_nothing_and_no_nan() -> None:
    X = features(5)
    X[2] = 0
    neighbours, cosines = knn.nearest_items(X, 5)
    assert np.isfinite(cosines).all()
    assert not cosines[2].any()
    assert (cosines[neighbours == 2] == 0).all()


@pytest.mark.parametrize("method", ["exact", pytest.param("faiss", marks=faiss_only)])
def test_a_row_comes_first_among_rows_that_are_equal_to_it(method: str) -> None:
    X = features(90)
    X[:30] = X[0]
    neighbours, cosines = knn.nearest_items(X, 10, method)
    assert neighbours[:, 0].tolist() == list(range(90))
    assert all(len(set(row)) == 10 for row in neighbours[neighbours.min(axis=1) >= 0].tolist())
    np.testing.assert_allclose(cosines[:, 0], 1, atol=1e-6)


@pytest.mark.parametrize("n", [1, 3, 8, 15, 45])
@faiss_only
def test_faiss_looks_at_all_of_few_items(n: int) -> None:
    found, expected = (knn.nearest_items(features(n), min(n, 3), method) for method in ("faiss", "exact"))
    assert np.array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


def test_mixed_precision_finds_the_same() -> None:
    X = features(30)
    expected = knn.nearest_items(X, 5)
    with torch.autocast("cpu"):
        found = knn.nearest_items(X, 5)
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


class TestCache:
    @pytest.fixture
    def computed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Return a list that grows with every computation, with the cache in a folder of the test."""
        calls: list[int] = []
        exact = knn._exact
        monkeypatch.setenv("RECBOLE_MM_CACHE", str(tmp_path))
        monkeypatch.setattr(knn, "CACHED_FROM", 10)
        monkeypatch.setattr(knn, "_exact", lambda X, k: calls.append(len(X)) or exact(X, k))
        return calls

    def test_the_same_features_are_computed_once(self, computed: list[int]) -> None:
        first, again = (knn.nearest_items(features(12), 3) for _ in range(2))
        assert computed == [12]
        assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))

    def test_changed_features_shape_or_k_are_not_those_kept(self, computed: list[int]) -> None:
        X = features(12)
        knn.nearest_items(X, 3)
        X[0, 0] += 1e-3
        changed = knn.nearest_items(X, 3)
        knn.nearest_items(X, 4)
        knn.nearest_items(X.view(24, 4), 3)
        assert computed == [12, 12, 12, 24]
        np.testing.assert_allclose(changed[1], by_all_pairs(X, 3)[1], atol=1e-6)

    def test_few_items_are_not_kept(self, computed: list[int], tmp_path: Path) -> None:
        knn.nearest_items(features(9), 3)
        assert list(tmp_path.iterdir()) == []

    def test_features_that_change_are_not_kept(self, computed: list[int], tmp_path: Path) -> None:
        for _time in range(2):
            knn.nearest_items(features(12), 3, keep=False)
        assert computed == [12, 12]
        assert list(tmp_path.iterdir()) == []


class TestFaiss:
    @faiss_only
    def test_it_finds_nearly_all_and_says_how_many(self, caplog: pytest.LogCaptureFixture) -> None:
        X = clustered(3_000)
        with caplog.at_level(logging.INFO):
            neighbours, cosines = knn.nearest_items(X, 10, "faiss")
        expected, exact = by_all_pairs(X, 10)
        recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(neighbours, expected, strict=True)])
        assert recall > 0.9
        said = re.search(r"faiss finds ([\d.]+)% of the 10 nearest items \(1000 items looked at\)", caplog.text)
        assert said is not None
        assert float(said[1]) == pytest.approx(100 * recall, abs=2)
        found = neighbours[:, 0] == np.arange(3_000)
        assert found.all(), "an item is its own nearest"
        np.testing.assert_allclose(cosines[:, 0], exact[:, 0], atol=1e-5)

    @faiss_only
    def test_the_same_twice(self) -> None:
        first, again = (knn.nearest_items(clustered(500), 5, "faiss") for _ in range(2))
        assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))

    def test_without_it_one_line_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(InputError, match=r"pip install 'recbole-mm\[faiss\]'"):
            knn.nearest_items(features(9), 3, "faiss")
