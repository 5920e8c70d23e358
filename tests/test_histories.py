"""Sequential models on data that come already split: histories by hand, RecBole's own split, and no look ahead."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_contract import DATASETS
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from training import SMALL

from recbole_mm.commands.cli import main
from recbole_mm.recbole_bridge.histories import training_pairs

Row = tuple[str, str, int]  # user, item, time
PARTS = ["train", "valid", "test"]


def write(root: Path, parts: dict[str, list[Row]], time: bool = True) -> None:
    folder = root / "toy"
    folder.mkdir(exist_ok=True)
    for part, rows in parts.items():
        header = "user_id:token\titem_id:token" + "\ttimestamp:float" * time
        lines = ["\t".join(map(str, row if time else row[:2])) for row in rows]
        (folder / f"toy.{part}.inter").write_text("\n".join([header, *lines]) + "\n")


def samples(root: Path, model: str = "SASRec", dataset: str = "toy", **changes: Any) -> dict[str, list[Any]]:
    """Return by part user, history and target as external ids, sorted."""
    keys = {"data_path": str(root), "benchmark_filename": PARTS, "load_col": None}
    config = Config(model=model, dataset=dataset, config_dict=keys | changes)
    found = {}
    for part, loader in zip(PARTS, data_preparation(config, create_dataset(config)), strict=True):
        data = loader._dataset
        name = {field: data.field2id_token[field] for field in ("user_id", "item_id")}
        inter = data.inter_feat
        rows = zip(inter["user_id"], inter["item_id_list"], inter["item_length"], inter["item_id"], strict=True)
        found[part] = sorted(
            (
                str(name["user_id"][user]),
                [str(name["item_id"][item]) for item in items[:n]],
                str(name["item_id"][target]),
            )
            for user, items, n, target in rows
        )
        assert "position_in_the_split" not in " ".join(inter.columns)
    return found


BY_HAND: dict[str, list[Row]] = {
    "train": [("u", "b", 20), ("v", "a", 5), ("u", "a", 10), ("u", "c", 30)],
    "valid": [("u", "e", 41), ("u", "d", 40), ("w", "a", 1), ("w", "b", 2)],
    "test": [("v", "b", 6), ("u", "f", 1)],
}


def test_histories_by_time_and_part(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, BY_HAND)
    assert samples(tmp_path) == {
        "train": [("u", ["a"], "b"), ("u", ["a", "b"], "c")],
        "valid": [("u", ["a", "b", "c"], "d"), ("u", ["a", "b", "c", "d"], "e"), ("w", ["a"], "b")],
        "test": [("u", ["a", "b", "c", "d", "e"], "f"), ("v", ["a"], "b")],  # f is early, and its part is the last
    }
    assert "1 of 6 held-out interactions are the first of their user" in caplog.text


def test_histories_in_the_order_of_the_files_without_timestamps(tmp_path: Path) -> None:
    write(tmp_path, BY_HAND, time=False)
    assert samples(tmp_path) == {
        "train": [("u", ["b"], "a"), ("u", ["b", "a"], "c")],
        "valid": [("u", ["b", "a", "c"], "e"), ("u", ["b", "a", "c", "e"], "d"), ("w", ["a"], "b")],
        "test": [("u", ["b", "a", "c", "e", "d"], "f"), ("v", ["a"], "b")],
    }


def test_histories_that_the_files_have_stay_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, BY_HAND)
    for part in PARTS:
        file = tmp_path / "toy" / f"toy.{part}.inter"
        file.write_text("user_id:token\titem_id_list:token_seq\titem_id:token\nu\ta b\tc\nv\tb\ta\n")
    found = samples(tmp_path, alias_of_item_id=["item_id_list"])
    assert found["train"] == found["test"] == [("u", ["a", "b"], "c"), ("v", ["b"], "a")]


@st.composite
def splits(draw: st.DrawFn) -> dict[str, list[Row]]:
    """Draw interactions of three users, each at a time of its own, with the last two of each held out or not."""
    pairs = st.tuples(st.sampled_from("uvw"), st.sampled_from("abcdefg"))
    rows = draw(st.lists(pairs, min_size=12, max_size=30, unique=True))
    times = draw(st.permutations(range(len(rows))))
    timed = [(user, item, time) for (user, item), time in zip(rows, times, strict=True)]
    return {"timed": timed, "part": draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))}  # type: ignore[dict-item]


@settings(deadline=None, max_examples=30)
@given(splits())
def test_no_history_looks_ahead(drawn: dict[str, Any]) -> None:
    rows, number = drawn["timed"], [0, 1, 2, *drawn["part"][3:]]  # no part is empty
    parts = {part: [row for row, one in zip(rows, number, strict=True) if PARTS[one] == part] for part in PARTS}
    with tempfile.TemporaryDirectory() as root:
        write(Path(root), parts)
        try:
            found = samples(Path(root))
        except ValueError:  # RecBole's, where no interaction has a history
            return
    place = {(user, item): (number, time) for number, part in enumerate(PARTS) for user, item, time in parts[part]}
    for user, history, target in (one for part in PARTS for one in found[part]):
        before = [place[user, item] for item in (*history, target)]
        assert before == sorted(before)
        assert len(history) == sum(key[0] == user and where < before[-1] for key, where in place.items())


def test_leave_one_out_is_that_of_recbole(tmp_path: Path) -> None:
    """Files that hold RecBole's own split give RecBole's own histories."""
    rows = [line.split("\t") for line in (DATASETS / "microvideo/microvideo.inter").read_text().splitlines()[1:]]
    timed = sorted(((user, item, float(time)) for user, item, time in rows), key=lambda row: row[2])
    parts: dict[str, list[Any]] = {part: [] for part in PARTS}
    for user in {user for user, _, _ in timed}:
        *first, valid, test = [row for row in timed if row[0] == user]
        parts["train"] += first
        parts["valid"].append(valid)
        parts["test"].append(test)
    write(tmp_path, parts)
    keys = {**SMALL, "benchmark_filename": None, "load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
    expected = samples(DATASETS, dataset="microvideo", **keys)
    assert samples(tmp_path, **SMALL) == expected
    assert len(expected["test"]) > 200


def test_the_model_of_the_pack_trains_and_is_tested_on_a_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)  # half of the users take the items of one half, in any order
    taken = [random.permutation(6) + 6 * (user % 2) for user in range(40)]
    parts = {part: slice(*ends) for part, ends in zip(PARTS, ((0, 4), (4, 5), (5, 6)), strict=True)}
    rows = {part: [(f"u{user}", f"i{item}", 0) for user in range(40) for item in taken[user][cut]]
            for part, cut in parts.items()}  # fmt: skip
    write(tmp_path, rows, time=False)
    command = ["run", "--model=CCL4Rec", "--dataset=toy", f"--data_path={tmp_path}", "--epochs=10", "--topk=[6]"]
    keys = ["--learning_rate=0.05", "--modalities=None", f"--benchmark_filename={PARTS}", "--valid_metric=Hit@6"]
    assert main([*command, *keys, "--metrics=['Hit']"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("hit@6"))
    assert float(line.split()[2]) > 0.9  # by chance it is 0.5


@pytest.mark.parametrize("model", ["BPR", "SASRec"])
def test_every_training_interaction_counts(model: str, tmp_path: Path) -> None:
    """The first of a user's, too, unless it is held out."""
    parts = BY_HAND | {"train": [*BY_HAND["train"], ("x", "g", 1)]}
    write(tmp_path, parts)
    keys = {"data_path": str(tmp_path), "benchmark_filename": PARTS, "load_col": None}
    config = Config(model=model, dataset="toy", config_dict=keys)
    train = data_preparation(config, create_dataset(config))[0]._dataset
    users, items = training_pairs(train)
    user_of, item_of = train.field2id_token["user_id"], train.field2id_token["item_id"]
    found = sorted((str(user_of[u]), str(item_of[i])) for u, i in zip(users, items, strict=True))
    assert found == sorted(row[:2] for row in parts["train"])


def test_general_models_do_not_rank_what_was_trained_or_validated_on(tmp_path: Path) -> None:
    write(tmp_path, BY_HAND | {"train": [*BY_HAND["train"], ("v", "g", 1)]})
    config = Config(model="BPR", dataset="toy", config_dict={"data_path": str(tmp_path), "benchmark_filename": PARTS})
    _, valid, test = data_preparation(config, create_dataset(config))
    masked = {}
    for part, loader in (("valid", valid), ("test", test)):
        user_of, item_of = loader._dataset.field2id_token["user_id"], loader._dataset.field2id_token["item_id"]
        for users, (rows, items), _, _ in loader:
            for row, user in enumerate(users["user_id"]):
                masked[part, user_of[user]] = sorted(item_of[items[rows == row]])
    assert masked == {
        ("valid", "u"): ["a", "b", "c"],
        ("valid", "w"): [],
        ("test", "u"): ["a", "b", "c", "d", "e"],
        ("test", "v"): ["a", "g"],
    }
