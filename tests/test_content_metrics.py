"""Metrics in the space of the modalities: values by hand, against loops, and in runs of any model."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from comparisons import in_this_process
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.evaluator.collector import DataStruct
from recbole.quick_start import run_recbole
from training import DATASETS, write_toy

from recbole_mm.base.errors import InputError
from recbole_mm.commands.cli import main
from recbole_mm.comparison import compare as comparing
from recbole_mm.recbole_bridge import content_metrics
from recbole_mm.recbole_bridge.content_metrics import CONTENT, CONTENT_METRICS, USERS, ItemContent
from recbole_mm.recbole_bridge.top_items import ITEMS

NAMES = [metric.__name__ for metric in CONTENT_METRICS]


def content(
    modalities: list[np.ndarray], masks: list[np.ndarray], pairs: list[tuple[int, int]], n_users: int
) -> ItemContent:
    """Return the content of tables (n_items, d), whose row 0 is [PAD], and of pairs of user and item."""
    columns = {"user": torch.tensor([user for user, _ in pairs]), "item": torch.tensor([item for _, item in pairs])}
    dataset: Any = SimpleNamespace(
        modality_names=range(len(modalities)),
        modality=lambda name: torch.tensor(modalities[name], dtype=torch.float32),
        modality_mask=lambda name: torch.tensor(masks[name]),
        inter_feat=columns, uid_field="user", iid_field="item", user_num=n_users,
    )  # fmt: skip
    return ItemContent(dataset)


def values(found: ItemContent, users: list[int], lists: list[list[int]], topk: list[int]) -> dict[str, float]:
    struct = DataStruct()
    struct.set(CONTENT, found)
    struct.set(ITEMS, torch.tensor(lists))
    struct.set(USERS, torch.tensor(users))
    config = {"topk": topk, "metric_decimal_place": 9}
    return {
        name: value for metric in CONTENT_METRICS for name, value in metric(config).calculate_metric(struct).items()
    }


def test_values_by_hand() -> None:
    """Items 1 and 2 point one way, 3 across, 4 against; 5 has no features. User 1 has taken 1, user 2 has 3 and 4."""
    table = np.array([[0, 0], [2, 0], [1, 0], [0, 3], [-1, 0], [9, 9]])
    known = np.array([False, True, True, True, True, False])
    found = content([table], [known], [(1, 1), (1, 1), (2, 3), (2, 4), (2, 5), (3, 5)], 4)
    assert values(found, [1, 2, 3], [[2, 3, 4], [1, 5, 2], [5, 3, 5]], [2, 3]) == {
        # lists of 2: 2 and 3 are 1 apart, the others have one known item; of 3: pairs 1, 2, 1 apart, and 1 and 2 alike
        "intralistdistance@2": 1.0,
        "intralistdistance@3": pytest.approx((4 / 3 + 0) / 2),
        # to item 1: 0, 1, 2; to the mean of 3 and 4: 1 is 1.5 away, as 2 is; user 3 has no known item
        "contentnovelty@2": pytest.approx((0.5 + 1.5) / 2),
        "contentnovelty@3": pytest.approx((1 + 1.5) / 2),
    }


def test_modalities_count_alike_and_one_without_a_value_does_not() -> None:
    alike, across = np.array([[0, 0], [1, 0], [1, 0]]), np.array([[0, 0], [1, 0], [0, 1]])
    known, unknown = np.array([False, True, True]), np.zeros(3, dtype=bool)
    three = content([alike, across, alike], [known, known, unknown], [(1, 1)], 2)
    assert values(three, [1], [[1, 2]], [2]) == {"intralistdistance@2": 0.5, "contentnovelty@2": 0.25}


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 3), st.integers(1, 200))
def test_values_are_those_of_loops(seed: int, k: int, n_modalities: int, at_once: int) -> None:
    draw = np.random.default_rng(seed)
    n_users, n_items = 5, 9
    tables = [draw.standard_normal((n_items, 3)) for _ in range(n_modalities)]
    masks = [np.arange(n_items) * (draw.random(n_items) < 0.7) > 0 for _ in range(n_modalities)]
    pairs = [(int(draw.integers(1, n_users)), int(draw.integers(1, n_items))) for _ in range(6)]
    users = draw.integers(1, n_users, 4).tolist()
    lists = [draw.permutation(np.arange(1, n_items))[:k].tolist() for _ in users]
    within: list[float] = []
    beside: list[float] = []
    for table, mask in zip(tables, masks, strict=True):
        each: tuple[list[float], list[float]] = [], []
        for user, items in zip(users, lists, strict=True):
            there = [table[item] for item in items if mask[item]]
            taken = [table[item] for item in sorted({item for who, item in pairs if who == user}) if mask[item]]
            inside = [distance(a, b) for place, a in enumerate(there) for b in there[:place]]
            for number, apart in enumerate((inside, [distance(a, b) for a in there for b in taken])):
                each[number].extend([float(np.mean(apart))] if apart else [])
        within += [float(np.mean(each[0]))] if each[0] else []
        beside += [float(np.mean(each[1]))] if each[1] else []
    wanted = [float(np.mean(found)) if found else np.nan for found in (within, beside)]
    before, content_metrics.NUMBERS = content_metrics.NUMBERS, at_once
    try:
        got = values(content(tables, masks, pairs, n_users), users, lists, [k])
    finally:
        content_metrics.NUMBERS = before
    assert list(got.values()) == pytest.approx(wanted, abs=2e-6, nan_ok=True)


@pytest.mark.parametrize("model", ["Pop", "MHCR", "SASRec"])
@pytest.mark.parametrize("mode", ["full", "uni20"])
def test_any_model_has_them(model: str, mode: str) -> None:
    """Pop recommends every user nearly the same; the values are in range and one list's differs from another's."""
    keys: dict[str, Any] = {
        "data_path": str(DATASETS), "epochs": 1, "use_gpu": False, "show_progress": False, "topk": [5, 10],
        "metrics": ["Recall", *NAMES], "valid_metric": "Recall@10", "train_neg_sample_args": None,
        "eval_args": {"mode": mode, "order": "TO", "split": {"LS": "valid_and_test"}}, "MAX_ITEM_LIST_LENGTH": 5,
        "hidden_size": 8, "train_batch_size": 1024,
    }  # fmt: skip
    if model == "MHCR":
        del keys["train_neg_sample_args"]
    found = run_recbole(model, "microvideo", config_dict=keys, saved=False)
    for name in NAMES:
        for k in (5, 10):
            assert 0 < found["test_result"][f"{name.lower()}@{k}"] < 2
    assert found["test_result"]["contentnovelty@5"] != found["best_valid_result"]["contentnovelty@5"]


def test_a_comparison_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "in_processes", in_this_process)
    of_recbole = ["ItemCoverage", "GiniIndex", "AveragePopularity", "ShannonEntropy", "TailPercentage"]
    metrics = f"--metrics={['Recall', *NAMES, *of_recbole]}"
    given_settings = [f"--data_path={DATASETS}", "--epochs=1", "--topk=[5]", "--valid_metric=Recall@5", metrics]
    out = tmp_path / "out"
    command = ["--models=BPR,Pop", "--datasets=microvideo", "--num-seeds=1", f"--out={out}"]
    assert main(["compare", *command, *given_settings]) == 0
    table = (out / "table.md").read_text(encoding="utf-8")
    assert all(f"{name}@5" in table for name in (*NAMES, *of_recbole))
    result = json.loads(next(out.rglob("BPR*/**/result.json")).read_text(encoding="utf-8"))
    assert 0 < result["test"]["intralistdistance@5"] < 2


def test_a_dataset_without_modalities_says_so(tmp_path: Path) -> None:
    keys = {
        "data_path": str(write_toy(tmp_path)),
        "epochs": 1,
        "metrics": ["Recall", "ContentNovelty"],
        "use_gpu": False,
    }
    with pytest.raises(InputError, match="ContentNovelty compare features, and the dataset has no modalities"):
        run_recbole("BPR", "toy", config_dict={**keys, "show_progress": False}, saved=False)
