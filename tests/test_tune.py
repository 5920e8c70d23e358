"""`recbole-mm tune` as a user types it: a whole sweep, killed and resumed, and its mistakes."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from model_contract import DATASETS
from new_process import PATIENCE
from sweeping import DATA, RATES, command_of, environment, trials, tune, write_space

from recbole_mm.base.errors import InputError, Unfinished
from recbole_mm.commands import cli
from recbole_mm.configuration.request import Request
from recbole_mm.data.identity import data_hash
from recbole_mm.settings.space import Domain
from recbole_mm.training.run import run
from recbole_mm.tuning.searching import SweepOptions
from recbole_mm.tuning.spec import sweep_spec
from recbole_mm.tuning.sweep import load_shared

pytestmark = pytest.mark.slow  # left out by `make quick`


EPOCHS = 30
SETTINGS = {"epochs": EPOCHS, "stopping_step": EPOCHS, "embedding_size": 16, "threads": 1}


def reported(folder: Path) -> list[dict[str, Any]]:
    file = folder / "result.json"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def listening(process: psutil.Process) -> list[tuple[str, str]]:
    """Return the command line and the address of every socket on which a process listens."""
    try:
        words, sockets = " ".join(process.cmdline()), process.net_connections("inet")
    except psutil.NoSuchProcess:
        return []
    return [(words, one.laddr.ip) for one in sockets if one.status == psutil.CONN_LISTEN]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Return a sweep that was killed in its second trial, and resumed; its third is stopped, its fourth fails."""
    folder = tmp_path_factory.mktemp("swept")
    sweep = folder / "sweeps" / "one"
    command = command_of(
        "--model=BPR", *DATA, write_space(folder, RATES), "--search=grid", "--grace=5", "--checkpoint-every=2",
        "--storage=sweeps", "--name=one", "--final-seeds=2",
        f"--cpus-per-trial={os.cpu_count()}",  # so that trials take turns
        *(f"--{name}={value}" for name, value in SETTINGS.items()),
    )  # fmt: skip
    with (
        (folder / "said").open("wb") as said,
        subprocess.Popen(command, cwd=folder, env=environment(), stdout=said, stderr=said) as driver,
    ):
        try:
            for _ in range(PATIENCE * 20):
                if any(len(reported(trial)) >= 8 for trial in sweep.glob("trial_*_00001")):
                    break  # the driver has been told of more than one checkpoint
                assert driver.poll() is None, (folder / "said").read_text(encoding="utf-8")
                Event().wait(0.05)
            else:
                pytest.fail("the second trial did not come to its eighth epoch")
            family = psutil.Process(driver.pid).children(recursive=True)
            heard = [socket for process in family for socket in listening(process)]
        finally:
            driver.kill()
    folders = sorted(sweep.glob("trial_*"))
    killed = [reported(one) for one in folders]
    done = tune(folder, "--resume", str(sweep))
    yield SimpleNamespace(
        code=done.returncode, out=done.stdout, err=done.stderr, first_out=(folder / "said").read_text(encoding="utf-8"),
        folder=sweep, killed=killed, reported=[reported(one) for one in folders], heard=heard,
    )  # fmt: skip
    for orphan in psutil.wait_procs(family, timeout=0)[1]:  # Ray's own end a minute after their driver
        orphan.kill()


def test_a_sweep_listens_to_this_machine_alone_and_has_no_dashboard(swept: SimpleNamespace) -> None:
    assert swept.heard
    assert all(ipaddress.ip_address(ip.removeprefix("::ffff:")).is_loopback for _, ip in swept.heard)
    assert not any("dashboard.py" in words for words, _ in swept.heard)


def test_a_killed_sweep_goes_on_where_it_was(swept: SimpleNamespace) -> None:
    assert swept.code == 0, swept.err
    assert [len(one) for one in swept.killed][:1] == [EPOCHS + 1]
    assert swept.reported[0] == swept.killed[0]  # kept
    half, again = swept.killed[1], swept.reported[1][len(swept.killed[1]) :]
    assert 8 <= len(half) < EPOCHS
    assert again[0]["epoch"] >= 7  # from a checkpoint
    best = {**SETTINGS, "learning_rate": 0.02, "data_path": str(DATASETS)}
    straight = run(Request("BPR", "microvideo", settings=best))["history"]
    curve = {one["epoch"] - 1: (one["score"], one["train_loss"]) for one in half + again}
    assert curve == {one["epoch"]: (one["valid_score"], one["train_loss"]) for one in straight}


def test_a_sweep_goes_on_past_a_trial_that_fails_and_stops_a_poor_one(swept: SimpleNamespace) -> None:
    rows = trials(swept.folder)
    assert [row["status"] for row in rows] == ["finished", "finished", "stopped", "failed"]
    assert [row["learning_rate"] for row in rows] == ["0.001", "0.02", "1e-05", "1e+30"]  # the defaults first
    assert [row["epochs_trained"] for row in rows] == [str(EPOCHS), str(EPOCHS), "5", "0"]
    assert rows[3]["error"].startswith("BPR: the training loss is")
    assert float(rows[1]["best_score"]) > float(rows[0]["best_score"]) > 0


def test_best_yaml_gives_the_same_validation(swept: SimpleNamespace, tmp_path: Path) -> None:
    best = trials(swept.folder)[1]
    assert cli.main(["run", f"--config_files={swept.folder / 'best.yaml'}"]) == 0
    (file,) = tmp_path.glob("saved/*/result.json")
    result = json.loads(file.read_text(encoding="utf-8"))
    assert result["valid"]["mrr@10"] == float(best["best_score"])
    assert result["best_epoch"] == int(best["best_epoch"])
    final = json.loads((swept.folder / "final.json").read_text(encoding="utf-8"))
    assert final["seeds"] == [2020, 2021]
    assert final["valid"]["mrr@10"][0] == result["valid"]["mrr@10"]
    assert final["test"]["mrr@10"][0] == result["test"]["mrr@10"]
    assert final["test"]["mrr@10"][1] != result["test"]["mrr@10"]
    assert len(list(swept.folder.glob("final/*/result.json"))) == 2


def test_a_sweep_says_little_and_ends_with_what_it_gained(swept: SimpleNamespace) -> None:
    first, *later = swept.first_out.splitlines()
    assert first == f"sweep of BPR on microvideo, 4 trials, in {swept.folder}"
    assert [line.partition(",")[0] for line in later] == [f"trial 1 of 4 finished after {EPOCHS} epochs"]
    lines = swept.out.splitlines()
    assert any(line.startswith("trial 3 of 4 stopped after 5 epochs, MRR@10 0.") for line in lines)
    assert "trial 4 of 4 failed after 0 epochs: learning_rate 1e+30" in lines
    defaults, best = (float(row["best_score"]) for row in trials(swept.folder)[:2])
    assert lines[-1].startswith(
        f"best MRR@10 in validation: {best:.4f}, by {best - defaults:.4f} better than the default"
    )
    assert "Traceback" not in swept.err
    assert "WARNING" not in swept.err
    assert "<h1>Sweep of BPR on microvideo</h1>" in (swept.folder / "sweep.html").read_text(encoding="utf-8")


def test_a_finished_sweep_is_not_searched_again(swept: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    before = (swept.folder / "final.json").read_text(encoding="utf-8")
    assert cli.main(["tune", f"--resume={swept.folder}"]) == 0
    assert "better than the defaults'" in capsys.readouterr().out
    assert (swept.folder / "final.json").read_text(encoding="utf-8") == before
    assert cli.main(["tune", f"--resume={swept.folder}", "--epochs=3"]) == 2
    assert "--resume takes the settings of the sweep: leave out --epochs=3" in capsys.readouterr().err
    assert cli.main(["tune", *DATA, f"--storage={swept.folder.parent}", "--name=one"]) == 2
    assert "has a sweep: resume it with --resume, or give another --name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--num-samples=-1"], "command line: num_samples must be at least 0, not -1"),
        (["--grace=0"], "command line: grace must be at least 1"),
        (["--final-seeds=0"], "command line: final_seeds must be at least 1, not 0"),
        (["--space=nowhere.yaml"], "--space: nowhere.yaml cannot be read"),
        (["--model=Pop"], "--space: there is no default space for Pop; write one"),
        (["--model=MCHR"], "unknown model 'MCHR'; the nearest are MHCR, "),
        (["--epochs=0"], "epochs is 0: it must be a whole number of at least 1"),
        (["--eval_step=0"], "eval_step is 0: it must be a whole number of at least 1"),
        (["--knn_k=0"], "the configuration: knn_k must be at least 1, not 0"),
        (["--search=grid"], "--search=grid: learning_rate is loguniform, which has no grid"),
        (["--data_path=nowhere"], "nowhere"),
        (["--storage=file"], "sweep.yaml cannot be written to"),
        (["--storage=nothing://x"], "--storage: nothing://x/"),
    ],
)
def test_mistakes_are_one_line_before_any_trial(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("x", encoding="utf-8")
    assert cli.main(["tune", *DATA, *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert error.count("\n") == 0
    assert {path.name for path in tmp_path.iterdir()} <= {"file"}


def test_a_sweep_does_not_go_on_with_other_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(DATASETS / "microvideo", tmp_path / "data" / "microvideo")
    spec = sweep_spec(
        Request("BPR", "microvideo", settings={"data_path": str(tmp_path / "data")}), RATES, SweepOptions()
    )
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.yaml").write_text(
        replace(spec, data_hash=data_hash(load_shared(spec).whole)).to_yaml(), encoding="utf-8"
    )
    (file,) = (tmp_path / "data").glob("*/*.inter")
    file.write_text(file.read_text(encoding="utf-8").rpartition("\n")[0].rpartition("\n")[0] + "\n", encoding="utf-8")
    assert cli.main(["tune", "--resume=sweep"]) == 2
    assert "are not those that the sweep in sweep began with: put them back" in capsys.readouterr().err


def test_a_stopped_sweep_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(folder: str, *_: Any, **__: Any) -> None:
        raise Unfinished("after 1 of 4 trials", folder)

    monkeypatch.setattr("recbole_mm.commands.tune.resume", stopped)
    assert cli.main(["tune", "--resume=/a b", "--address=auto", "--final-seeds=3"]) == 130
    assert capsys.readouterr().err == (
        "\ninterrupted after 1 of 4 trials; resume with\nrecbole-mm tune '--resume=/a b' --address=auto\n"
    )


def test_a_folder_without_a_sweep_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tune", "--resume=nowhere"]) == 2
    assert "--resume nowhere: not a sweep folder: it has no sweep.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (
            {"lerning_rate": Domain("uniform", (0.1, 0.2))},
            r"^--space: unknown setting 'lerning_rate'.* Did you mean 'learning_rate'",
        ),
        ({"hyper_num": Domain("choice", (8, 0))}, r"^--space, hyper_num 0: .*hyper_num must be at least 1"),
        ({"alpha": Domain("uniform", (-1.0, 1.0))}, r"^--space, alpha -1.0: .*alpha must be at least 0"),
        ({"learning_rate": Domain("uniform", (0.0, 1.0))}, r"^--space, learning_rate 0.0: learning_rate is 0.0"),
    ],
)
def test_a_value_that_a_setting_cannot_have_is_refused_before_any_trial(space: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        sweep_spec(Request("MHCR", "microvideo", settings={"data_path": str(DATASETS)}), space, SweepOptions())
