"""`recbole-mm compare --tune-trials` as a user types it: killed while it tunes, gone on with, and without a test."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml
from model_contract import DATASETS
from new_process import begun, command
from sweeping import environment

from recbole_mm.commands import cli
from recbole_mm.comparison import compare as comparing

pytestmark = pytest.mark.slow  # left out by `make quick`

DATA = ["--datasets=microvideo", f"--data_path={DATASETS}", "--epochs=2", "--use_gpu=False"]
ROWS = ["--models=VBPR,Pop,BPR", "--controls=shuffled", "--tune-trials=2", "--num-seeds=2"]


def finished(folder: Path, kind: str) -> dict[Path, dict[str, Any]]:
    """Return what the results of all finished runs, or trials, tell."""
    found = {file: json.loads(file.read_bytes()) for file in folder.glob(f"{kind}/*/*/*/*/result.json")}
    return {file: result for file, result in found.items() if result["status"] == "finished"}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Return a comparison that was killed after its first trial, and then was gone on with."""
    folder = tmp_path_factory.mktemp("tuned")
    arguments = ["compare", *ROWS, *DATA, "--out=out"]
    driver = begun(*arguments, cwd=folder, env=environment(), said=folder / "said")
    while not finished(folder / "out", "trials"):
        assert driver.is_running(), (folder / "said").read_text(encoding="utf-8")
        psutil.wait_procs([driver], timeout=0.1)
    children = driver.children(recursive=True)
    driver.kill()
    driver.wait()
    psutil.wait_procs(children, timeout=20)
    first, runs = finished(folder / "out", "trials"), list(folder.glob("out/runs"))
    done = command(*arguments, cwd=folder, env=environment())
    return SimpleNamespace(folder=folder, out=folder / "out", arguments=arguments, first=first, runs=runs, done=done)


def test_finished_trials_are_kept_and_the_rest_is_trained(tuned: SimpleNamespace) -> None:
    assert tuned.runs == []  # no run of the table before the choice
    assert tuned.done.returncode == 0, tuned.done.stderr
    trials = finished(tuned.out, "trials")
    assert 1 <= len(tuned.first) < len(trials) == 4
    assert tuned.first.items() <= trials.items()
    assert f"4 trials, {len(tuned.first)} already finished" in tuned.done.stdout
    assert "8 runs, 0 already finished" in tuned.done.stdout


def test_no_trial_was_tested(tuned: SimpleNamespace) -> None:
    for file, result in finished(tuned.out, "trials").items():
        assert not [key for key in result if "test" in key]
        assert [one.name for one in file.parent.iterdir()] == ["result.json"]
        assert result["seed"] == 2020


def test_the_best_trial_is_what_the_seeds_are_trained_with(tuned: SimpleNamespace) -> None:
    told = json.loads((tuned.out / "result.json").read_text(encoding="utf-8"))
    for choice in (one for one in told["tuned"] if one["row"] != "Pop"):
        stem = tuned.out / "tuned" / "microvideo" / choice["row"]
        with stem.with_suffix(".csv").open(encoding="utf-8", newline="") as stream:
            scores = [float(row["valid_mrr@10"]) for row in csv.DictReader(stream)]
        assert choice["trial"] == scores.index(max(scores)) + 1
        assert choice["valid"] == {"mrr@10": max(scores)}
        content = yaml.safe_load(stem.with_suffix(".yaml").read_text(encoding="utf-8"))
        assert content == {"model": choice["row"], "dataset": "microvideo", "epochs": 2, **choice["settings"]}
        runs = [run for run in told["runs"] if run["row"].partition(",")[0] == choice["row"]]
        assert {(run["row"], run["seed"]) for run in runs} >= {(choice["row"], 2020), (choice["row"], 2021)}
        for run in runs:
            config = json.loads((Path(run["folder"]) / "result.json").read_text(encoding="utf-8"))["config"]
            assert {name: config[name] for name in choice["settings"]} == choice["settings"]
            assert config.get("shuffle_features") == (1 if "shuffled" in run["row"] else None)
        (first,) = (run for run in runs if (run["row"], run["seed"]) == (choice["row"], 2020))
        assert first["valid"]["mrr@10"] == max(scores)  # the trial, trained again


def test_the_table_says_how_rows_were_tuned_and_tests_controls_against_their_model(tuned: SimpleNamespace) -> None:
    table = (tuned.out / "table.md").read_text(encoding="utf-8")
    assert [line.split("|")[1].strip() for line in table.splitlines()[4:8]] == [
        "VBPR", "VBPR, shuffled features", "Pop", "BPR",
    ]  # fmt: skip
    assert "tuned by 2 trials each on validation, but for Pop (no search space, not tuned). A variant has" in table
    told = json.loads((tuned.out / "result.json").read_text(encoding="utf-8"))
    assert ("VBPR, shuffled features", "VBPR") in {(one["label"], one["against"]) for one in told["differences"]}
    assert "no search space" in (tuned.out / "compare.html").read_text(encoding="utf-8")


def test_more_trials_keep_those_that_are_there(
    tuned: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tuned.folder)
    asked = []

    def stopped(planned: Any, jobs: int) -> Any:
        asked.extend(one.title for one in planned)
        raise KeyboardInterrupt

    monkeypatch.setattr(comparing, "in_processes", stopped)
    assert cli.main(["--tune-trials=3" if one == "--tune-trials=2" else one for one in tuned.arguments]) == 130
    assert asked == ["VBPR on microvideo, trial 3", "BPR on microvideo, trial 3"]
    captured = capsys.readouterr()
    assert "6 trials, 4 already finished" in captured.out
    assert "interrupted after 4 of 6 trials; resume with the same command" in captured.err
    lines = (tuned.out / "tuned" / "microvideo" / "BPR.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == ["finished", "finished", "not trained yet"]
    assert cli.main(tuned.arguments) == 0  # as it was: nothing is trained
    assert len(asked) == 2
    assert "8 runs, 8 already finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--models=BPR", "--tune-trials=-1"], "tune_trials must be at least 0"),
        (["--models=VBPR", "--controls=shufled"], "--controls: invalid value 'shufled' (valid: shuffled)"),
        (["--models=BPR,Pop", "--controls=shuffled"], "--controls=shuffled: no row reads features"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", *DATA, *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert not (tmp_path / "saved").exists()
