"""Telling TensorBoard, MLflow or Weights & Biases what result.json holds of a run, after every epoch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any, Protocol

ABOUT = ("model", "dataset", "dataset_hash", "seed", "valid_metric", "n_parameters", "folder")
ENDED = {"best_epoch": "best_epoch", "epochs": "epochs", "seconds": "total_seconds"}  # by its name in result.json
PARAMETERS = 100  # that MLflow takes at a time
MOST_TEXT = 500  # of one


class Tracker(Protocol):
    """What is told of a run."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Take the values of an epoch, from 0, by name."""

    def end(self, status: str, values: Mapping[str, float]) -> None:
        """Take what the run has found, and how it ended: finished, interrupted or failed."""


class TensorBoardTracker:
    """Scalars in the events that RecBole's trainer writes, in the folder `tensorboard` of the run."""

    def __init__(self, writer: Any) -> None:
        self.writer, self.last = writer, 0

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        self.last = number
        for name, value in values.items():
            self.writer.add_scalar(name, value, number)
        self.writer.flush()

    def end(self, status: str, values: Mapping[str, float]) -> None:
        self.epoch(self.last, values)


class MLflowTracker:
    """A run of MLflow, in the experiment `recbole-mm` or that of `MLFLOW_EXPERIMENT_NAME`.

    One that is resumed goes on as the same run, which is found by its folder.
    """

    def __init__(self, about: Mapping[str, Any]) -> None:
        library = importlib.import_module("mlflow")
        entities = importlib.import_module("mlflow.entities")
        variables = importlib.import_module("mlflow.environment_variables")
        name = variables.MLFLOW_EXPERIMENT_NAME.get() or "recbole-mm"
        self.client: Any = library.MlflowClient()
        known = self.client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self.client.create_experiment(name)
        folder = str(about["folder"])
        begun = self.client.search_runs([experiment], f"tags.folder = '{folder}'", max_results=1)
        if begun:
            self.id: str = begun[0].info.run_id
            self.client.update_run(self.id, "RUNNING")
            return
        tags = {name: str(about[name]) for name in ABOUT}
        self.id = self.client.create_run(experiment, run_name=Path(folder).name, tags=tags).info.run_id
        settings = [(name, str(value)[:MOST_TEXT]) for name, value in about["config"].items() if value is not None]
        for start in range(0, len(settings), PARAMETERS):
            some = [entities.Param(*pair) for pair in settings[start : start + PARAMETERS]]
            self.client.log_batch(self.id, params=some)

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():  # MLflow has no @ in names
            self.client.log_metric(self.id, name.replace("@", "_at_"), value, step=number)

    def end(self, status: str, values: Mapping[str, float]) -> None:
        self.epoch(0, values)
        self.client.set_terminated(self.id, {"finished": "FINISHED", "interrupted": "KILLED"}.get(status, "FAILED"))


class WandbTracker:
    """A run of Weights & Biases, in the project of `wandb_project`; one that is resumed goes on as the same run."""

    def __init__(self, about: Mapping[str, Any]) -> None:
        folder, config = Path(about["folder"]), about["config"]
        self.run: Any = importlib.import_module("wandb").init(
            project=config.get("wandb_project") or "recbole-mm", dir=str(folder), name=folder.name, id=folder.name,
            resume="allow", config={**config, **{name: about[name] for name in ABOUT}},
        )  # fmt: skip

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=number)

    def end(self, status: str, values: Mapping[str, float]) -> None:
        self.run.summary.update({**values, "status": status})
        self.run.finish(exit_code=0 if status == "finished" else 1)


class Trackers:
    """All that are asked for; one that fails, as without a network, is left out from then on, with a warning.

    Parameters
    ----------
    names : sequence of str
        Of `recbole_mm.configuration.tracker_names.TRACKERS`.
    about : mapping
        What result.json holds of a run from its beginning.
    trainer : object
        RecBole's, which writes events for TensorBoard.
    """

    def __init__(self, names: Sequence[str], about: Mapping[str, Any], trainer: Any) -> None:
        makers: dict[str, Callable[[], Tracker]] = {
            "tensorboard": lambda: TensorBoardTracker(trainer.tensorboard),
            "mlflow": lambda: MLflowTracker(about),
            "wandb": lambda: WandbTracker(about),
        }
        self.trackers: dict[str, Tracker] = {}
        self.n_told = len(trainer.history)
        for name in names:
            try:
                self.trackers[name] = makers[name]()
            except Exception as error:  # libraries of others, and their servers
                self._leave_out(name, error)

    def tell(self, result: Mapping[str, Any]) -> None:
        """Tell what is new in what result.json holds: epochs, and the end of the run."""
        news = result["history"][self.n_told :]
        self.n_told = len(result["history"])
        for name, tracker in list(self.trackers.items()):
            try:
                for entry in news:
                    tracker.epoch(entry["epoch"], dict(_of_epoch(entry)))
                if result["status"] != "running":
                    tracker.end(result["status"], dict(_of_end(result)))
            except Exception as error:
                del self.trackers[name]
                self._leave_out(name, error)

    def _leave_out(self, name: str, error: Exception) -> None:
        reason = " ".join(str(error).split())[:200]
        getLogger().warning(f"log: {name} is told no more ({type(error).__name__}: {reason}); the run goes on")


def _of_epoch(entry: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name in ("train_loss", "seconds", "valid_score"):
        if entry.get(name) is not None:
            yield name, float(entry[name])
    for metric, value in (entry["valid"] or {}).items():
        yield f"valid/{metric}", float(value)


def _of_end(result: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, told in ENDED.items():
        if result.get(name) is not None:
            yield told, float(result[name])
    for device, size in result["peak_memory_mib"].items():
        if size is not None:
            yield f"peak_memory_mib/{device}", float(size)
    for split in ("valid", "test"):
        for metric, value in (result.get(split) or {}).items():
            yield f"best/valid/{metric}" if split == "valid" else f"test/{metric}", float(value)
