"""Time stays exact: histories, splits and what models read, in seconds, milliseconds and nanoseconds."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.config import Config
from recbole.data import create_dataset, data_preparation

from recbole_mm.commands.cli import main

NOW = 1_700_000_000  # seconds since 1970
UNITS = {"seconds": 1, "milliseconds": 10**3, "nanoseconds": 10**9}
USERS, WATCHED = 20, 6
PARTS = ["train", "valid", "test"]

Row = tuple[str, str, int]  # user, item, time


def watched(unit: int, step: int) -> list[Row]:
    """Return micro-videos that each user has watched one after the other, rows in any order."""
    rows = [
        (f"u{user}", f"i{(user * 7 + place) % 30}", (NOW * unit) + (user + place) * step)
        for user in range(USERS)
        for place in range(WATCHED)
    ]
    random.Random(1).shuffle(rows)
    return rows


def in_order(rows: Sequence[Row], user: str) -> list[str]:
    return [item for _, item, _ in sorted((row for row in rows if row[0] == user), key=lambda row: row[2])]


def write(root: Path, rows: Sequence[Row], stem: str = "toy") -> None:
    (root / "toy").mkdir(exist_ok=True)
    lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows)]
    (root / "toy" / f"{stem}.inter").write_text("\n".join(lines) + "\n")


def parts(root: Path, model: str, **changes: Any) -> list[Any]:
    """Return the datasets of training, validation and test."""
    keys = {"data_path": str(root), "load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "gpu_id": ""}
    config = Config(model=model, dataset="toy", config_dict={**keys, **changes})
    return [loader._dataset for loader in data_preparation(config, create_dataset(config))]


def columns(dataset: Any) -> list[tuple[str, str]]:
    """Return users and items of the interactions as external ids."""
    return list(
        zip(
            *(dataset.id2token(field, dataset.inter_feat[field].numpy()).tolist() for field in ("user_id", "item_id")),
            strict=True,
        )
    )


@pytest.mark.parametrize(("unit", "step"), [*((unit, 5 * unit) for unit in UNITS.values()), (10**9, 100)])
class TestEveryUnit:
    """Micro-videos 5 seconds apart, and 100 nanoseconds apart."""

    def test_histories_of_a_sequential_model(self, tmp_path: Path, unit: int, step: int) -> None:
        rows = watched(unit, step)
        write(tmp_path, rows)
        _, valid, test = parts(tmp_path, "SASRec")
        for dataset, left in ((valid, 1), (test, 0)):
            name, inter = dataset.field2id_token["item_id"], dataset.inter_feat
            assert len(inter) == USERS
            for (user, target), items, n in zip(
                columns(dataset), inter["item_id_list"], inter["item_length"], strict=True
            ):
                expected = in_order(rows, user)[: WATCHED - left]
                assert [*name[items[:n]], target] == expected

    def test_splits_by_time(self, tmp_path: Path, unit: int, step: int) -> None:
        rows = watched(unit, step)
        write(tmp_path, rows)
        for split in ({"LS": "valid_and_test"}, {"RS": [0.8, 0.1, 0.1]}):
            _, valid, test = parts(tmp_path, "BPR", eval_args={"split": split, "order": "TO", "group_by": "user"})
            assert sorted(columns(valid)) == sorted((f"u{u}", in_order(rows, f"u{u}")[-2]) for u in range(USERS))
            assert sorted(columns(test)) == sorted((f"u{u}", in_order(rows, f"u{u}")[-1]) for u in range(USERS))

    def test_histories_of_a_split_that_comes_with_the_data(self, tmp_path: Path, unit: int, step: int) -> None:
        rows = watched(unit, step)
        place = {(user, item): number for user in (f"u{u}" for u in range(USERS))
                 for number, item in enumerate(in_order(rows, user))}  # fmt: skip
        for part, places in zip(PARTS, ((0, 1, 2, 3), (4,), (5,)), strict=True):
            write(tmp_path, [row for row in rows if place[row[:2]] in places], f"toy.{part}")
        *_, test = parts(tmp_path, "SASRec", benchmark_filename=PARTS)
        name = test.field2id_token["item_id"]
        for (user, target), items in zip(columns(test), test.inter_feat["item_id_list"], strict=True):
            assert [*name[items[:5]], target] == in_order(rows, user)

    def test_a_split_by_one_time_for_all(self, tmp_path: Path, unit: int, step: int) -> None:
        rows = watched(unit, step)
        write(tmp_path, rows)
        time = {row[:2]: row[2] for row in rows}
        boundary = np.sort([row[2] - NOW * unit for row in rows])[int(0.9 * len(rows))] + NOW * unit
        for order in ("TO", "RO"):
            eval_args = {"split": {"TS": [0.8, 0.1, 0.1]}, "order": order, "group_by": "user"}
            *earlier, test = parts(tmp_path, "BPR", eval_args=eval_args)
            assert min(time[pair] for pair in columns(test)) >= boundary
            assert all(time[pair] <= boundary for dataset in earlier for pair in columns(dataset))
            trained, validated = (
                {user: [time[pair] for pair in columns(dataset) if pair[0] == user] for user, _ in columns(dataset)}
                for dataset in earlier
            )
            assert all(max(trained[user]) <= min(times) for user, times in validated.items() if user in trained)

    def test_models_read_exact_differences(self, tmp_path: Path, unit: int, step: int) -> None:
        rows = watched(unit, step)
        write(tmp_path, rows)
        train, *_ = parts(tmp_path, "SASRec")
        inter = train.inter_feat
        last = inter["timestamp_list"].gather(1, (inter["item_length"] - 1)[:, None])[:, 0]
        assert (inter["timestamp"] - last).tolist() == [step] * len(inter)

    def test_the_cold_start_splits(self, tmp_path: Path, unit: int, step: int) -> None:
        rows = watched(unit, step)
        write(tmp_path, rows)
        items = "".join(f"i{item}\n" for item in range(30))
        (tmp_path / "toy" / "toy.item").write_text("item_id:token\n" + items)
        np.save(tmp_path / "toy" / "image.npy", np.ones((30, 2)))
        (tmp_path / "toy" / "toy.yaml").write_text(
            "load_col: {inter: [user_id, item_id, timestamp], item: [item_id]}\n"
            "modalities: {image: {file: image.npy}}\n"
        )
        assert main(["split", "toy", f"--data_path={tmp_path}", "--min-history=3"]) == 0
        lines = (tmp_path / "toy" / "toy.min_history_3.test.inter").read_text().splitlines()[1:]
        assert sorted(line.split("\t")[:2] for line in lines) == sorted(
            [f"u{u}", in_order(rows, f"u{u}")[-1]] for u in range(USERS)
        )


def test_times_that_floats_hold_are_floats_of_64_bits(tmp_path: Path) -> None:
    write(tmp_path, watched(1, 5))
    train, *_ = parts(tmp_path, "SASRec")
    assert train.inter_feat["timestamp"].dtype == train.inter_feat["timestamp_list"].dtype == torch.float64


def test_a_numerical_feature_is_what_recboles_models_multiply(tmp_path: Path) -> None:
    rows = watched(1, 5)
    write(tmp_path, rows)
    eval_args = {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"}
    ranked = {"metrics": ["Recall"], "valid_metric": "Recall@10", "eval_args": eval_args}
    train, _, test = parts(tmp_path, "FM", numerical_features=["timestamp"], threshold=None, **ranked)
    assert train.inter_feat["timestamp"].dtype == torch.float32
    assert train.inter_feat["timestamp"].shape[1:] == (2,)
    assert sorted(columns(test)) == sorted((f"u{u}", in_order(rows, f"u{u}")[-1]) for u in range(USERS))


@pytest.mark.parametrize("keep", [None, "first", "last"])
def test_equal_times_stay_in_the_order_of_the_file(tmp_path: Path, keep: str | None) -> None:
    rows = [("u", f"i{place}", NOW + place // 25) for place in range(100)]
    rows += [("u", "i7", NOW + 9), ("u", "i8", NOW - 9)] if keep else []
    write(tmp_path, rows)
    first = {None: [], "first": ["i8"], "last": []}[keep]
    last = {None: [], "first": [], "last": ["i7"]}[keep]
    items = [item for _, item, _ in rows[:100] if item not in (*first, *last)]
    _, _, test = parts(tmp_path, "SASRec", rm_dup_inter=keep, MAX_ITEM_LIST_LENGTH=200)
    history = test.field2id_token["item_id"][test.inter_feat["item_id_list"][0][: int(test.inter_feat["item_length"])]]
    assert [*history, columns(test)[0][1]] == [*first, *items, *last]


@given(steps=st.lists(st.integers(0, 300), min_size=4, max_size=30), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_any_times_in_any_order(steps: list[int], seed: int) -> None:
    times = [NOW + step for step in steps]
    random.Random(seed).shuffle(times)
    rows = [("u", f"i{place}", time) for place, time in enumerate(times)]
    expected = [item for _, item, _ in sorted(rows, key=lambda row: row[2])]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), [*rows, *(("v", f"i{place}", NOW + place) for place in range(4))])
        *_, test = parts(Path(folder), "SASRec")
    (found,) = [row for row, (user, _) in enumerate(columns(test)) if user == "u"]
    inter = test.inter_feat
    history = test.field2id_token["item_id"][inter["item_id_list"][found][: int(inter["item_length"][found])]]
    assert [*history, columns(test)[found][1]] == expected


def test_movielens_test_items_are_the_last(tmp_path: Path) -> None:
    config = Config(model="SASRec", dataset="ml-100k", config_dict={"gpu_id": ""})
    *_, test = (loader._dataset for loader in data_preparation(config, create_dataset(config)))
    rows: dict[str, list[tuple[int, str]]] = {}
    for line in (Path(config["data_path"]) / "ml-100k.inter").read_text().splitlines()[1:]:
        user, item, _, time = line.split("\t")
        rows.setdefault(user, []).append((int(time), item))
    name, inter = test.field2id_token["item_id"], test.inter_feat
    for (user, target), items, n in zip(columns(test), inter["item_id_list"], inter["item_length"], strict=True):
        expected = [item for _, item in sorted(rows[user], key=lambda row: row[0])][-1 - int(n) :]
        assert [*name[items[:n]], target] == expected


def test_text_among_the_times_of_a_split_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, [*watched(1, 5), ("u1", "i3", "soon")])  # type: ignore[list-item]
    (tmp_path / "toy" / "toy.item").write_text("item_id:token\ni1\ni2\n")
    np.save(tmp_path / "toy" / "image.npy", np.ones((2, 2)))
    (tmp_path / "toy" / "toy.yaml").write_text(
        "load_col: {inter: [user_id, item_id], item: [item_id]}\nmodalities: {image: {file: image.npy}}\n"
    )
    assert main(["split", "toy", f"--data_path={tmp_path}", "--min-history=3"]) == 2
    assert "toy.inter, line 122: invalid number 'soon' in timestamp" in capsys.readouterr().err
