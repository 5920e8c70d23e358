"""Trackers: what TensorBoard, MLflow and Weights & Biases are told of a run, and a run that goes on without them."""

from __future__ import annotations

import json
import logging
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from model_contract import DATASETS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recbole_mm.commands.cli import main

RUN = ["run", "--model=BPR", "--dataset=microvideo", f"--data_path={DATASETS}", "--epochs=3", "--metrics=[Recall]"]
RUN += ["--valid_metric=Recall@10"]


def folder_of_run() -> Path:
    (folder,) = Path("saved").glob("BPR-*")
    return folder


def result_of_run() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder_of_run() / "result.json").read_text(encoding="utf-8"))
    return found


def wanted(result: dict[str, Any]) -> tuple[list[dict[str, float]], dict[str, float]]:
    """Return what trackers are to be told of every epoch, and at the end."""
    epochs = [
        {"train_loss": entry["train_loss"], "seconds": entry["seconds"], "valid_score": entry["valid_score"]}
        | {f"valid/{metric}": value for metric, value in entry["valid"].items()}
        for entry in result["history"]
    ]
    end = {"best_epoch": result["best_epoch"], "epochs": result["epochs"], "total_seconds": result["seconds"]}
    end |= {f"peak_memory_mib/{device}": size for device, size in result["peak_memory_mib"].items()}
    end |= {f"best/valid/{metric}": value for metric, value in result["valid"].items()}
    return epochs, end | {f"test/{metric}": value for metric, value in result["test"].items()}


def test_events_are_in_the_runs_folder() -> None:
    """RecBole's own are always written, in the run's folder and nowhere else; with log=tensorboard they have all."""
    assert main([*RUN, "--log=tensorboard"]) == 0
    assert not Path("log_tensorboard").exists()
    events = EventAccumulator(str(folder_of_run() / "tensorboard")).Reload()
    epochs, end = wanted(result_of_run())
    assert [event.step for event in events.Scalars("Loss/Train")] == [0, 1, 2]  # RecBole's
    for name in epochs[0]:
        found = events.Scalars(name)
        assert [event.step for event in found] == [0, 1, 2]
        assert [event.value for event in found] == pytest.approx([epoch[name] for epoch in epochs], rel=1e-6)
    for name, value in end.items():
        assert events.Scalars(name)[-1].value == pytest.approx(value, rel=1e-6)


class FakeClient:
    """MLflow's client, as far as it is used: names of metrics have no @, and a run is found by its tag."""

    runs: list[Any]

    def __init__(self) -> None:
        self.runs = []

    def get_experiment_by_name(self, name: str) -> None:
        assert name == "recbole-mm"

    def create_experiment(self, name: str) -> str:
        return "7"

    def search_runs(self, experiments: list[str], asked: str, max_results: int) -> list[Any]:
        return [run for run in self.runs if asked == f"tags.folder = '{run.tags['folder']}'"][:max_results]

    def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> Any:
        run = SimpleNamespace(info=SimpleNamespace(run_id=str(len(self.runs))), name=run_name, tags=tags)
        run.params, run.metrics, run.status = {}, [], "RUNNING"
        self.runs.append(run)
        return run

    def log_batch(self, run_id: str, params: list[tuple[str, str]]) -> None:
        assert len(params) <= 100
        self.runs[int(run_id)].params.update(params)

    def log_metric(self, run_id: str, name: str, value: float, step: int) -> None:
        assert "@" not in name
        self.runs[int(run_id)].metrics.append((name, value, step))

    def update_run(self, run_id: str, status: str) -> None:
        self.runs[int(run_id)].status = status

    set_terminated = update_run


def installed(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """Let a module of this name be found."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    module.__dict__.update(content)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    client = FakeClient()
    variable = SimpleNamespace(get=lambda: None)
    installed(monkeypatch, "mlflow", MlflowClient=lambda: client)
    installed(monkeypatch, "mlflow.entities", Param=lambda name, value: (name, value))
    installed(monkeypatch, "mlflow.environment_variables", MLFLOW_EXPERIMENT_NAME=variable)
    return client


def test_mlflow_is_told_of_every_epoch_and_of_a_resumed_run_as_the_same(mlflow: FakeClient) -> None:
    assert main([*RUN, "--log=mlflow"]) == 0
    (run,) = mlflow.runs
    result = result_of_run()
    epochs, end = wanted(result)
    told = [
        (name.replace("@", "_at_"), value, step) for step, epoch in enumerate(epochs) for name, value in epoch.items()
    ]
    assert run.metrics == [*told, *((name.replace("@", "_at_"), value, 0) for name, value in end.items())]
    assert (run.name, run.status) == (folder_of_run().name, "FINISHED")
    assert run.tags["dataset_hash"] == result["dataset_hash"]
    assert run.params["learning_rate"] == "0.001"
    run.metrics.clear()
    assert main(["run", f"--resume={folder_of_run()}", "--epochs=5", "--log=mlflow"]) == 0
    assert len(mlflow.runs) == 1
    assert [step for name, _, step in run.metrics if name == "train_loss"] == list(range(result["best_epoch"] + 1, 5))
    assert run.status == "FINISHED"


class FakeWandbRun:
    def __init__(self, **given: Any) -> None:
        self.given, self.epochs, self.summary, self.exit_code = given, {}, {}, None

    def log(self, values: dict[str, float], step: int) -> None:
        self.epochs[step] = values

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


def test_wandb_is_told_of_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []
    installed(monkeypatch, "wandb", init=lambda **given: runs.append(FakeWandbRun(**given)) or runs[-1])
    assert main([*RUN, "--log=wandb", "--wandb_project=mine"]) == 0
    (run,) = runs
    epochs, end = wanted(result_of_run())
    assert run.epochs == dict(enumerate(epochs))
    assert run.summary == {**end, "status": "finished"}
    assert run.exit_code == 0
    folder = folder_of_run()
    assert {name: run.given[name] for name in ("project", "id", "resume")} == {
        "project": "mine", "id": folder.name, "resume": "allow",
    }  # fmt: skip
    assert Path(run.given["dir"]) == folder


def test_a_tracker_that_fails_is_left_out(
    mlflow: FakeClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(mlflow, "log_metric", broken)
    installed(monkeypatch, "wandb", init=broken)
    with caplog.at_level(logging.WARNING):
        assert main([*RUN, "--log=mlflow,wandb"]) == 0
    told = [record.getMessage() for record in caplog.records if "log: " in record.getMessage()]
    assert told == [
        f"log: {name} is told no more (ConnectionError: no network); the run goes on" for name in ("wandb", "mlflow")
    ]
    assert result_of_run()["status"] == "finished"


def test_a_run_that_diverges_is_told_as_failed(mlflow: FakeClient) -> None:
    assert main([*RUN, "--log=mlflow", "--learner=sgd", "--learning_rate=1e30"]) == 2
    assert mlflow.runs[0].status == "FAILED"


@pytest.mark.parametrize(("command", "why"), [
    ([*RUN, "--log=tensorbord"], "no 'tensorbord'; there are tensorboard, mlflow, wandb. Did you mean 'tensorboard'?"),
    ([*RUN, "--log=wandb"], "wandb is not installed: pip install 'recbole-mm[wandb]', or leave it out"),
    (["tune", *RUN[1:4], "--log=tensorboard"], "a sweep has trials: leave log out"),
])  # fmt: skip
def test_mistakes_are_one_line(
    command: list[str], why: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(command) == 2
    said = capsys.readouterr().err.strip()
    assert why in said
    assert "\n" not in said
