"""The libraries beside the pack are asked alike, in turns, and judged by one evaluator; none of them is needed here."""

from __future__ import annotations

import io
import json
import sys
from argparse import ArgumentTypeError
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import beside_peers
from benchmarks.measuring import prepare
from benchmarks.peers import process, splits, table
from benchmarks.peers.quality import mistakes, quality
from benchmarks.peers.rounds import order, quartiles_of_ratio, take_turns
from benchmarks.peers.turns import Job, Turns

pytestmark = pytest.mark.slow

STAND_IN = """#!{python}
import json, sys
if "-c" in sys.argv:
    sys.exit(print("9.9"))
sys.argv = sys.argv[-2:]
sys.path.insert(0, {here!r})
import numpy as np
from benchmarks.peers.turns import Turns
turns = Turns()
for _ in range(turns.job.epochs):
    turns.epoch(lambda: None)
seen = set(map(tuple, turns.job.array("train").tolist()))
def lists(users):
    return np.array([[i for i in range(turns.job.n_items) if (user, i) not in seen][: turns.job.top] for user in users])
turns.give(lists)
"""


def test_quality_is_recall_and_ndcg() -> None:
    lists = np.array([[5, 1, 2], [7, 8, -1]])
    held_out = np.array([[3, 1], [3, 9], [4, 7], [6, 0]])  # user 6 has no list
    found = quality(lists, np.array([3, 4]), held_out, 3)
    assert found["recall@3"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["ndcg@3"] == pytest.approx(((1 / np.log2(3)) / (1 + 1 / np.log2(3)) + 1) / 2)
    assert quality(lists, np.array([3, 4]), held_out, 1) == {"recall@1": 0.5, "ndcg@1": 0.5}
    assert quality(np.full((2, 3), -1), np.array([3, 4]), held_out, 3)["ndcg@3"] == 0
    with pytest.raises(ValueError, match="nothing held out"):
        quality(lists, np.array([3, 5]), held_out, 3)


def test_lists_that_a_library_must_not_give_are_refused() -> None:
    users, train = np.array([0, 2]), np.array([[0, 3], [1, 1], [2, 0]])
    assert mistakes(np.array([[1, 2], [1, -1]]), users, train, 5) == []
    assert mistakes(np.array([[1, 3], [1, 2]]), users, train, 5) == ["items that the user has had in training"]
    assert mistakes(np.array([[1, 1], [1, 2]]), users, train, 5) == ["an item twice for a user"]
    assert mistakes(np.array([[1, 2], [1, 5]]), users, train, 5) == ["items that do not exist"]


def test_libraries_take_turns_and_who_goes_first_rotates() -> None:
    assert list(order("abc", 4)) == [list("abc"), list("bca"), list("cab"), list("abc")]
    turns: list[str] = []
    answers = take_turns({name: lambda name=name: turns.append(name) or {"n": len(turns)} for name in "ab"}, 2)
    assert turns == ["a", "b", "b", "a"]
    assert answers == {"a": [{"n": 1}, {"n": 4}], "b": [{"n": 2}, {"n": 3}]}
    assert quartiles_of_ratio([2, 4, 6], [1, 1, 1]) == [3, 4, 5]


def test_peers_are_read() -> None:
    assert beside_peers.peers(f"implicit={sys.executable}") == {"implicit": sys.executable}
    with pytest.raises(ArgumentTypeError, match="surprise: give NAME=PYTHON"):
        beside_peers.peers(f"surprise={sys.executable}")
    with pytest.raises(ArgumentTypeError, match="cornac: give NAME=PYTHON"):
        beside_peers.peers("cornac=nowhere/python")


def test_a_process_has_its_threads_and_says_when_it_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    found = process.environment(3, tmp_path)
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "3"
    assert found["PYTHONPATH"] == str(tmp_path)
    assert "OPENBLAS_CORETYPE" not in found
    with process.Side("echo", [sys.executable, "-c", "input(); print('{\"x\": 1}')"]) as side:
        assert side.ask("go", "its end") == {"x": 1}
        with pytest.raises(RuntimeError, match="echo ended before its lists"):
            side.ask("go", "its lists")


def job(folder: Path, **changes: Any) -> Job:
    given: dict[str, Any] = dict.fromkeys(("folder", "dataset", "model"), str(folder))
    given |= dict.fromkeys(("n_users", "n_items", "width", "batch", "epochs", "top", "threads", "seed"), 2)
    return Job(**(given | {"steps": 0, "memory": 0, "answers": str(folder / "answers.npy")} | changes))


def test_a_library_answers_in_its_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "train.npy", np.zeros((7, 2), np.int32))
    np.save(tmp_path / "users.npy", np.arange(3))
    answers = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO("epoch\n" * 3))
    monkeypatch.setattr(sys, "stdout", answers)
    monkeypatch.setattr(sys, "argv", ["side", json.dumps(asdict(job(tmp_path)))])
    turns = Turns()
    turns.wait()  # of a library that trains all by itself and calls back
    print("a library's own words")  # noqa: T201
    turns.between()
    turns.between("after", "the last one it does not wait")
    with pytest.raises(SystemExit):
        turns.give(lambda users: np.stack([users, users], axis=1))
    found = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert [one.get("interactions") for one in found] == [7, 7, None]
    assert all(one["seconds"] >= 0 and one["cpu_seconds"] >= 0 and one["peak_mib"] >= 0 for one in found)
    assert np.load(tmp_path / "answers.npy").tolist() == [[0, 0], [1, 1], [2, 2]]


def test_steps_end_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "train.npy", np.zeros((7, 2), np.int32))
    monkeypatch.setattr(sys, "stdin", io.StringIO("epoch\n" * 2))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "argv", ["side", json.dumps(asdict(job(tmp_path, steps=3)))])
    turns, batches = Turns(), []

    class Trainer:
        def _train_epoch(self, loader: Any, number: int) -> None:
            batches.append((number, list(loader)))

    turns.train(Trainer(), range(4))
    assert batches == [(0, [0, 1, 2]), (1, [0, 1, 2])]
    assert turns.trained == 6


def test_a_split_is_the_same_for_all(tmp_path: Path) -> None:
    split = splits.split_of("small", tmp_path, None, 1)
    users = splits.write(split, tmp_path / "small", "peers-small", 40, 1)
    assert len(users) == 40
    assert set(users) <= set(split.valid[:, 0])
    train, valid, _ = prepare("BPR", "peers-small", data_path=str(tmp_path / "small"))[1]
    for loader, pairs in ((train, split.train), (valid, split.valid)):
        data = loader._dataset
        tokens = [data.id2token(name, data.inter_feat[name].numpy()).astype(int) for name in ("user_id", "item_id")]
        assert sorted(zip(*tokens, strict=True)) == sorted(map(tuple, pairs.tolist()))
    with pytest.raises(ValueError, match="--source"):
        splits.split_of("baby", tmp_path, None, 1)


def test_a_library_that_failed_has_a_row() -> None:
    cells = table.row("20m", {"task": "BPR", "library": "cornac", "failed": "cornac BPR ended before its lists"})
    assert len(cells) == len(table.HEADERS)
    assert cells[:4] == ["20m", "BPR", "cornac", "cornac BPR ended before its lists"]


def test_the_pack_and_a_stand_in_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text(STAND_IN.format(python=sys.executable, here=str(Path(beside_peers.HERE).parent)))
    stand_in.chmod(0o755)
    words = ["--sizes=small", "--tasks=BPR", f"--peers=cornac={stand_in}", "--epochs=3", f"--out={tmp_path}"]
    beside_peers.main([*words, "--list_rounds=2"])
    result = json.loads((tmp_path / "peers-small.json").read_text())
    ours, theirs = result["sizes"]["small"]["rows"]
    assert (ours["library"], theirs["library"]) == ("recbole-mm", "cornac")
    assert result["versions"] == {"cornac": "9.9"}
    assert len(ours["rounds"]) == len(theirs["rounds"]) == 2  # the first epoch warms up
    assert ours["ratio"] == [1, 1, 1]
    assert ours["peak_mib"] > 0
    assert 0 < theirs["ndcg@20"] < 1
    assert capsys.readouterr().out == (tmp_path / "peers-small.md").read_text()
    stand_in.write_text('#!/bin/sh\ncase "$*" in *version*) echo 1 ;; *) exit 1 ;; esac\n')
    monkeypatch.setitem(beside_peers.TASKS, "BPR", {"cornac": ("BPR",)})
    with pytest.raises(RuntimeError, match="cornac BPR ended before the end of its epochs"):
        beside_peers.main(words)
    beside_peers.main([*words, "--alone"])
    assert "failed" in json.loads((tmp_path / "peers-small.json").read_text())["sizes"]["small"]["rows"][0]
