"""One trial of a sweep: a training that reports every validation, and resumes where it stopped."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.utils import init_seed

from recbole_mm.base.errors import InputError
from recbole_mm.configuration.valid_names import data_keys
from recbole_mm.parallel.devices import devices_of_trial
from recbole_mm.recbole_bridge.engine import computing
from recbole_mm.settings.execution import Engine
from recbole_mm.settings.parameters import read_config
from recbole_mm.training import data_checks
from recbole_mm.training.build import build_model, build_trainer
from recbole_mm.tuning.data import Shared, prepare
from recbole_mm.tuning.spec import SweepSpec

STATE, HISTORY = "trainer.pth", "history.json"
REPORTED = "reported.txt"  # how many epochs of the history were reported, in a checkpoint that is restored


def train_trial(values: Mapping[str, Any], spec: SweepSpec, shared: Shared) -> None:
    """Train one model; Ray Tune calls this in a process of its own, perhaps on another machine.

    Parameters
    ----------
    values : mapping
        The searched settings of this trial.
    spec : SweepSpec
        What all trials have in common.
    shared : Shared
        The data, unless `values` change what is loaded or how it is split: then they are read from `data_path` here.
    """
    from ray import tune  # noqa: PLC0415 (heavy)

    config = spec.config({**values, **devices_of_trial()})
    with computing(read_config(Engine, config)):
        init_seed(config["seed"], config["reproducibility"])
        train, valid = (prepare(config) if data_keys() & set(values) else shared).loaders(config)
        trainer = build_trainer(config, build_model(config, train))
        n_reported = _resumed(trainer, tune.get_checkpoint())
        if n_reported is None:
            data_checks.check_scores(trainer, valid)
        else:
            for place in range(n_reported, len(trainer.history)):
                if trainer.history[place]["valid"] is not None:
                    tune.report(_told(trainer.history[: place + 1], config))

        def report(epoch: int, score: float) -> None:
            told = _told(trainer.history, config)
            if sum(one["valid"] is not None for one in trainer.history) % spec.options.checkpoint_every:
                tune.report(told)
                return
            with tempfile.TemporaryDirectory() as folder:
                _save(trainer, epoch, Path(folder))
                tune.report(told, checkpoint=tune.Checkpoint.from_directory(folder))

        trainer.fit(train, valid, saved=False, show_progress=False, callback_fn=report)
        validated = _validated(trainer.history)
        if not validated:
            raise InputError(f"{spec.model} was trained without a validation: there is nothing to choose by")
        last = trainer.history[: validated[-1] + 1]
        tune.report(_told(last, config) | {"finished": True})  # else a scheduler has stopped it


def _validated(history: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the places of the epochs with a validation."""
    return [place for place, entry in enumerate(history) if entry["valid"] is not None]


def _told(history: Sequence[Mapping[str, Any]], config: Config) -> dict[str, Any]:
    """Return what is reported of the last epoch of a history; its seconds are those since the validation before."""
    entry, before = history[-1], _validated(history[:-1])
    seconds = sum(one["seconds"] for one in history[before[-1] + 1 if before else 0 :])
    told = {"epoch": entry["epoch"] + 1, "score": entry["valid_score"], "train_loss": entry["train_loss"]}
    told |= {f"valid_{metric}": value for metric, value in (entry["valid"] or {}).items()}
    return told | {"seconds": seconds, "gpu": config["gpu_id"], "finished": False}


def _resumed(trainer: Any, checkpoint: Any) -> int | None:
    """Take up a checkpoint, and return how many epochs of its history have been reported.

    None where there is none: one that Ray had replaced when the sweep was killed is gone, and the trial begins anew.
    """
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as folder:
        state, history, reported = (Path(folder) / name for name in (STATE, HISTORY, REPORTED))
        if not (state.is_file() and history.is_file()):
            return None
        trainer.resume_checkpoint(state)
        trainer.history = json.loads(history.read_text(encoding="utf-8"))
        return int(reported.read_text(encoding="utf-8")) if reported.is_file() else len(trainer.history)


def _save(trainer: Any, epoch: int, folder: Path) -> None:
    before = trainer.saved_model_file
    trainer.saved_model_file = str(folder / STATE)
    try:
        trainer._save_checkpoint(epoch, verbose=False)
    finally:
        trainer.saved_model_file = before
    (folder / HISTORY).write_text(json.dumps(trainer.history), encoding="utf-8")
