"""Features in the order of the internal ids: exact values by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from recbole_mm.base.errors import InputError
from recbole_mm.data import feature_table as module
from recbole_mm.data.align import align, normalize_rows
from recbole_mm.data.feature_table import FeatureTable


class TestAlign:
    tokens = np.array(["[PAD]", "a", "b", "c"], dtype=object)

    def align(
        self, rows: Any, ids: str, missing: str = "mean", normalize: str = "none", width: int | None = None
    ) -> tuple[Any, Any]:
        table = FeatureTable.of("x.npy", list(ids), np.array(rows))
        return align(table, self.tokens, set("abcdefgh"), missing=missing, normalize=normalize, name="x", width=width)

    @pytest.mark.parametrize(("missing", "row"), [("mean", [3, 5]), ("zero", [0, 0])])
    def test_rows_follow_the_tokens(self, missing: str, row: list[float]) -> None:
        features, mask = self.align([[4, 4], [2, 6], [9, 9]], "cad", missing)  # d is filtered away, b missing
        assert features.tolist() == [[0, 0], [2, 6], row, [4, 4]]
        assert features.dtype == torch.float32
        assert mask.tolist() == [False, True, False, True]

    def test_float16_is_widened_before_it_is_computed_with(self) -> None:
        rows = np.array([[60000, 60000], [60000, 0], [0, 60000]], dtype=np.float16)  # sums overflow in float16
        features, _ = self.align(rows, "abc", normalize="l2")
        torch.testing.assert_close(features[1:], torch.tensor([[0.5**0.5, 0.5**0.5], [1, 0], [0, 1]]))
        features, _ = self.align(rows[:2], "ab", normalize="none")
        assert features[3].tolist() == [60000, 30000]

    def test_l2(self) -> None:
        features, _ = self.align([[3, 4], [0, 0]], "ab", normalize="l2")
        torch.testing.assert_close(features, torch.tensor([[0, 0], [0.6, 0.8], [0, 0], [0.3, 0.4]]))

    def test_l2_of_extreme_rows(self) -> None:
        features, _ = self.align([[3e30, 4e30], [3e-30, 4e-30]], "ab", normalize="l2")
        torch.testing.assert_close(features[1:3], torch.tensor([[0.6, 0.8], [0.6, 0.8]]))

    def test_standard_uses_only_the_rows_of_items_that_are_left(self) -> None:
        features, _ = self.align([[1, 0.1], [3, 0.1], [1000, 7]], "acd", normalize="standard")
        assert features.tolist() == [[0, 0], [-1, 0], [0, 0], [1, 0]]

    def test_standard_of_a_constant_column_is_zero(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "BLOCK_VALUES", 100)
        features = np.full((1001, 1), 0.1, dtype=np.float32)
        normalize_rows(features, np.arange(1001), "standard")
        assert not features.any()

    def test_chunks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = np.random.default_rng(0).normal(size=(3, 4))
        for normalize in ("none", "l2", "standard"):
            monkeypatch.setattr(module, "BLOCK_VALUES", 2**20)
            whole, _ = self.align(rows, "bca", normalize=normalize)
            monkeypatch.setattr(module, "BLOCK_VALUES", 1)
            by_rows, _ = self.align(rows, "bca", normalize=normalize)
            torch.testing.assert_close(by_rows, whole)

    def test_table_is_not_changed(self) -> None:
        rows = np.array([[3, 4], [1, 0]], dtype=np.float32)
        table = FeatureTable.of("x.npy", ["a", "b"], rows)
        align(table, self.tokens, set("ab"), missing="mean", normalize="l2", name="x")
        assert rows.tolist() == [[3, 4], [1, 0]]

    def test_principal_component_by_hand(self) -> None:
        rows = [
            [15, 10],
            [7, 4],
            [11, 7],
            [99, -50],
        ]  # steps of 5 along (0.8, 0.6), and d left out
        features, _ = self.align(rows, "cabd", width=1)
        torch.testing.assert_close(features, torch.tensor([[0.0], [-5], [0], [5]]))
        features, _ = self.align(rows, "cabd", width=1, normalize="standard")
        torch.testing.assert_close(features, torch.tensor([[0.0], [-(1.5**0.5)], [0], [1.5**0.5]]))

    def test_principal_components_are_those_of_scikit_learn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = np.random.default_rng(0).normal(size=(40, 6)) @ np.diag([5, 4, 3, 2, 1, 0.5]) + 1000
        self.tokens = np.array(["[PAD]", *map(str, range(40))], dtype=object)
        for block in (2**20, 18):
            monkeypatch.setattr(module, "BLOCK_VALUES", block)
            table = FeatureTable.of("x.npy", self.tokens[1:].tolist(), rows)
            features, _ = align(
                table, self.tokens, set(self.tokens), missing="mean", normalize="none", name="x", width=3
            )
            pca = PCA(3).fit(rows)
            signs = np.sign(pca.components_[np.arange(3), np.abs(pca.components_).argmax(axis=1)])
            np.testing.assert_allclose(features[1:], pca.transform(rows) * signs, atol=1e-3)

    @pytest.mark.parametrize(("rows", "most"), [([[1, 2], [3, 5], [4, 4]], 2), ([[1, 2, 3], [4, 5, 7]], 1)])
    def test_more_components_than_there_are(self, rows: Any, most: int) -> None:
        with pytest.raises(InputError, match=f"'x', x.npy: pca is 3, but .* at most {most} components: lower it"):
            self.align(rows, "abc"[: len(rows)], width=3)

    def test_unknown_ids(self) -> None:
        with pytest.raises(InputError, match=r"'x', x.npy: 4 of 5 item ids .*: 'w', 'x', 'y' and 1 more"):
            self.align([[1]] * 5, "awxyz")

    def test_missing_rows_as_an_error(self) -> None:
        with pytest.raises(InputError, match=r"'x', x.npy: 2 of 3 items have no row: 'a', 'c'"):
            self.align([[1]], "b", missing="error")
        features, _ = self.align([[1], [2], [3]], "bca", missing="error")
        assert features.tolist() == [[0], [3], [1], [2]]

    def test_no_item_left(self) -> None:
        with pytest.raises(InputError, match=r"'x', x.npy: no item that RecBole's filters leave has a row"):
            self.align([[1], [2]], "de")

    def test_unknown_choices(self) -> None:
        with pytest.raises(InputError, match="missing_modality must be one of mean, zero, error, not 'means'"):
            self.align([[1]], "a", missing="means")
        with pytest.raises(InputError, match="normalize must be one of none, l2, standard, not 'l1'"):
            self.align([[1]], "a", normalize="l1")


def test_normalisation_leaves_other_rows_alone() -> None:
    for method in ("none", "l2", "standard"):
        features = np.array([[5, 5], [3, 4], [6, 8]], dtype=np.float32)
        normalize_rows(features, np.array([1, 2]), method)
        assert features[0].tolist() == [5, 5]
