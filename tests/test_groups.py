"""Metrics by group: by hand, against a plain restatement, and what a run leaves of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_contract import DATASETS
from recbole.config import Config
from recbole.data.interaction import Interaction
from recbole.utils import init_seed
from training import train

from recbole_mm.base.errors import InputError
from recbole_mm.commands import cli
from recbole_mm.recbole_bridge.histories import training_pairs
from recbole_mm.settings.execution import read_groups
from recbole_mm.training.groups import GroupCollector, GroupEvaluator, group_names
from recbole_mm.training.trainer import run_trainer


def config(**changes: Any) -> Config:
    keys = {"metrics": ["Recall", "NDCG", "Hit", "MRR"], "topk": [2, 3], "data_path": str(DATASETS), "use_gpu": False}
    return Config(model="BPR", dataset="microvideo", config_dict=keys | changes)


def evaluate(
    used: np.ndarray, batches: list[tuple[list[int], np.ndarray, list[tuple[int, int]]]], **changes: Any
) -> tuple[Any, Any]:
    """Collect batches of users, scores and held-out (row, item) pairs; return overall metrics and groups."""
    overall, evaluator = evaluated(used, batches, **changes)
    return overall, evaluator.groups


def evaluated(used: np.ndarray, batches: Any, **changes: Any) -> tuple[Any, GroupEvaluator]:
    settings = config(**changes)
    collector, evaluator = GroupCollector(settings), GroupEvaluator(settings)
    users, items = (torch.from_numpy(ids) for ids in used.nonzero())
    data = SimpleNamespace(uid_field="u", iid_field="i", inter_feat={"u": users, "i": items})
    data.user_num, data.item_num = used.shape
    collector.data_collect(SimpleNamespace(_dataset=data))
    for users, scores, pairs in batches:
        rows, items = (torch.tensor(column) for column in zip(*pairs, strict=True))
        batch = Interaction({"user_id": torch.tensor(users)})
        collector.eval_batch_collect(torch.tensor(scores, dtype=torch.float32), batch, rows, items)
    return evaluator.evaluate(collector.get_data_struct()), evaluator


def test_by_hand() -> None:
    # Users 1 to 3 and items 1 to 4, row and column 0 are padding. Item 4 is cold, as is user 3; item 1 has two.
    used = np.zeros((4, 5))
    used[1, [1, 2, 3]] = used[2, 1] = 1
    low, first, second, third = -9, 3, 2, 1
    batches: list[Any] = [
        (
            [1, 3],
            np.array([[low, low, first, second, third], [low, first, second, third, low]]),
            [(0, 4), (1, 1), (1, 2)],
        ),
        ([2], np.array([[low, second, low, third, first]]), [(0, 4), (0, 3), (0, 1)]),
    ]
    overall, groups = evaluate(used, batches, metrics=["Recall", "MRR"], topk=[2], item_group_edges=[1, 2])
    assert overall == {
        "recall@2": pytest.approx((0 + 1 + 2 / 3) / 3, abs=1e-4),
        "mrr@2": pytest.approx(2 / 3, abs=1e-4),
    }
    assert groups == {
        "users": [
            {"group": "cold", "degree": "0", "evaluated": 1, "metrics": {"recall@2": 1.0, "mrr@2": 1.0}},
            {"group": "few", "degree": "1-9", "evaluated": 2, "metrics": {"recall@2": 1 / 3, "mrr@2": 0.5}},
            {"group": "many", "degree": "10+", "evaluated": 0, "metrics": {}},
        ],
        "items": [
            {"group": "cold", "degree": "0", "evaluated": 2, "metrics": {"recall@2": 0.5, "mrr@2": 0.5}},  # item 4
            {"group": "few", "degree": "1", "evaluated": 2, "metrics": {"recall@2": 0.5, "mrr@2": 0.25}},  # items 2, 3
            {"group": "many", "degree": "2+", "evaluated": 2, "metrics": {"recall@2": 1.0, "mrr@2": 0.75}},  # item 1
        ],
    }


@st.composite
def evaluations(draw: st.DrawFn) -> dict[str, Any]:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_users, n_items = draw(st.integers(1, 8)), draw(st.integers(3, 12))
    used = random.integers(0, 2, size=(n_users + 1, n_items + 1))
    scores = random.permuted(np.tile(np.arange(n_items + 1.0), (n_users, 1)), axis=1)
    scores[:, 0] = -np.inf
    held_out = [set(random.choice(n_items, draw(st.integers(1, 3)), replace=False) + 1) for _ in range(n_users)]
    edges = sorted(draw(st.sets(st.integers(1, 6), min_size=1, max_size=3)))
    return {"used": used, "scores": scores, "held_out": held_out, "edges": edges, "batch": draw(st.integers(1, 8))}


@settings(deadline=None, max_examples=50)
@given(evaluations())
def test_against_a_plain_restatement(case: dict[str, Any]) -> None:
    """A group's recall is the mean over its users, or over the users who hold out one of its items, of these alone."""
    used, scores, held_out, edges = (case[key] for key in ("used", "scores", "held_out", "edges"))
    used[0] = used[:, 0] = 0
    batches = []
    for start in range(0, len(scores), case["batch"]):
        users = list(range(start + 1, min(start + case["batch"], len(scores)) + 1))
        pairs = [(row, int(item)) for row, user in enumerate(users) for item in held_out[user - 1]]
        batches.append((users, scores[users[0] - 1 : users[-1]], pairs))
    overall, groups = evaluate(used, batches, metrics=["Recall"], user_group_edges=edges, item_group_edges=edges)
    top = np.argsort(-scores, axis=1)[:, :3]
    degree = {"users": used.sum(axis=1), "items": used.sum(axis=0)}
    limits = list(zip([0, *edges], [*edges, np.inf], strict=True))
    for kind, found in groups.items():
        for group, (start, end) in zip(found, limits, strict=True):
            recalls = []
            for user, items in enumerate(held_out, start=1):
                inside = {item for item in items if start <= degree["items"][item] < end}
                wanted = inside if kind == "items" else items
                if inside if kind == "items" else start <= degree["users"][user] < end:
                    recalls.append(len(wanted & set(top[user - 1])) / len(wanted))
            assert group["evaluated"] == len(recalls)
            if recalls:
                assert group["metrics"]["recall@3"] == pytest.approx(np.mean(recalls), abs=6e-5)
    weighted = sum(group["evaluated"] * group["metrics"].get("recall@3", 0) for group in groups["users"])
    assert overall["recall@3"] == pytest.approx(weighted / len(scores), abs=2e-4)


def test_names() -> None:
    assert group_names([1, 10]) == [("cold", "0"), ("few", "1-9"), ("many", "10+")]
    assert group_names([1, 2, 5]) == [("0", "0"), ("1", "1"), ("2-4", "2-4"), ("5+", "5+")]


@pytest.mark.parametrize("edges", [[2, 2], [3, 1]])
def test_edges_rise(edges: list[int]) -> None:
    with pytest.raises(InputError, match=r"user_group_edges is .*each edge must be above the one before it"):
        read_groups(config(user_group_edges=edges))


SAMPLED = {"eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "group_by": "user", "mode": "uni20"}}


def test_by_user_by_hand() -> None:
    # User 2 is evaluated twice, as by a sequential model: one of two items is found, then the only one, in place 2.
    batches: list[Any] = [
        ([2, 1], np.array([[-9, 3, 2, 1, 0], [-9, 0, 1, 2, 3]]), [(0, 1), (0, 4), (1, 1)]),
        ([2], np.array([[-9, 3, 2, 1, 0]]), [(0, 2)]),
    ]
    overall, evaluator = evaluated(np.ones((3, 5)), batches, metrics=["Recall", "MRR"], topk=[2])
    assert overall == {"recall@2": pytest.approx(1.5 / 3), "mrr@2": pytest.approx(1.5 / 3)}
    found = evaluator.by_user
    assert found is not None
    ids, values = found
    assert ids.tolist() == [1, 2]
    assert {name: each.tolist() for name, each in values.items()} == {"recall@2": [0, 0.75], "mrr@2": [0, 0.75]}


@pytest.mark.parametrize("model", ["BPR", "SASRec"])
def test_the_mean_over_users_is_the_metric(model: str) -> None:
    """Where every user is evaluated once; nothing is rounded."""
    args = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"}
    done = train(model, epochs=1, MAX_ITEM_LIST_LENGTH=5, hidden_size=8, eval_args=args)
    ours = run_trainer(type(done.trainer))(done.config, done.model)
    ours.eval_collector.data_collect(done.loaders[0])
    overall = ours.evaluate(done.loaders[2], load_best_model=False)
    ids, values = ours.by_user
    assert ids.tolist() == list(range(1, 301))
    assert values.keys() == overall.keys()
    for name, each in values.items():
        assert each.mean() == pytest.approx(overall[name], abs=1e-12)
        assert len(np.unique(each)) > 1


@pytest.mark.parametrize(("model", "changes"), [("BPR", {}), ("BPR", SAMPLED), ("SASRec", {})])
def test_the_overall_metrics_are_those_of_recbole(model: str, changes: dict[str, Any]) -> None:
    """Groups change nothing else, also for sequential models, whose rows are held-out interactions."""
    done = train(model, epochs=1, MAX_ITEM_LIST_LENGTH=5, hidden_size=8, **changes)
    ours = run_trainer(type(done.trainer))(done.config, done.model)
    ours.eval_collector.data_collect(done.loaders[0])
    found = []
    for trainer in (ours, done.trainer):
        init_seed(1, reproducibility=True)  # of sampled candidates
        found.append(trainer.evaluate(done.loaders[2], load_best_model=False))
    assert {name: round(value, 4) for name, value in found[0].items()} == found[1]  # but for the rounding
    users = sum(group["evaluated"] * group["metrics"].get("recall@10", 0) for group in ours.groups["users"])
    assert users / 300 == pytest.approx(found[0]["recall@10"], abs=1e-12)
    assert sum(group["evaluated"] for group in ours.groups["users"]) == 300
    users, _ = training_pairs(done.loaders[0]._dataset)
    assert len(users) == len(done.loaders[0]._dataset) + (300 if model == "SASRec" else 0)


def test_a_run_reports_its_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--model=BPR", "--dataset=microvideo", f"--data_path={DATASETS}", "--epochs=3",
                     "--item_group_edges=[5,30,60]", "--embedding_size=8"]) == 0  # fmt: skip
    printed = capsys.readouterr().out
    (file,) = tmp_path.rglob("result.json")
    result = json.loads(file.read_text())
    for part in ("valid", "test"):
        users, items = result[f"{part}_groups"]["users"], result[f"{part}_groups"]["items"]
        assert [group["group"] for group in users] == ["cold", "few", "many"]
        assert [group["group"] for group in items] == ["0-4", "5-29", "30-59", "60+"]
        mean = sum(group["evaluated"] * group["metrics"].get("recall@10", 0) for group in users) / 300
        assert mean == pytest.approx(result[part]["recall@10"], abs=1e-4)
    (best,) = (entry["epoch"] for entry in result["history"] if "valid_groups" in entry)
    assert best == result["best_epoch"]
    (line,) = (line for line in printed.splitlines() if line.startswith("items: 30-59"))
    group = result["test_groups"]["items"][2]
    assert line.split()[2:4] == [str(group["evaluated"]), f"{group['metrics']['recall@10']:.4f}"]


def test_no_groups_where_nothing_is_ranked(tmp_path: Path) -> None:
    arguments = ["--metrics=['GAUC']", "--valid_metric=GAUC", "--epochs=1", "--dataset=microvideo"]
    assert cli.main(["run", "--model=BPR", f"--data_path={DATASETS}", *arguments]) == 0
    (file,) = tmp_path.rglob("result.json")
    assert json.loads(file.read_text())["test_groups"] is None
