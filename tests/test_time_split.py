"""Splits by time: by hand, through RecBole's own and the command's, and the warning where training knows the future."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparisons import in_this_process
from hypothesis import given
from hypothesis import strategies as st

from recbole_mm.commands.cli import main
from recbole_mm.comparison import compare as comparing
from recbole_mm.data.coldstart import TEST, TRAIN, VALID, by_time
from recbole_mm.inspection.statistics import UserTimes, known_future

TS = "--eval_args={'split': {'TS': [0.8, 0.1, 0.1]}, 'order': 'TO', 'group_by': 'user', 'mode': 'full'}"


def test_parts_by_hand() -> None:
    """Of 10 times, the last for the test and the one before it for validation; the same time is in one part."""
    times = np.array([3.0, 1, 2, 9, 10, 5, 6, 7, 8, 4])
    assert by_time(times, (0.1, 0.1)).tolist() == [TRAIN, TRAIN, TRAIN, VALID, TEST, *[TRAIN] * 5]
    assert by_time(np.array([1.0, 1, 2, 2, 2, 2]), (0.2, 0.2)).tolist() == [TRAIN] * 6


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.sampled_from([(0.1, 0.1), (0.2, 0.3), (0.0, 0.5)]))
def test_nothing_in_a_part_is_later_than_the_next(times: list[int], shares: tuple[float, float]) -> None:
    found = np.array(times, dtype=float)
    parts = by_time(found, shares)
    for part in (TRAIN, VALID):
        later = found[parts > part]
        assert not len(later) or found[parts <= part].max(initial=-1) < later.min()
    assert (parts == TEST).sum() <= shares[1] * len(times) + 1


def test_what_training_knows_by_hand() -> None:
    """User 1 was trained until 5, user 2 until 9; user 3 not at all."""
    train = UserTimes(np.array([1, 1, 2]), np.array([4.0, 5, 9]))
    held_out = UserTimes(np.array([1, 1, 2, 2, 3]), np.array([3.0, 6, 8, 9, 10]))
    assert known_future(train, held_out) == (3, 2)
    assert known_future(train, UserTimes(np.array([3]), np.array([9.0]))) == (0, 0)
    nobody = UserTimes(np.empty(0, dtype=int), np.empty(0))
    assert known_future(nobody, held_out) == known_future(train, nobody) == (0, 0)


@pytest.fixture
def sparse(tmp_path: Path) -> str:
    """Write interactions of users who come one after the other, of whom the last ones have none before the split."""
    draw, folder = np.random.default_rng(3), tmp_path / "data/sparse"
    folder.mkdir(parents=True)
    lines = [
        f"u{user}\ti{item}\t{8 * user + 20 * place}.0"
        for user in range(30)
        for place, item in enumerate(draw.permutation(12)[:8])
    ]
    text = "user_id:token\titem_id:token\ttimestamp:float\n" + "\n".join(lines) + "\n"
    (folder / "sparse.inter").write_text(text, encoding="utf-8")
    (folder / "sparse.yaml").write_text("load_col: {inter: [user_id, item_id, timestamp]}\n", encoding="utf-8")
    return f"--data_path={tmp_path / 'data'}"


def times_of(file: Path) -> tuple[set[str], list[float]]:
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()[1:]]
    return {user for user, _, _ in rows}, [float(time) for *_, time in rows]


def test_the_command_writes_parts_in_the_order_of_time(
    sparse: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "in_processes", in_this_process)
    assert main(["split", "sparse", sparse, "--time", "--valid=0.2", "--test=0.2"]) == 0
    said = capsys.readouterr().out
    assert "their users have no training interaction" in said
    folder = Path(sparse.partition("=")[2]) / "sparse"
    (known, first), (valid, second), (test, third) = (
        times_of(folder / f"sparse.time.{part}.inter") for part in ("train", "valid", "test")
    )
    assert max(first) < min(second) <= max(second) < min(third)
    assert valid | test <= known
    command = shlex.split(said.strip().splitlines()[-1])
    assert command[:2] == ["recbole-mm", "run"]
    assert main(["inspect", "sparse", "--model=BPR", sparse, command[-1]]) == 0
    assert "training interaction:" not in capsys.readouterr().out
    given = [sparse, command[-1], "--epochs=1", "--num-seeds=1", "--MAX_ITEM_LIST_LENGTH=5"]
    assert main(["compare", "--models=Pop,SASRec", "--datasets=sparse", *given]) == 0  # on the same interactions


@pytest.mark.parametrize("split", [["--time", "--valid=0"], ["--time", "--test=0"]])
def test_an_empty_part_is_refused(split: list[str], sparse: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", "sparse", sparse, *split]) == 2
    assert "part would be empty" in capsys.readouterr().err
    assert not list(Path(sparse.partition("=")[2]).rglob("*.train.inter"))


def test_without_times_it_says_so(sparse: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(sparse.partition("=")[2]) / "sparse/sparse.inter"
    lines = [line.rpartition("\t")[0] for line in file.read_text(encoding="utf-8").splitlines()]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    file.with_name("sparse.yaml").unlink()
    assert main(["split", "sparse", sparse, "--time"]) == 2
    assert "has no timestamp: nothing can be split by time" in capsys.readouterr().err


MICROVIDEO = ["--dataset=microvideo", f"--data_path={Path(__file__).parents[1] / 'dataset'}"]


@pytest.mark.parametrize("model", ["MHCR", "SASRec"])
def test_recboles_split_by_time_runs(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    small: list[Any] = ["--epochs=1", "--train_batch_size=1024", "--MAX_ITEM_LIST_LENGTH=5"]
    small += ["--train_neg_sample_args=None"] if model == "SASRec" else []
    assert main(["run", f"--model={model}", *MICROVIDEO, TS, *small]) == 0
    capsys.readouterr()
    assert main(["inspect", "microvideo", f"--model={model}", MICROVIDEO[1], TS, *small[1:]]) == 0
    said = capsys.readouterr().out
    assert "of the valid split" in said  # RecBole's validation is the last of every user before the test
    assert "of the test split" not in said
