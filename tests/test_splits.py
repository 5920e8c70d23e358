"""Cold-start splits: who goes where, by hand and by property, and the files that are written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.data.dataset import Dataset

from recbole_mm.base.errors import InputError
from recbole_mm.commands.cli import main
from recbole_mm.configuration.request import Request, configure
from recbole_mm.data.coldstart import LEFT_OUT, TEST, TRAIN, VALID, cold, warm, without_cold
from recbole_mm.training.build import load_dataset

PARTS = ["train", "valid", "test"]
NO_FEATURES = '"q ""x"""'  # an item
ROWS = [  # user, item, time; items of the row are 007, b, c, d
    ("u", "007", 3), ("u", "b", 1), ("v", "b", 5), ("u", "c", 2), ("v", "c", 9), ("u", "d", 4), ("v", "007", 1),
    ("u", NO_FEATURES, 5), ("w", "b", 1), ("w", "c", 2), ("w", "007", 3), ("x", "d", 0),
]  # fmt: skip


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    folder.mkdir()
    lines = [f"{user}\t{item}\t{time}" for user, item, time in ROWS]
    lines.insert(3, "")  # a blank line is no row
    (folder / "toy.inter").write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines]))
    np.save(folder / "image.npy", np.eye(4))
    (folder / "image.ids").write_text("007\nb\nc\nd\n")
    keys = {"load_col": None, "modalities": {"image": {"file": "image.npy", "ids": "image.ids"}}}
    (folder / "toy.yaml").write_text(yaml.safe_dump(keys))
    return folder


def split(*arguments: str) -> int:
    where = [] if any(word.startswith("--data_path=") for word in arguments) else ["--data_path=."]
    return main(["split", "toy", *where, *arguments])


def written(folder: Path, name: str) -> dict[str, list[tuple[str, ...]]]:
    """Return the rows of each part, without the header, which must be that of the source."""
    found = {}
    for part in PARTS:
        header, *lines = (folder / f"toy.{name}.{part}.inter").read_text().splitlines()
        assert header == "user_id:token\titem_id:token\ttimestamp:float"
        found[part] = [tuple(line.split("\t")) for line in lines]
    return found


def test_warm_split_by_time() -> None:
    users = np.array([0, 1, 0, 0, 1, 0, 2])
    times = np.array([4.0, 1, 3, 2, 0, 1, 9])
    assert warm(users, times, (0.25, 0.25), seed=0).tolist() == [TEST, TEST, VALID, TRAIN, TRAIN, TRAIN, TRAIN]
    assert warm(users, times, (0.0, 0.5), seed=0).tolist() == [TEST, TEST, TEST, TRAIN, TRAIN, TRAIN, TRAIN]
    kept = warm(users, times, (0.25, 0.5), seed=0, min_history=3)
    assert kept.tolist() == [TEST, TRAIN, TRAIN, TRAIN, TRAIN, TRAIN, TRAIN]  # user 0 keeps three, 1 and 2 have none


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=60),
    st.floats(0, 0.45),
    st.floats(0, 0.45),
    st.integers(1, 5),
    st.booleans(),
)
def test_warm_split_keeps_its_promises(users_: list[int], valid: float, test: float, history: int, timed: bool) -> None:
    users = np.array(users_)
    times = np.random.default_rng(1).integers(0, 9, len(users)).astype(float) if timed else None
    parts = warm(users, times, (valid, test), seed=3, min_history=history)
    for user in set(users_):
        mine = parts[users == user]
        counts = np.bincount(mine, minlength=3)
        assert counts[TRAIN] >= min(history, len(mine))
        assert counts[TEST] <= max(1, test * len(mine))
        if history == 1:  # the sizes of RecBole's own split by ratio
            expected = np.diff(
                [0, *Dataset._calcu_split_ids(None, len(mine), [1 - valid - test, valid, test]), len(mine)]
            )
            assert counts.tolist() == expected.tolist()
        if times is not None:
            held = [times[users == user][mine == part] for part in (TRAIN, VALID, TEST)]
            before = -np.inf
            for end in held:
                assert not len(end) or end.min() >= before
                before = max(before, end.max(initial=-np.inf))
    again = warm(users, times, (valid, test), seed=3, min_history=history)
    assert parts.tolist() == again.tolist()


def test_cold_ids_are_in_one_held_out_part_alone() -> None:
    items = np.random.default_rng(0).integers(0, 40, 500)
    parts = cold(items, np.arange(30), 0.2, 7, np.zeros(500, dtype=np.int8))
    of_item = {item: set(parts[items == item].tolist()) for item in set(items.tolist())}
    chosen = {item: part for item, part in of_item.items() if part != {TRAIN}}
    assert sorted(part for (part,) in chosen.values()) == [VALID] * 3 + [TEST] * 3
    assert max(chosen) < 30
    assert parts.tolist() == cold(items, np.arange(30), 0.2, 7, np.zeros(500, dtype=np.int8)).tolist()
    assert parts.tolist() != cold(items, np.arange(30), 0.2, 8, np.zeros(500, dtype=np.int8)).tolist()


def test_users_without_training_are_left_out() -> None:
    parts = without_cold(np.array([0, 0, 1, 1, 2]), np.array([TRAIN, TEST, VALID, TEST, TRAIN]))
    assert parts.tolist() == [TRAIN, TEST, LEFT_OUT, LEFT_OUT, TRAIN]


def test_cold_items_have_features_and_no_training_interaction(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert split("--cold-items=0.5", "--seed=1") == 0
    parts = written(toy, "cold_items_0_5")
    training = {row[1] for row in parts["train"]}
    chosen = {part: {row[1] for row in parts[part]} - training - {NO_FEATURES} for part in ("valid", "test")}
    assert len(chosen["valid"]) == len(chosen["test"]) == 1
    assert chosen["valid"] != chosen["test"]
    users = {part: {row[0] for row in parts[part]} for part in PARTS}
    assert users["valid"] | users["test"] <= users["train"]
    rows = [row for part in PARTS for row in parts[part]]
    assert Counter(rows) <= Counter((user, item, str(time)) for user, item, time in ROWS)
    printed = capsys.readouterr().out
    assert ("left out" in printed) == (len(rows) < len(ROWS))
    settings = yaml.safe_load((toy / "cold_items_0_5.yaml").read_text())
    assert settings == {"benchmark_filename": [f"cold_items_0_5.{part}" for part in PARTS]}


def test_cold_users(toy: Path) -> None:
    assert split("--cold-users=0.5", "--name=mine") == 0
    parts = written(toy, "mine")
    users = {part: {row[0] for row in parts[part]} for part in PARTS}
    assert len(users["train"]) == 2
    assert len(users["valid"] - users["train"]) == len(users["test"] - users["train"]) == 1
    assert Counter(row for part in PARTS for row in parts[part]) == Counter(
        (user, item, str(time)) for user, item, time in ROWS
    )


def test_min_history(toy: Path) -> None:
    assert split("--min-history=2", "--valid=0.2", "--test=0.2") == 0
    parts = written(toy, "min_history_2")
    assert parts["test"] == [("v", "c", "9"), ("u", NO_FEATURES, "5"), ("w", "007", "3")]
    assert parts["valid"] == [("u", "d", "4")]  # the others would keep less than two


def test_filters_that_a_split_passes_by_are_named(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (toy / "toy.yaml").open("a") as settings:
        settings.write("rm_dup_inter: first\nitem_inter_num_interval: '[2,inf)'\n")
    assert split("--min-history=2") == 0
    assert "item_inter_num_interval, rm_dup_inter: RecBole does not filter" in capsys.readouterr().out


def test_a_split_of_a_split(toy: Path) -> None:
    """The parts of a set that comes split are put together and divided anew."""
    assert split("--min-history=2", "--name=first") == 0
    keys = yaml.safe_load((toy / "toy.yaml").read_text()) | yaml.safe_load((toy / "first.yaml").read_text())
    (toy / "toy.yaml").write_text(yaml.safe_dump(keys))
    (toy / "toy.inter").unlink()
    assert split("--cold-users=0.5", "--name=second") == 0
    rows = [row for part in PARTS for row in written(toy, "second")[part]]
    assert Counter(rows) == Counter((user, item, str(time)) for user, item, time in ROWS)


def test_a_split_is_trained_on(toy: Path) -> None:
    items = ["007", "b", "c", "d", NO_FEATURES, "e"]  # without e, user u has interacted with all
    (toy / "toy.item").write_text("item_id:token\n" + "".join(f"{item}\n" for item in items))
    assert split("--min-history=2") == 0
    command = ["run", "--model=MHCR", "--dataset=toy", "--data_path=.", f"--config_files={toy / 'min_history_2.yaml'}"]
    assert main([*command, "--epochs=1", "--topk=[2]", "--valid_metric=MRR@2", "--knn_k=2", "--embedding_size=4"]) == 0


def test_an_interrupted_split_leaves_nothing(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(path.name for path in toy.iterdir())

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("recbole_mm.base.files.os.replace", stop)
    assert split("--min-history=2") == 130
    assert sorted(path.name for path in toy.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cold-items=1.5"], "--cold-items is 1.5: it must be a share between 0 and 1"),
        (["--cold-users=0"], "--cold-users is 0: it must be a share between 0 and 1"),
        (["--min-history=0"], "--min-history is 0: it must be a whole number of at least 1"),
        (["--min-history=2", "--valid=0.6", "--test=0.5"], "--valid 0.6 and --test 0.5 must be shares that leave"),
        (["--min-history=50"], "the valid and test part would be empty (train 12, valid 0, test 0 interactions)"),
        (["--min-history=2", "--data_path=elsewhere"], "the folder of dataset 'toy' does not exist"),
    ],
)
def test_mistakes_are_one_line(
    toy: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert split(*arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(toy.glob("*.train.inter"))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([7.0] * len(ROWS), "toy: all 12 interactions have the timestamp 7: nothing can be ordered by time. Write re"),
        ([*range(11), ""], "toy.inter, line 14: timestamp is missing or not finite: correct it, or remove the line"),
    ],
)
def test_times_that_order_nothing_are_one_line(
    toy: Path, times: list[Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{user}\t{item}\t{time}" for (user, item, _), time in zip(ROWS, times, strict=True)]
    lines.insert(3, "")
    (toy / "toy.inter").write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines]))
    keys = yaml.safe_load((toy / "toy.yaml").read_text()) | {"load_col": {"inter": ["user_id", "item_id"]}}
    (toy / "toy.yaml").write_text(yaml.safe_dump(keys))
    assert split("--min-history=2") == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_one_item_cannot_be_divided(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(toy / "image.npy", np.eye(1))
    (toy / "image.ids").write_text("b\n")
    assert split("--cold-items=0.1") == 2
    assert "1 items with features and interactions are too few" in capsys.readouterr().err


def test_a_split_is_not_overwritten_unasked(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert split("--min-history=2") == 0
    before = written(toy, "min_history_2")
    assert split("--min-history=2", "--test=0.4") == 2
    assert "toy.min_history_2.train.inter" in capsys.readouterr().err
    assert written(toy, "min_history_2") == before
    assert split("--min-history=2", "--test=0.4", "--overwrite") == 0
    assert written(toy, "min_history_2") != before


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("name", ["toy", "mine", "broken"])
def test_other_settings_are_never_overwritten(
    toy: Path, name: str, overwrite: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (toy / "mine.yaml").write_text("benchmark_filename: [mine.train, mine.valid, mine.test]\nepochs: 3\n")
    (toy / "broken.yaml").write_text("since: 2026-13-01\n")  # no date, and no yaml
    before = {path.name: path.read_bytes() for path in toy.iterdir()}
    assert split("--min-history=2", f"--name={name}", *overwrite) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith(f"{name}.yaml is kept for other settings than a split: give another --name")
    assert {path.name: path.read_bytes() for path in toy.iterdir()} == before


def test_a_split_never_has_the_name_of_its_dataset(toy: Path) -> None:
    (toy / "toy.yaml").unlink()
    assert split("--min-history=2", "--name=toy", "--overwrite") == 2
    assert not (toy / "toy.yaml").exists()


def test_an_item_without_a_list_in_parquet_has_no_features(toy: Path) -> None:
    ids = [f"i{number}" for number in range(40)]
    lines = [f"u{user}\t{item}\t{user + place}" for place, item in enumerate(ids) for user in range(6)]
    (toy / "toy.inter").write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines]))
    table = {"item_id": ids, "x": [[1.0, 2.0] if number < 10 else None for number in range(40)]}
    pq.write_table(pa.table(table), toy / "image.parquet")
    (toy / "toy.yaml").write_text("load_col:\nmodalities: {image: {file: image.parquet}}\n")
    assert split("--cold-items=0.9", "--valid=0", "--test=0") == 0
    parts = written(toy, "cold_items_0_9")
    cold = {row[1] for part in ("valid", "test") for row in parts[part]} - {row[1] for row in parts["train"]}
    assert len(cold) == 9
    assert cold <= set(ids[:10])


@pytest.mark.parametrize("form", ["text", "quoted", "parquet", "split"])
def test_features_of_items_that_are_left_out_are_accepted(toy: Path, form: str) -> None:
    """The item `rare` is that of a user without a training interaction, and there is no `.item` file."""
    quote = '"' if form == "quoted" else ""  # which is read line by line
    rows = [(f"u{user}", f"i{(user + place) % 9}", 10 * place + user) for user in range(9) for place in range(6)]
    rows.append(("late", f"{quote}rare{quote}", 100))
    lines = [f"{user}\t{item}\t{time}" for user, item, time in rows]
    (toy / "toy.inter").write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines]))
    if form == "parquet":
        users, items, times = map(list, zip(*rows, strict=True))
        pq.write_table(pa.table({"user_id": users, "item_id": items, "timestamp": times}), toy / "toy.inter.parquet")
        (toy / "toy.inter").unlink()
    (toy / "toy.broken.inter").write_bytes(b"\xff\n")  # is not loaded
    np.save(toy / "image.npy", np.eye(10))
    (toy / "image.ids").write_text("".join(f"i{number}\n" for number in range(9)) + "rare\n")
    assert split("--time", "--name=first") == 0
    used = "first"
    if form == "split":  # of a split whose parts are all that there is
        (toy / "toy.inter").rename(toy / "toy.whole.inter")
        keys = yaml.safe_load((toy / "toy.yaml").read_text())
        (toy / "toy.yaml").write_text(yaml.safe_dump(keys | {"benchmark_filename": ["whole"]}))
        assert split("--time", "--name=second") == 0
        used = "second"
    request = Request("MHCR", "toy", [str(toy / f"{used}.yaml")], {"data_path": "."})
    dataset = load_dataset(configure(request))
    assert int(dataset.modality_mask("image").sum()) == 9
    (toy / "image.ids").write_text("".join(f"i{number}\n" for number in range(9)) + "other\n")
    with pytest.raises(InputError, match="1 of 10 item ids are not in the dataset: 'other'"):
        load_dataset(configure(request))


def test_recbole_s_own_files_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", "ml-100k", "--min-history=5"]) == 2
    assert "ml-100k lies inside RecBole's installation: copy its folder" in capsys.readouterr().err
