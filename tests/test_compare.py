"""`recbole-mm compare` as a user types it: killed, gone on with, by processes and by Ray."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ending
import numpy as np
import psutil
import pytest
from comparisons import in_this_process
from model_contract import DATASETS
from new_process import begun, command
from sweeping import environment

from recbole_mm.commands import cli
from recbole_mm.comparison import compare as comparing
from recbole_mm.comparison.planned_runs import PlannedRun
from recbole_mm.comparison.rows import PlannedRow
from recbole_mm.comparison.running import in_processes
from recbole_mm.comparison.training import write_error
from recbole_mm.configuration.request import Request
from recbole_mm.training.trainer import RunTrainer

pytestmark = pytest.mark.slow  # left out by `make quick`


DATA = ["--datasets=microvideo", f"--data_path={DATASETS}", "--epochs=2", "--MAX_ITEM_LIST_LENGTH=5", "--use_gpu=False"]
HIDDEN = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 1}


def cells(folder: Path) -> dict[Path, bytes]:
    """Return the results of all finished cells."""
    files = {file: file.read_bytes() for file in folder.glob("runs/*/*/*/*/result.json")}
    return {file: content for file, content in files.items() if json.loads(content)["status"] == "finished"}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Return a comparison that was killed after its first cell, and then was gone on with by Ray."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "sasrec.yaml").write_text(json.dumps(HIDDEN))
    (folder / "broken.yaml").write_text("model: BPR\nlearning_rate: 1.0e+30\n")
    settings = ["--settings=SASRec=sasrec.yaml", "--settings=broken=broken.yaml"]
    arguments = ["compare", "--models=BPR,SASRec", *DATA, *settings, "--num-seeds=2", "--out=out"]
    driver = begun(*arguments, "--jobs=2", cwd=folder, env=environment(), said=folder / "said")
    while not cells(folder / "out"):
        assert driver.is_running(), (folder / "said").read_text(encoding="utf-8")
        psutil.wait_procs([driver], timeout=0.1)
    children = driver.children(recursive=True)
    driver.kill()
    driver.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    first = cells(folder / "out")
    done = command(*arguments, "--ray", cwd=folder, env=environment())
    return SimpleNamespace(
        folder=folder, out=folder / "out", arguments=arguments, children=children, alive=alive, first=first, done=done
    )


def test_a_kill_leaves_no_process_and_what_was_finished_is_kept(killed: SimpleNamespace) -> None:
    assert killed.children
    assert killed.alive == []
    after = cells(killed.out)
    assert 1 <= len(killed.first) < len(after) == 4
    assert killed.first.items() <= after.items()


def test_a_failed_cell_is_marked_and_does_not_stop_the_rest(killed: SimpleNamespace) -> None:
    assert killed.done.returncode == 1, killed.done.stderr
    assert "broken on microvideo, seed 2021: failed: BPR: the training loss is nan" in killed.done.stdout
    table = (killed.out / "table.md").read_text(encoding="utf-8")
    (line,) = (line for line in table.splitlines() if line.startswith("| broken"))
    assert line.count("failed") == 5
    assert table.splitlines()[2] == "| model | Recall@10 | MRR@10 | NDCG@10 | Hit@10 | Precision@10 |"
    failed = [cell for cell in told(killed)["runs"] if cell["error"]]
    assert [(cell["row"], cell["seed"]) for cell in failed] == [("broken", 2020), ("broken", 2021)]
    assert "loss is nan" in (killed.out / "compare.html").read_text(encoding="utf-8")


def told(killed: SimpleNamespace) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((killed.out / "result.json").read_text(encoding="utf-8"))
    return result


def test_the_folder_has_the_tables_the_tests_and_every_cell(killed: SimpleNamespace) -> None:
    names = {file.name for file in killed.out.iterdir()}
    written = {
        "table.md",
        "table.csv",
        "table.tex",
        "groups.md",
        "groups.csv",
        "differences.csv",
        "compare.html",
        "result.json",
    }
    assert names == {"runs", *written}
    result = told(killed)
    assert result["command"].startswith("recbole-mm compare --models=BPR,SASRec")
    finished = [cell for cell in result["runs"] if not cell["error"]]
    with (killed.out / "table.csv").open(encoding="utf-8", newline="") as stream:
        rows = {(row["model"], row["split"], row["metric"]): row for row in csv.DictReader(stream)}
    for cell in finished:
        assert cell["held_out"] == finished[0]["held_out"]
        assert cell["test"]["ndcg@10"] == float(rows[cell["row"], "test", "ndcg@10"][f"seed_{cell['seed']}"])
    assert {one["over"] for one in result["differences"]} == {"users", "seeds"}
    assert all(
        (one["label"], one["against"]) in (("SASRec", "BPR"), ("BPR", "SASRec")) for one in result["differences"]
    )


def test_a_cell_is_the_run_of_its_settings(killed: SimpleNamespace, tmp_path: Path) -> None:
    (cell,) = (cell for cell in told(killed)["runs"] if (cell["row"], cell["seed"]) == ("SASRec", 2021))
    settings = [f"--{key}={value}" for key, value in cell["settings"].items()]
    files = f"--config_files={' '.join(cell['config_files'])}"
    assert cli.main(["run", "--model=SASRec", "--dataset=microvideo", *settings, files]) == 0
    (file,) = (tmp_path / "saved").glob("*/result.json")
    result = json.loads(file.read_text(encoding="utf-8"))
    assert (result["test"], result["valid"]) == (cell["test"], cell["valid"])
    assert result["best_epoch"] == cell["best_epoch"]
    with np.load(file.parent / "test_users.npz", allow_pickle=False) as users:
        assert users["user"].tolist() == sorted(users["user"].tolist(), key=users["user"].tolist().index)
        assert len(users["user"]) == 300
        assert users["ndcg@10"].mean() == pytest.approx(result["test"]["ndcg@10"], abs=6e-5)


def test_what_is_there_is_not_trained_again(
    killed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(killed.folder)
    before, trained = cells(killed.out), []

    def none(cells: Any, jobs: int) -> Any:
        trained.extend((cell.row.label, cell.seed) for cell in cells)
        return iter(())

    monkeypatch.setattr(comparing, "in_processes", none)
    assert cli.main(killed.arguments) == 1
    assert trained == [("broken", 2020), ("broken", 2021)]  # what failed is tried again
    assert "6 runs, 4 already finished" in capsys.readouterr().out
    arguments = ["--num-seeds=3" if one == "--num-seeds=2" else one for one in killed.arguments if "broken" not in one]
    trained.clear()
    assert cli.main(arguments) == 1  # one more seed
    assert trained == [("BPR", 2022), ("SASRec", 2022)]
    table = (killed.out / "table.md").read_text(encoding="utf-8")
    assert "BPR (2 of 3 seeds)" in table
    assert cells(killed.out) == before


ALONE = [
    *("compare", "--models=BPR", "--datasets=microvideo", f"--data_path={DATASETS}", "--use_gpu=False"),
    *("--last_state_every=0", "--num-seeds=1"),
]


def test_a_training_that_was_killed_goes_on_from_its_last_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(comparing, "in_processes", in_this_process)
    assert cli.main([*ALONE, "--epochs=4", "--out=whole"]) == 0
    ending.killed(monkeypatch, [*ALONE, "--epochs=4", "--out=part"], 2)
    check, epochs = RunTrainer._check_nan, list[int]()

    def counted(self: Any, loss: Any) -> None:
        check(self, loss)
        epochs.append(len(self.history))

    monkeypatch.setattr(RunTrainer, "_check_nan", counted)
    assert cli.main([*ALONE, "--epochs=4", "--out=part"]) == 0
    assert set(epochs) == {2, 3}
    (part,), (whole,) = (cells(tmp_path / out).values() for out in ("part", "whole"))
    for key in ("valid", "test", "best_epoch"):
        assert json.loads(part)[key] == json.loads(whole)[key]
    assert not list((tmp_path / "part").rglob("*.last"))


@pytest.mark.parametrize(("name", "content"), [("result.json", b'{"status": "fini'), ("test_users.npz", b"PK")])
def test_a_damaged_run_is_named_and_nothing_is_lost(
    name: str, content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(comparing, "in_processes", in_this_process)
    assert cli.main([*ALONE, "--epochs=1", "--out=out"]) == 0
    (folder,) = (file.parent for file in cells(tmp_path / "out"))
    (folder / name).write_bytes(content)
    assert cli.main([*ALONE, "--epochs=1", "--out=out"]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error: ")]
    assert "is damaged" in line
    assert "the same command trains BPR on microvideo, seed 2020 again" in line
    assert (folder / "BPR.pth").is_file()


def test_an_empty_error_is_of_a_run_that_has_not_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def on_a_full_disk(planned_runs: Any, jobs: int) -> Any:
        for planned in planned_runs:
            planned.folder.mkdir(parents=True)
            (planned.folder / "error.txt").touch()
            yield planned

    monkeypatch.setattr(comparing, "in_processes", on_a_full_disk)
    assert cli.main([*ALONE, "--epochs=1", "--out=out"]) == 1
    assert not cells(tmp_path / "out")
    monkeypatch.setattr(comparing, "in_processes", in_this_process)
    assert cli.main([*ALONE, "--epochs=1", "--out=out"]) == 0
    assert len(cells(tmp_path / "out")) == 1


@pytest.mark.parametrize(("given", "seeds"), [([], [2020, 2021]), (["--seed=7"], [7, 8])])
def test_a_seed_in_a_file_of_one_row_does_not_count(
    given: list[str], seeds: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trained = []

    def none(planned_runs: Any, jobs: int) -> Any:
        trained.extend((planned.row.label, planned.request.settings["seed"]) for planned in planned_runs)
        return iter(())

    monkeypatch.setattr(comparing, "in_processes", none)
    (tmp_path / "own.yaml").write_text("model: BPR\nseed: 2021\n")
    arguments = ["compare", *DATA, "--models=BPR,Pop", "--settings=BPR=own.yaml", "--num-seeds=2", *given]
    assert cli.main(arguments) == 1
    assert trained == [(model, seed) for seed in seeds for model in ("BPR", "Pop")]


def test_several_data_sets_and_nothing_that_finished(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = []

    def failing(cells: Any, jobs: int) -> Any:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"  # which RecBole's Config writes over
        for cell in cells:
            trained.append((cell.dataset, cell.row.label, cell.seed))
            write_error(cell, "Traceback\nRuntimeError: no memory")
            yield cell

    monkeypatch.setattr(comparing, "in_processes", failing)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    several = ["--datasets=microvideo,ml-100k", "--seeds=2", "--seed=7", "--topk=[5,20]", "--valid_metric=NDCG@20"]
    assert cli.main(["compare", "--models=BPR,Pop", *DATA[1:], *several]) == 1
    both = [(dataset, model) for dataset in ("microvideo", "ml-100k") for model in ("BPR", "Pop")]
    assert trained == [(*one, seed) for seed in (7, 8) for one in both]
    printed = capsys.readouterr().out
    assert "BPR on ml-100k, seed 8: failed: RuntimeError: no memory" in printed
    table = (tmp_path / "saved" / "compare-microvideo-ml-100k" / "table.md").read_text(encoding="utf-8")
    assert table in printed
    assert table.count("| Pop | failed |") == 2
    assert "### microvideo" in table


def test_a_second_command_in_the_same_folder_is_refused_and_deletes_nothing(
    killed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(killed.folder)
    before = cells(killed.out)

    def at_work(cells: Any, jobs: int) -> Any:
        second = command(*killed.arguments, env=environment())
        assert second.returncode == 2
        assert second.stderr.splitlines()[-1].endswith("wait for it, or choose another")
        return iter(())

    monkeypatch.setattr(comparing, "in_processes", at_work)
    assert cli.main(killed.arguments) == 1
    assert cells(killed.out) == before


def test_ctrl_c_writes_what_there_is_and_says_how_to_go_on(
    killed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(killed.folder)
    (killed.out / "table.md").unlink()

    def stopped(cells: Any, jobs: int) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(comparing, "in_processes", stopped)
    assert cli.main(killed.arguments) == 130
    error = capsys.readouterr().err
    assert "interrupted after 4 of 6 runs; resume with the same command" in error
    assert "--models=BPR,SASRec" in error
    assert (killed.out / "table.md").is_file()


def test_processes_end_with_the_iteration(tmp_path: Path) -> None:
    """As at Ctrl-C, of which a training itself takes no notice."""
    request = Request("BPR", "microvideo", settings={"data_path": str(DATASETS), "epochs": 100_000, "learner": "none"})
    cells = [
        PlannedRun(PlannedRow("BPR", "BPR"), "microvideo", 2020, request, tmp_path / name)
        for name in ("broken", "endless")
    ]
    settings = {**(request.settings or {}), "checkpoint_dir": str(cells[1].folder), "learner": "adam"}
    cells[1] = replace(cells[1], request=replace(request, settings=settings))

    me = psutil.Process()
    others = me.children(recursive=True)

    def training() -> list[psutil.Process]:
        """Return the processes of cells, which are children of the server that forks them."""
        return [child for child in me.children(recursive=True) if child.ppid() != me.pid and child not in others]

    running = in_processes(cells, 2)
    assert next(running) is cells[0]
    assert "learner is 'none'" in (cells[0].folder / "error.txt").read_text()
    assert len(training()) == 1
    running.close()
    assert not training()
    assert not (cells[1].folder / "error.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to compare"),
        (["--models=BPR", "--jobs=2", "--ray"], "--jobs is for processes"),
        (["--models=BPR", "--cpus=2"], "--cpus is for --ray"),
        (["--models=BPR", "--num-seeds=0"], "num_seeds must be at least 1"),
        (["--models=BPR,SASRec", "--eval_args={'split': {'RS': [8, 1, 1]}}"], "SASRec is sequential and BPR is not"),
        (["--models=BPR", "--hyper_num=8"], "BPR on microvideo: command line: unknown setting 'hyper_num'"),
        (["--models=MHCR", "--knn_k=0"], "MHCR on microvideo: the configuration: knn_k must be at least 1, not 0"),
        (["--models=BPR", "--datasets=nowhere"], "nowhere"),
        (["--models=BPR", "--datasets=microvideo,microvideo"], "--datasets names microvideo twice"),
        (["--models=BPR", "--datasets=,"], "nothing to compare on: name datasets"),
    ],
)
def test_mistakes_are_one_line_before_any_training(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = DATA[1:] if any(one.startswith("--datasets=") for one in arguments) else DATA
    assert cli.main(["compare", *data, *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("option", ["--config_files=mine.yaml", "--settings=BPR=mine.yaml"])
def test_a_mixture_does_not_replace_what_a_file_asks_for(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text("eval_args: {split: {RS: [8, 1, 1]}, order: RO, group_by: user, mode: full}\n")
    assert cli.main(["compare", *DATA, "--models=BPR,SASRec", option]) == 2
    assert "eval_args of BPR is split {'RS': [8, 1, 1]}, order RO" in capsys.readouterr().err
