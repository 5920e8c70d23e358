"""The pieces of a sweep, and one on two nodes of Ray: on this machine, each with a CPU and what counts as a GPU."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml
from model_contract import DATASETS
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from ray.tune import schedulers
from sweeping import DATA, RATES, environment, trials, tune, write_space

from recbole_mm.base.errors import InputError, Unfinished
from recbole_mm.configuration.request import Request
from recbole_mm.settings.space import Domain
from recbole_mm.tuning import sweep_progress
from recbole_mm.tuning.scheduling import keep_restorable, lasting
from recbole_mm.tuning.searching import SweepOptions, n_drawn
from recbole_mm.tuning.spec import read_spec, sweep_spec
from recbole_mm.tuning.store import Store, around, within
from recbole_mm.tuning.trials import Sweep, Trial
from recbole_mm.tuning.tune import _report, finals_table, verdict

pytestmark = pytest.mark.slow  # left out by `make quick`


OPEN = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}  # by default a cluster wants a token


@contextmanager
def node(folder: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a node of Ray, and end all of its processes behind the block."""
    command = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--block",
        "--num-cpus=1",
        "--num-gpus=1",
        *arguments,
    ]
    env = environment() | OPEN
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            family = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            _, alive = psutil.wait_procs(family, timeout=30)
            for one in alive:
                one.kill()


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Return the address of two nodes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    port = address.partition(":")[2]
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder, ExitStack() as nodes:
        head = ("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")
        both = [head, (f"--address={address}", "--node-ip-address=127.0.0.2")]
        for arguments in both:  # the second joins the first, and gives up where that is not there yet
            process = nodes.enter_context(node(folder, *arguments))
            assert process.stdout is not None
            said = b""
            for line in process.stdout:
                said += line
                if b"Ray runtime started" in line:
                    break
            else:
                pytest.fail(f"Ray did not start: {said.decode()}")
        os.environ.update(OPEN)
        try:
            yield address
        finally:
            for name in OPEN:
                os.environ.pop(name)


def test_a_sweep_runs_on_every_node_of_a_cluster(cluster: str, tmp_path: Path) -> None:
    space = {"learning_rate": Domain("loguniform", (1e-3, 1e-2))}
    done = tune(
        tmp_path, "--model=BPR", *DATA, write_space(tmp_path, space), "--num-samples=2", "--scheduler=none",
        "--epochs=100", "--stopping_step=100",  # long enough for both nodes to have started
        "--gpus-per-trial=0.5", f"--address={cluster}", "--storage=shared", "--name=two",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [row["status"] for row in trials(tmp_path / "shared" / "two")] == ["finished"] * 2
    told = [
        json.loads(line)
        for file in (tmp_path / "shared" / "two").glob("trial_*/result.json")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    assert len({(one["trial_id"], one["node_ip"]) for one in told}) == len({one["node_ip"] for one in told}) == 2
    assert {one["gpu"] for one in told} == {"0"}


def test_what_was_asked_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(
        "embedding_size: 8\nlearning_rate: 1e-3\ntrain_neg_sample_args:\n", encoding="utf-8"
    )
    monkeypatch.chdir(DATASETS.parent)
    settings = {"data_path": "dataset", "topk": "[5,10]", "loss_type": "CE"}
    request = Request("SASRec", "microvideo", [str(tmp_path / "a.yaml")], settings)
    space = {"n_layers": Domain("randint", (1, 2)), "hidden_size": Domain("choice", (8, 16))}
    spec = sweep_spec(request, space, SweepOptions(num_samples=3, cpus_per_trial=2.0))
    again = read_spec(spec.to_yaml(), "sweep.yaml")
    assert again == spec
    monkeypatch.chdir(tmp_path)  # neither the files nor the folder are spec again
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
        read_spec(text, "sweep.yaml")


def test_number_of_trials() -> None:
    space = {"a": Domain("choice", (1, 2, 3)), "b": Domain("randint", (1, 2))}
    assert n_drawn(SweepOptions(), space) == 16
    assert n_drawn(SweepOptions(num_samples=5, search="random"), space) == 5
    assert n_drawn(SweepOptions(search="grid"), space) == 6
    assert n_drawn(SweepOptions(num_samples=2, search="grid"), space) == 12


@pytest.mark.parametrize("kept", [(4, 5), ()])
def test_a_noted_checkpoint_that_is_gone_is_replaced_by_the_newest(kept: tuple[int, ...], tmp_path: Path) -> None:
    for number in (*kept, 6):
        folder = tmp_path / "trial" / f"checkpoint_00000{number}"
        folder.mkdir(parents=True)
        (folder / "trainer.pth").write_text(str(number))
        (folder / "history.json").write_text("[" if number == 6 else "[{}]")  # the last is not whole
    noted = tmp_path / "trial" / "checkpoint_000003"
    trial = SimpleNamespace(checkpoint=SimpleNamespace(filesystem=LocalFileSystem(), path=str(noted)))
    keep_restorable(trial, 7)
    state = noted / "trainer.pth"
    assert [state.read_text()] == ["5"] if kept else not state.exists()
    assert (noted / "reported.txt").read_text() == "7"
    state.write_text("own")
    keep_restorable(trial, 8)
    assert state.read_text() == "own"
    assert (noted / "reported.txt").read_text() == "8"
    keep_restorable(SimpleNamespace(checkpoint=None), 0)


def test_a_scheduler_spares_the_defaults_and_remembers_what_was_before(tmp_path: Path) -> None:
    def scheduler() -> Any:
        kind = lasting(schedulers.ASHAScheduler, [{"x": 1}], str(tmp_path))
        return kind(time_attr="epoch", grace_period=2, max_t=9, reduction_factor=3, metric="score", mode="max")

    def decisions(trial: Any, score: float) -> list[str]:
        return [now.on_trial_result(None, trial, {"epoch": epoch, "score": score}) for epoch in (1, 2)]

    good, poor, default = (SimpleNamespace(checkpoint=None, trial_id=str(x), config={"x": x}) for x in (3, 2, 1))
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
    head, names, _, *rows = sweep_progress.table(SHOWN, 16, "NDCG@10").splitlines()
    assert head == "3 of 16 trials ended; best NDCG@10 0.4000"
    assert names.split() == ["trial", "status", "epoch", "NDCG@10", "x"]
    assert [row.split()[:2] for row in rows] == [
        ["2", "running"], ["3", "stopped"], ["1", "finished"], ["4", "failed"],
    ]  # fmt: skip
    assert rows[1].split()[2:] == ["5", "0.4000", "1"]
    assert sweep_progress.table(SHOWN, 16, "RMSE").startswith("3 of 16 trials ended; best RMSE 0.0500")


def test_the_table_is_drawn_anew_on_a_terminal_and_elsewhere_a_trial_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    request = Request("BPR", "microvideo", settings={"data_path": str(DATASETS)})
    reporter = sweep_progress.progress(sweep_spec(request, RATES, SweepOptions()), said.append)
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
    spec = sweep_spec(
        Request("BPR", "microvideo", settings={"data_path": str(DATASETS)}), RATES, SweepOptions(num_samples=1)
    )
    store = Store(str(tmp_path / "sweep"))

    def chosen(status: str) -> dict[str, Any]:
        scores = {1: 0.1, 3: 0.2, 5: 0.1}  # validated every second epoch
        epochs = tuple(
            {"epoch": n, "valid_score": score, "seconds": 1.0, "train_loss": 1.0} for n, score in scores.items()
        )
        trial = Trial("0001", {"learning_rate": 0.02}, status, "", epochs)
        _report(spec, Sweep("BPR", "microvideo", "MRR@10", (trial,), None, 1.0), store, lambda line: None)
        best: dict[str, Any] = yaml.safe_load(store.read("best.yaml") or "")
        return best

    assert chosen("stopped")["epochs"] == 6
    assert "epochs" not in chosen("finished")
    with pytest.raises(Unfinished, match="interrupted after 0 of 1 trial"):
        chosen("running")


def test_a_sweep_in_which_all_trials_fail_says_why(tmp_path: Path) -> None:
    spec = sweep_spec(
        Request("BPR", "microvideo", settings={"data_path": str(DATASETS)}), RATES, SweepOptions(num_samples=1)
    )
    trial = Trial("0001", {"learning_rate": 1e30}, "failed", "the loss is NaN", ())
    found = Sweep("BPR", "microvideo", "MRR@10", (trial,), None, 1.0)
    with pytest.raises(InputError, match=r"no trial has a score: the loss is NaN; trials\.csv in .* has all errors"):
        _report(spec, found, Store(str(tmp_path / "sweep")), lambda line: None)
    assert "the loss is NaN" in (tmp_path / "sweep" / "trials.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("scores", "metric", "said"),
    [
        ((0.2, 0.25), "MRR", "best X in validation: 0.2500, by 0.0500 better than the defaults' 0.2000 (+25.0 %)"),
        ((0.2, 0.15), "RMSE", "best X in validation: 0.1500, by 0.0500 better than the defaults' 0.2000 (+25.0 %)"),
        ((0.2, 0.1), "MRR", "no trial is better than the defaults: X 0.2000 in validation"),
        ((None, 0.1), "MRR", "best X in validation: 0.1000; the defaults have none to compare it with"),
    ],
)
def test_the_verdict(scores: Any, metric: str, said: str) -> None:
    tried = tuple(
        Trial(str(n), {}, "finished", "", ({"epoch": 0, "valid_score": score},)) for n, score in enumerate(scores)
    )
    assert verdict(Sweep("BPR", "microvideo", metric, tried, scores[0], 1.0)) == said.replace("X", metric)


def test_finals_are_means_and_deviations() -> None:
    def table(seeds: Sequence[int], *values: float) -> list[list[str]]:
        lines = finals_table({"seeds": seeds, "valid": {"mrr@10": values}, "test": {"mrr@10": values}}).splitlines()
        return [lines[0].split("  "), lines[2].split()]

    assert table([7], 0.25)[1] == ["mrr@10", "0.2500", "0.2500"]
    assert table([7, 8], 0.1, 0.3)[1] == ["mrr@10", *["0.2000", "±", "0.1414"] * 2]
    assert table([7, 8], 0.1, 0.3)[0][0] == "seeds 7, 8"
