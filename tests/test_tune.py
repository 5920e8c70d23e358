"""`recbole-mm tune` as a user types it: a whole sweep, its mistakes, and the pieces between."""

from __future__ import annotations

import csv
import ipaddress
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml
from model_contract import DATASETS
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from ray.tune import schedulers

from recbole_mm import cli
from recbole_mm.errors import InputError
from recbole_mm.request import Request
from recbole_mm.run import run
from recbole_mm.tuning import progress
from recbole_mm.tuning.asked import ask, read_asked
from recbole_mm.tuning.plan import Plan, n_drawn
from recbole_mm.tuning.record import Sweep, Trial
from recbole_mm.tuning.scheduling import lasting
from recbole_mm.tuning.space import Domain
from recbole_mm.tuning.store import Store, around, within
from recbole_mm.tuning.sweep import load
from recbole_mm.tuning.tune import Unfinished, _report, finals_table, verdict

ROOT = Path(__file__).resolve().parents[1]
DATA = ["--dataset=microvideo", f"--data_path={DATASETS}"]
EPOCHS = 30
SETTINGS = {"epochs": EPOCHS, "stopping_step": EPOCHS, "embedding_size": 16, "threads": 1}
PATIENCE = 150  # seconds
RATES = {"learning_rate": Domain("choice", (0.02, 1e-5, 1e30))}


def command_of(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "recbole_mm", "tune", *arguments]


def tune(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, as Ray is for the whole process."""
    return subprocess.run(
        command_of(*arguments),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def environment() -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "RAY_USE_MULTIPROCESSING_CPU_COUNT": "1",  # Ray's CPUs are os.cpu_count() in a container, too
        "RAY_worker_niceness": "0",  # by default 15: other tests would starve a trial
    }


def write_space(folder: Path, space: dict[str, Domain]) -> str:
    file = folder / "space.yaml"
    file.write_text(yaml.safe_dump({name: domain.described() for name, domain in space.items()}), encoding="utf-8")
    return f"--space={file}"


def trials(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


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
                if list(sweep.glob("trial_*_00001/checkpoint_000003/*")):
                    break
                assert driver.poll() is None, (folder / "said").read_text(encoding="utf-8")
                Event().wait(0.05)
            else:
                pytest.fail("the second trial made no checkpoint")
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
    assert "--resume goes on with what the sweep was asked: leave out --epochs=3" in capsys.readouterr().err
    assert cli.main(["tune", *DATA, f"--storage={swept.folder.parent}", "--name=one"]) == 2
    assert "has a sweep: go on with it by --resume, or give another --name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--num-samples=-1"], "command line: num_samples must be at least 0, not -1"),
        (["--grace=0"], "command line: grace must be at least 1"),
        (["--final-seeds=0"], "command line: final_seeds must be at least 1, not 0"),
        (["--space=nowhere.yaml"], "--space: nowhere.yaml cannot be read"),
        (["--model=Pop"], "--space: there is no default space for Pop; write one"),
        (["--model=MCHR"], "'MCHR' is no model. Did you mean 'MHCR'?"),
        (["--epochs=0"], "epochs is 0: it must be a whole number of at least 1"),
        (["--eval_step=0"], "eval_step is 0: a sweep chooses by validation"),
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
    asked = ask(Request("BPR", "microvideo", settings={"data_path": str(tmp_path / "data")}), RATES, Plan())
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.yaml").write_text(
        replace(asked, data_hash=load(asked).hash).to_yaml(), encoding="utf-8"
    )
    (file,) = (tmp_path / "data").glob("*/*.inter")
    file.write_text(file.read_text(encoding="utf-8").rpartition("\n")[0].rpartition("\n")[0] + "\n", encoding="utf-8")
    assert cli.main(["tune", "--resume=sweep"]) == 2
    assert "are not those that the sweep in sweep began with: put them back" in capsys.readouterr().err


def test_a_stopped_sweep_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(folder: str, *_: Any, **__: Any) -> None:
        raise Unfinished(folder, "when 1 of 4 trials had ended")

    monkeypatch.setattr("recbole_mm.tuning.tune.resume", stopped)
    assert cli.main(["tune", "--resume=/a b", "--address=auto", "--final-seeds=3"]) == 130
    assert capsys.readouterr().err == (
        "\nstopped when 1 of 4 trials had ended; go on with\nrecbole-mm tune '--resume=/a b' --address=auto\n"
    )


def test_a_folder_without_a_sweep_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tune", "--resume=nowhere"]) == 2
    assert "--resume nowhere: there is no sweep, whose sweep.yaml tells" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"lerning_rate": Domain("uniform", (0.1, 0.2))}, r"^--space: 'lerning_rate' .* Did you mean 'learning_rate'"),
        ({"hyper_num": Domain("choice", (8, 0))}, r"^--space, hyper_num 0: .*hyper_num must be at least 1"),
        ({"alpha": Domain("uniform", (-1.0, 1.0))}, r"^--space, alpha -1.0: .*alpha must be at least 0"),
        ({"learning_rate": Domain("uniform", (0.0, 1.0))}, r"^--space, learning_rate 0.0: learning_rate is 0.0"),
    ],
)
def test_a_value_that_a_setting_cannot_have_is_refused_before_any_trial(space: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        ask(Request("MHCR", "microvideo", settings={"data_path": str(DATASETS)}), space, Plan())


def test_what_was_asked_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(
        "embedding_size: 8\nlearning_rate: 1e-3\ntrain_neg_sample_args:\n", encoding="utf-8"
    )
    monkeypatch.chdir(DATASETS.parent)
    settings = {"data_path": "dataset", "topk": "[5,10]", "loss_type": "CE"}
    request = Request("SASRec", "microvideo", [str(tmp_path / "a.yaml")], settings)
    space = {"n_layers": Domain("randint", (1, 2)), "hidden_size": Domain("choice", (8, 16))}
    asked = ask(request, space, Plan(num_samples=3, cpus_per_trial=2.0))
    again = read_asked(asked.to_yaml(), "sweep.yaml")
    assert again == asked
    monkeypatch.chdir(tmp_path)  # neither the files nor the folder are asked again
    (tmp_path / "a.yaml").unlink()
    config = again.config({"n_layers": 1})
    assert (config["embedding_size"], config["learning_rate"], config["topk"]) == (8, 0.001, [5, 10])
    assert (config["n_layers"], config["threads"]) == (1, 2)
    assert config["train_neg_sample_args"]["distribution"] == "none"
    assert Path(config["data_path"]) == DATASETS / "microvideo"
    assert again.first == [{"n_layers": 2, "hidden_size": 64}]


@pytest.mark.parametrize("text", ["", "1", "model: BPR", "model: [", "model: BPR\nspace: {x: {chioce: [1]}}\nplan: {}"])
def test_what_tells_of_no_sweep_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^sweep\.yaml"):
        read_asked(text, "sweep.yaml")


def test_number_of_trials() -> None:
    space = {"a": Domain("choice", (1, 2, 3)), "b": Domain("randint", (1, 2))}
    assert n_drawn(Plan(), space) == 16
    assert n_drawn(Plan(num_samples=5, search="random"), space) == 5
    assert n_drawn(Plan(search="grid"), space) == 6
    assert n_drawn(Plan(num_samples=2, search="grid"), space) == 12


def test_a_scheduler_spares_the_defaults_and_remembers_what_was_before(tmp_path: Path) -> None:
    def scheduler() -> Any:
        kind = lasting(schedulers.ASHAScheduler, [{"x": 1}], str(tmp_path))
        return kind(time_attr="epoch", grace_period=2, max_t=9, reduction_factor=3, metric="score", mode="max")

    def decisions(trial: Any, score: float) -> list[str]:
        return [now.on_trial_result(None, trial, {"epoch": epoch, "score": score}) for epoch in (1, 2)]

    good, poor, default = (SimpleNamespace(trial_id=str(x), config={"x": x}) for x in (3, 2, 1))
    now = scheduler()
    for trial in (good, poor, default):
        now.on_trial_add(None, trial)
    assert decisions(good, 0.9) == ["CONTINUE"] * 2
    assert decisions(poor, 0.1) == ["CONTINUE", "STOP"]
    assert decisions(default, 0.1) == ["CONTINUE"] * 2

    (tmp_path / "trial_3").mkdir()
    lines = [json.dumps({"epoch": epoch, "score": 0.9}) for epoch in (1, 2)]
    (tmp_path / "trial_3" / "result.json").write_text("\n".join([*lines, lines[0][:9]]), encoding="utf-8")
    now = scheduler()
    for trial in (good, poor):
        now.on_trial_add(None, trial)
    assert decisions(poor, 0.1) == ["CONTINUE", "STOP"]


def test_a_store_is_a_folder_here_or_elsewhere(tmp_path: Path) -> None:
    elsewhere = Store(str(tmp_path / "there"))
    elsewhere.fs, elsewhere.path = SubTreeFileSystem(str(tmp_path), LocalFileSystem()), "there"
    (tmp_path / "there").mkdir()
    for store in (Store(f"file://{tmp_path}/here"), elsewhere):
        assert store.read("x.txt") is None
        store.write("x.txt", "ä\n")
        store.write("x.txt", "ö\n")
        assert store.read("x.txt") == "ö\n"
        with store.folder("final") as folder:
            (folder / "run").mkdir(parents=True)
            (folder / "run" / "result.json").write_text("{}", encoding="utf-8")
        assert store.read("final/run/result.json") == "{}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "there"]
    assert Store("a/b").address == str(tmp_path / "a" / "b")


def test_addresses_keep_their_options() -> None:
    address = within("s3://bucket/sweeps?region=x", "one")
    assert address == "s3://bucket/sweeps/one?region=x"
    assert around(address) == "s3://bucket/sweeps?region=x"
    assert within("a/b", "one") == "a/b/one"
    assert around("/a/b/one") == "/a/b"


def ray_trial(number: int, status: str, **result: Any) -> Any:
    """Return what of a trial of Ray's is shown."""
    words = {name: name for name in ("PENDING", "RUNNING", "TERMINATED", "ERROR")}
    score = result.get("score")
    analysis = {} if score is None else {"score": {"max": score, "min": score / 2}}
    return SimpleNamespace(
        **words, status=status, trial_id=str(number), experiment_tag=f"{number}_x", config={"x": number / 3},
        last_result=result, metric_analysis=analysis, is_finished=lambda: status in ("TERMINATED", "ERROR"),
    )  # fmt: skip


SHOWN = [
    ray_trial(10, "PENDING"),
    ray_trial(4, "ERROR"),
    ray_trial(1, "TERMINATED", epoch=9, score=0.2, finished=True),
    ray_trial(2, "RUNNING", epoch=3, score=0.1),
    ray_trial(3, "TERMINATED", epoch=5, score=0.4, finished=False),
]


def test_the_table_has_running_trials_first_and_then_the_best() -> None:
    head, names, _, *rows = progress.table(SHOWN, 16, "NDCG@10", True).splitlines()
    assert head == "3 of 16 trials ended; best NDCG@10 0.4000"
    assert names.split() == ["trial", "status", "epoch", "NDCG@10", "x"]
    assert [row.split()[:2] for row in rows] == [
        ["2", "running"], ["3", "stopped"], ["1", "finished"], ["4", "failed"],
    ]  # fmt: skip
    assert rows[1].split()[2:] == ["5", "0.4000", "1"]
    assert progress.table(SHOWN, 16, "RMSE", False).startswith("3 of 16 trials ended; best RMSE 0.0500")


def test_the_table_is_drawn_anew_on_a_terminal_and_elsewhere_a_trial_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    request = Request("BPR", "microvideo", settings={"data_path": str(DATASETS)})
    reporter = progress.progress(ask(request, RATES, Plan()), said.append)
    assert reporter.should_report(SHOWN)
    reporter.report(SHOWN, False)
    assert [line.split(":")[0] for line in said] == [
        "trial 1 of 16 finished after 9 epochs, MRR@10 0.2000",
        "trial 3 of 16 stopped after 5 epochs, MRR@10 0.4000",
        "trial 4 of 16 failed after 0 epochs",
    ]
    assert not reporter.should_report(SHOWN)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    del said[:]
    reporter.report(SHOWN, False)
    assert not reporter.should_report(SHOWN)  # not twice within two seconds
    assert reporter.should_report(SHOWN, done=True)
    reporter.report(SHOWN, True)
    assert said[1] == f"\x1b[{len(said[0].splitlines())}A\x1b[J{said[0]}"
    assert max(map(len, said[0].splitlines())) == 20


def test_a_winner_that_was_stopped_is_trained_as_long_as_it_was(tmp_path: Path) -> None:
    asked = ask(Request("BPR", "microvideo", settings={"data_path": str(DATASETS)}), RATES, Plan(num_samples=1))
    store = Store(str(tmp_path / "sweep"))

    def chosen(status: str) -> dict[str, Any]:
        scores = {1: 0.1, 3: 0.2, 5: 0.1}  # validated every second epoch
        epochs = tuple(
            {"epoch": n, "valid_score": score, "seconds": 1.0, "train_loss": 1.0} for n, score in scores.items()
        )
        trial = Trial("0001", {"learning_rate": 0.02}, status, "", epochs)
        _report(asked, Sweep("BPR", "microvideo", "MRR@10", True, (trial,), None, 1.0), store, lambda line: None)
        best: dict[str, Any] = yaml.safe_load(store.read("best.yaml") or "")
        return best

    assert chosen("stopped")["epochs"] == 6
    assert "epochs" not in chosen("finished")
    with pytest.raises(Unfinished, match="stopped when 0 of 1 trials had ended"):
        chosen("running")


def test_a_sweep_in_which_all_trials_fail_says_why(tmp_path: Path) -> None:
    asked = ask(Request("BPR", "microvideo", settings={"data_path": str(DATASETS)}), RATES, Plan(num_samples=1))
    trial = Trial("0001", {"learning_rate": 1e30}, "failed", "the loss is NaN", ())
    found = Sweep("BPR", "microvideo", "MRR@10", True, (trial,), None, 1.0)
    with pytest.raises(InputError, match=r"no trial has a score: the loss is NaN; trials\.csv in .* has all errors"):
        _report(asked, found, Store(str(tmp_path / "sweep")), lambda line: None)
    assert "the loss is NaN" in (tmp_path / "sweep" / "trials.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("scores", "bigger", "said"),
    [
        ((0.2, 0.25), True, "best X in validation: 0.2500, by 0.0500 better than the defaults' 0.2000 (+25.0 %)"),
        ((0.2, 0.15), False, "best X in validation: 0.1500, by 0.0500 better than the defaults' 0.2000 (+25.0 %)"),
        ((0.2, 0.1), True, "no trial is better than the defaults: X 0.2000 in validation"),
        ((None, 0.1), True, "best X in validation: 0.1000; the defaults have none to compare it with"),
    ],
)
def test_the_verdict(scores: Any, bigger: bool, said: str) -> None:
    tried = tuple(
        Trial(str(n), {}, "finished", "", ({"epoch": 0, "valid_score": score},)) for n, score in enumerate(scores)
    )
    assert verdict(Sweep("BPR", "microvideo", "X", bigger, tried, scores[0], 1.0)) == said


def test_finals_are_means_and_deviations() -> None:
    def table(seeds: Sequence[int], *values: float) -> list[list[str]]:
        lines = finals_table({"seeds": seeds, "valid": {"mrr@10": values}, "test": {"mrr@10": values}}).splitlines()
        return [lines[0].split("  "), lines[2].split()]

    assert table([7], 0.25)[1] == ["mrr@10", "0.2500", "0.2500"]
    assert table([7, 8], 0.1, 0.3)[1] == ["mrr@10", *["0.2000", "±", "0.1414"] * 2]
    assert table([7, 8], 0.1, 0.3)[0][0] == "seeds 7, 8"
