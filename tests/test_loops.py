"""What RecBole does one by one, done at once with the same numbers: draws by popularity, histories, drawn items."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recbole.data import create_dataset, data_preparation
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.sampler import KGSampler, RepeatableSampler, Sampler
from recbole.utils import init_seed
from training import configured, run, write_toy

import recbole_mm_cli as cli
from benchmarks.plain import recboles_data
from recbole_mm.recbole_bridge.sampled_evaluation import SampledBatches, _ranges

QUICK = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
PAIRS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 7)), min_size=1, max_size=30)


def part(pairs: list[tuple[int, int]]) -> Any:
    """Return what samplers and histories read of a dataset with 5 users and 7 items."""
    users, items = torch.tensor(pairs, dtype=torch.int64).T
    feat = Interaction({"user": users, "item": items, "rating": torch.arange(len(pairs)) / 4})
    names = {"uid_field": "user", "iid_field": "item", "user_num": 6, "item_num": 8}
    said: list[str] = []
    logger = SimpleNamespace(warning=said.append)
    return SimpleNamespace(inter_feat=feat, _check_field=lambda *fields: None, logger=logger, said=said, **names)


class TestPopularity:
    def test_a_table_by_hand(self) -> None:
        sampler = RepeatableSampler("train", part([(1, 4), (1, 4), (2, 6), (3, 4)]), "popularity")
        assert sampler.candidates.tolist() == [4, 6]  # 3 of 4 and 1 of 4, times 2
        assert sampler.prob.tolist() == [1.0, 0.5]
        assert sampler.alias.tolist() == [4, 4]

    @QUICK
    @given(parts=st.lists(PAIRS, min_size=1, max_size=3), alpha=st.sampled_from([1.0, 0.5, 2.0, 0.0]))
    def test_draws_are_recboles(self, parts: list[Any], alpha: float) -> None:
        phases = [str(number) for number in range(len(parts))]

        def draw() -> list[np.ndarray]:
            feats = [part(pairs) for pairs in parts]
            kinds = [RepeatableSampler(phases, feats[0], "popularity", alpha)]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Sampler, "get_used_ids", lambda self: {})
                kinds.append(Sampler(phases, feats, "popularity", alpha))
            np.random.seed(3)
            return [sampler.sampling(n) for sampler in kinds for n in (40, 1)]

        with recboles_data():
            expected = draw()
        for ours, theirs in zip(draw(), expected, strict=True):
            assert ours.dtype == theirs.dtype
            known = theirs != -1  # RecBole's own for a share that was rounded
            assert np.array_equal(ours[known], theirs[known])
            assert set(ours) <= {item for pairs in parts for _, item in pairs}

    def test_entities_are_drawn_too(self) -> None:
        dataset = SimpleNamespace(head_entity_field="h", tail_entity_field="t", entity_num=9)
        dataset.head_entities, dataset.tail_entities = [1, 1, 2], [3, 4, 3]

        def draw() -> list[int]:
            np.random.seed(5)
            return list(KGSampler(dataset, "popularity").sampling(30).tolist())

        with recboles_data():
            expected = draw()
        assert draw() == expected


class TestHistories:
    def test_by_hand(self) -> None:
        ids, values, lengths = Dataset._history_matrix(part([(2, 7), (4, 3), (2, 5)]), "user", "rating")
        assert lengths.tolist() == [0, 0, 2, 0, 1, 0]
        assert sorted(zip(ids[2].tolist(), values[2].tolist(), strict=True)) == [(5, 0.5), (7, 0.0)]
        assert (ids[4].tolist(), values[4].tolist()) == ([3, 0], [0.25, 0.0])
        assert not ids[[0, 1, 3, 5]].any()

    @QUICK
    @given(
        pairs=PAIRS,
        row=st.sampled_from(["user", "item"]),
        field=st.sampled_from([None, "rating", "item"]),
        longest=st.sampled_from([None, 1, 2, 50]),
    )
    def test_they_are_recboles(self, pairs: list[Any], row: str, field: str | None, longest: int | None) -> None:
        def made() -> Any:
            torch.manual_seed(4)
            dataset = part(pairs)
            found = Dataset._history_matrix(dataset, row, field, longest)
            return found, dataset.said, torch.rand(1)

        with recboles_data():
            expected, said, after = made()
        found, told, then = made()
        assert [(one.dtype, one.tolist()) for one in found] == [(one.dtype, one.tolist()) for one in expected]
        assert (told, then) == (said, after)

    def test_a_field_that_is_not_there(self) -> None:
        with pytest.raises(ValueError, match=r"Value_field \[price\]"):
            Dataset._history_matrix(part([(1, 1)]), "user", "price")


@pytest.mark.parametrize("model", ["DIEN", "SASRec"])
@pytest.mark.parametrize("more", [{}, {"numerical_features": ["rating"]}])
def test_histories_of_dien(tmp_path: Path, model: str, more: dict[str, Any]) -> None:
    draw = np.random.default_rng(5)
    lines = [f"u{draw.integers(6)}\ti{draw.integers(9)}\t{draw.random():.2f}\t{row}" for row in draw.permutation(60)]
    text = "\n".join(["user_id:token\titem_id:token\trating:float\ttimestamp:float", *lines])
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy.inter").write_text(f"{text}\n", encoding="utf-8")
    columns = {"inter": ["user_id", "item_id", "rating", "timestamp"]}
    changes = {"data_path": str(tmp_path), "load_col": columns, "MAX_ITEM_LIST_LENGTH": 4, **more}
    drawn = {"distribution": "uniform", "sample_num": 1} if model == "DIEN" else None
    config = configured(model, "toy", **changes, train_neg_sample_args=drawn)

    def made() -> Any:
        init_seed(3, True)
        parts = create_dataset(copy.deepcopy(config)).build()
        return [{name: (part[name].dtype, part[name].tolist()) for name in part} for part in
                (part.inter_feat for part in parts)]  # fmt: skip

    with recboles_data():
        expected = made()
    assert made() == expected
    assert ("neg_item_id_list" in expected[0]) == (model == "DIEN")


MODES = [{"mode": mode} for mode in ("uni5", "pop5", {"valid": "uni3", "test": "pop9"}, "labeled")]


MODELS: list[tuple[str, dict[str, Any]]] = [
    ("BPR", {}),
    ("FM", {"train_neg_sample_args": {"distribution": "uniform", "sample_num": 1}}),  # reads what items are like
    ("SASRec", {"train_neg_sample_args": None}),
    ("SASRec", {"train_neg_sample_args": None, "transform": "reorder_itemseq", "beta": 0.5}),
]


class TestDrawnEvaluation:
    @pytest.fixture
    def toy(self, tmp_path: Path) -> dict[str, Any]:
        items = write_toy(tmp_path) / "toy" / "toy.item"
        items.write_text(items.read_text(encoding="utf-8").replace("token_seq", "token"), encoding="utf-8")
        return {"dataset": "toy", "data_path": str(tmp_path), "MAX_ITEM_LIST_LENGTH": 5}

    @pytest.mark.parametrize(("model", "more"), MODELS)
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("size", [1, 60])
    def test_batches_are_recboles(
        self, toy: dict[str, Any], model: str, more: dict[str, Any], mode: dict[str, Any], size: int
    ) -> None:
        given = {"split": {"RS": [0.4, 0.3, 0.3]}, "group_by": "user", "order": "TO", **mode}
        config = configured(model, eval_args=given, eval_batch_size=size, **toy, **more)

        def batches() -> list[Any]:
            init_seed(3, True)
            found = []
            for loader in data_preparation(copy.deepcopy(config), create_dataset(config))[1:]:
                found += [loader._batch_size, loader.step, len(loader)]
                for inter, *rest in loader:
                    found.append({name: (inter[name].dtype, inter[name].tolist()) for name in sorted(inter.columns)})
                    found += [one if one is None else (one.dtype, one.tolist()) for one in rest]
            return found

        with recboles_data():
            expected = batches()
        assert batches() == expected
        assert len(expected) > 8

    def test_metrics_are_recboles(self, toy: dict[str, Any]) -> None:
        with recboles_data():
            expected = run("BPR", eval_args={"mode": "pop5", "order": "TO"}, **toy)
        found = run("BPR", eval_args={"mode": "pop5", "order": "TO"}, **toy)
        assert isinstance(found["loader"], SampledBatches)
        assert (found["losses"], found["valid"]) == (expected["losses"], expected["valid"])

    def test_ranges(self) -> None:
        assert _ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
        assert _ranges(np.array([], dtype=np.int64), np.array([], dtype=np.int64)).tolist() == []

    def test_a_run(self, toy: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        monkeypatch.chdir(toy["data_path"])
        drawn = {"distribution": "popularity", "sample_num": 1, "alpha": 0.5, "dynamic": False}
        given = {"eval_args": {"mode": "uni5", "order": "TO"}, "train_neg_sample_args": drawn, "epochs": 1}
        Path("drawn.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
        command = ["run", "--model=BPR", "--dataset=toy", "--data_path=.", "--config_files=drawn.yaml", "--gpu_id="]
        assert cli.main(command) == 0
        assert "recall@10" in capsys.readouterr().out
