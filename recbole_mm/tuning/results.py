"""What Ray Tune has kept of a sweep, as the record that is reported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from recbole_mm.parallel.cluster import ray_silent
from recbole_mm.tuning.spec import SweepSpec
from recbole_mm.tuning.store import Store
from recbole_mm.tuning.trials import Sweep, Trial

PREFIX = "valid_"


def read_sweep(spec: SweepSpec, store: Store, seconds: float | None = None) -> Sweep:
    """Return the record of a sweep, ended or interrupted; no Ray has to run.

    Parameters
    ----------
    spec : SweepSpec
    store : Store
        Of the sweep.
    seconds : float, optional
        Wall clock of the whole sweep, where it was carried out in one go.
    """
    from ray.tune import ExperimentAnalysis  # noqa: PLC0415 (heavy)

    config = spec.config({})
    metric = config["valid_metric"]
    with ray_silent():  # it warns of trials that have reported nothing yet
        kept = ExperimentAnalysis(store.address)
        frames = kept.trial_dataframes
    trials = tuple(trial_of(one, frames.get(one.trial_id), f"{number:04}") for number, one in numbered(kept.trials))
    first = spec.first
    default = next((trial for trial in trials if trial.params in first), None)
    score = None if default is None else default.best_score(metric)
    return Sweep(spec.model, spec.dataset, metric, trials, score, seconds, spec.space)


def trial_of(trial: Any, frame: Any, name: str) -> Trial:
    """Return one trial.

    Parameters
    ----------
    trial : ray.tune.experiment.Trial
    frame : pandas.DataFrame or None
        What it has reported; an epoch that was trained twice, before a kill and after it, counts once.
    name : str
        Of the trial in the record.
    """
    known = frame is not None and "epoch" in frame
    rows = frame.drop_duplicates("epoch", keep="last").to_dict("records") if known else []
    epochs = tuple(_epoch(row) for row in rows)
    return Trial(name, dict(trial.config), status_of(trial), _last_line(trial.get_error()), epochs)


def numbered(trials: Iterable[Any]) -> list[tuple[int, Any]]:
    """Return Ray's trials in the order in which the search has made them, each with its number from 1."""
    return list(enumerate(sorted(trials, key=lambda one: int(one.experiment_tag.partition("_")[0])), start=1))


def status_of(trial: Any) -> str:
    """Return how a trial of Ray's has ended, in the words of `Trial`."""
    if trial.status == trial.ERROR:
        return "failed"
    if trial.status != trial.TERMINATED:
        return "running"
    return "finished" if (trial.last_result or {}).get("finished") else "stopped"


def _epoch(row: Mapping[str, Any]) -> dict[str, Any]:
    valid = {name.removeprefix(PREFIX): value for name, value in row.items() if name.startswith(PREFIX)}
    score = row["score"]
    return {
        "epoch": int(row["epoch"]) - 1,
        "seconds": row["seconds"],
        "train_loss": row["train_loss"],
        "valid_score": None if score is None or math.isnan(score) else score,
        "valid": valid,
    }


def _last_line(error: Any) -> str:
    lines = [line for line in str(error or "").strip().splitlines() if line.strip()]
    return lines[-1].removeprefix("recbole_mm.base.errors.InputError: ") if lines else ""
