"""RecBole's data path, vectorised: against RecBole's own, draw by draw and batch by batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from training import SMALL, configured, run, train

from benchmarks.plain import _from_source, recboles_data
from recbole_mm.recbole_bridge import batches as loading

QUICK = settings(deadline=None, max_examples=30)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("BPR", {}),
        ("BPR", {"train_neg_sample_args": {"distribution": "popularity", "sample_num": 3, "alpha": 1.0}}),
        ("NeuMF", {"eval_args": {"mode": "uni20"}}),
        ("GRU4Rec", SMALL),
        ("GRU4Rec", {**SMALL, "loss_type": "BPR"}),
        ("MHCR", {}),
    ],
)
def test_a_run_is_the_same_to_the_last_bit(model: str, changes: dict[str, Any]) -> None:
    with recboles_data():
        plain = run(model, **changes)
    fast = run(model, **changes)
    assert plain["losses"] == fast["losses"]
    assert all(torch.equal(plain["weights"][name], fast["weights"][name]) for name in plain["weights"])
    assert plain["valid"] == fast["valid"]


class TestUsedPairs:
    @QUICK
    @given(n_keys=st.integers(0, 8), n_values=st.integers(1, 8), share=st.floats(0, 1), seed=st.integers(0, 99))
    def test_it_holds_what_the_sets_hold(self, n_keys: int, n_values: int, share: float, seed: int) -> None:
        held = np.random.default_rng(seed).random((n_keys, n_values)) < share
        sets = np.array([set(np.flatnonzero(row).tolist()) for row in held] + [None])[:-1]
        pairs = loading.used_pairs(sets)
        keys, values = (grid.ravel() for grid in np.indices((n_keys, n_values + 3)))
        expected = np.pad(held, ((0, 0), (0, 3))).ravel()
        assert np.array_equal(pairs.contains(keys, values), expected)


class Urn:
    """A sampler of RecBole's kind over the values 0 to 9."""

    def __init__(self, used: list[set[int]]) -> None:
        self.used_ids = np.array([*used, None])[:-1]

    def sampling(self, n: int) -> np.ndarray:
        return np.random.randint(0, 10, n)


@QUICK
@given(
    used=st.lists(st.sets(st.integers(0, 9), max_size=9), min_size=1, max_size=5),
    keys=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    num=st.integers(1, 3),
)
def test_samples_are_recboles_draw_by_draw(used: list[set[int]], keys: list[int], num: int) -> None:
    urn, keys = Urn(used), [key % len(used) for key in keys]
    plain = _from_source("recbole.sampler.sampler").AbstractSampler.sample_by_key_ids
    found = []
    for sample in (plain, loading.sample_by_key_ids):
        np.random.seed(0)
        found.append(sample(urn, np.array(keys), num))
    assert torch.equal(*found)
    assert not any(int(value) in used[key] for key, value in zip(keys * num, found[1], strict=True))


@pytest.mark.parametrize(
    "index",
    [3, slice(1, 5), [4, 0], np.array([4, 0, 4]), np.arange(6)[::-1], np.arange(6) % 2 == 0, torch.tensor([2, 1]), []],
)
def test_rows_are_recboles(index: Any) -> None:
    columns = {"user_id": torch.arange(6), "history": torch.arange(12).view(6, 2)}
    plain = _from_source("recbole.data.interaction").Interaction.__getitem__
    batch = Interaction(columns)
    found, expected = batch[index], plain(batch, index)
    assert found.columns == expected.columns
    assert all(torch.equal(found[name], expected[name]) for name in columns)
    assert torch.equal(batch["user_id"], columns["user_id"])


def test_a_key_without_used_values_is_an_error() -> None:
    class Sampler:
        used_ids = np.array([{1}, {2}])

    with pytest.raises(IndexError, match=r"\[0, 2\)"):
        loading.sample_by_key_ids(Sampler(), [0, 2], 1)


class TestFeaturesInBatches:
    @pytest.fixture
    def with_genres(self, tmp_path: Path) -> dict[str, Any]:
        """Return the settings of a dataset whose users and items have a column beside their id."""
        (tmp_path / "films").mkdir()
        pairs = [f"u{user}\ti{(user * step) % 17}" for user in range(1, 21) for step in (1, 2, 3, 5, 7)]
        films = [f"i{item}\t{('comedy', 'drama')[item % 2]}" for item in range(17)]
        for suffix, lines in (
            ("inter", ["user_id:token\titem_id:token", *pairs]),
            ("item", ["item_id:token\tgenre:token", *films]),
            ("user", ["user_id:token\tage:float", *(f"u{user}\t{user}" for user in range(1, 21))]),
            ("text", ["item_id:token\temb:float_seq", *(f"i{item}\t{item} 1" for item in range(17))]),
        ):
            (tmp_path / "films" / f"films.{suffix}").write_text("\n".join(lines) + "\n", encoding="utf-8")
        load = {"inter": ["user_id", "item_id"], "item": ["item_id", "genre"], "user": ["user_id", "age"]}
        drawn = {"train_neg_sample_args": {"distribution": "uniform", "sample_num": 1}}  # for FM, too
        features = {"modalities": {"text": {"file": "films.text"}}}
        return {"dataset": "films", "data_path": str(tmp_path), "load_col": load, **drawn, **features}

    @pytest.mark.parametrize(("model", "joined"), [("BPR", True), ("LightGCN", True), ("FM", True), ("MHCR", False)])
    @pytest.mark.parametrize("changes", [{}, {"join_features": True}, {"join_features": False}])
    def test_all_but_the_pack_s_models_get_them(
        self, with_genres: dict[str, Any], model: str, joined: bool, changes: dict[str, bool]
    ) -> None:
        config = configured(model, **with_genres, **changes)
        train_data, valid, _ = data_preparation(config, create_dataset(config))
        joined = changes.get("join_features", joined)
        batch, (users, *_) = next(iter(train_data)), next(iter(valid))
        assert ("genre" in batch.columns) == joined
        assert ("neg_genre" in batch.columns) == (joined and model != "FM")
        assert ("age" in batch.columns) == ("age" in users.columns) == joined

    def test_training_is_the_same_with_and_without(self, with_genres: dict[str, Any]) -> None:
        one, other = (run("BPR", **with_genres, join_features=join) for join in (False, True))
        assert one["losses"] == other["losses"]
        assert one["valid"] == other["valid"]

    def test_a_model_that_asks_for_one_is_told(self, with_genres: dict[str, Any]) -> None:
        batch = next(iter(train("BPR", **with_genres, epochs=1, join_features=False).loaders[0]))
        with pytest.raises(KeyError, match=r"no field 'genre' among .*join_features"):
            batch["genre"]
