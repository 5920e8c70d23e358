"""What a sweep leaves behind: its trials, epoch by epoch, and trials.csv."""

from __future__ import annotations

import csv
import io
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recbole_mm.base.metrics import sign
from recbole_mm.settings.space import Domain

Epoch = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of values, and the training with it.

    Attributes
    ----------
    params : dict
        Values of the searched settings, of any type that a choice may have.
    status : str
        ``finished``, ``stopped`` by the scheduler, ``failed``, or ``running`` where the sweep was interrupted.
    error : str
        What a failed trial ended with, else empty.
    epochs : tuple of mappings
        Those that were reported: `epoch`, from 0; `seconds`, of all training since the one before; `train_loss`;
        `valid_score` and `valid`, its metrics. `valid_score` is None where validation gave no number.
    """

    name: str
    params: dict[str, Any]
    status: str
    error: str
    epochs: tuple[Epoch, ...]

    @property
    def n_epochs(self) -> int:
        """Epochs trained, up to the last that was reported."""
        return max((int(epoch["epoch"]) + 1 for epoch in self.epochs), default=0)

    @property
    def seconds(self) -> float:
        return float(sum(epoch["seconds"] for epoch in self.epochs))

    def best(self, metric: str) -> Epoch | None:
        """Return the epoch that is best in a metric, the last among equals; None where no epoch has a number for it."""
        scored = [epoch for epoch in reversed(self.epochs) if is_number(epoch["valid_score"])]
        return max(scored, key=lambda epoch: sign(metric) * epoch["valid_score"], default=None)

    def best_score(self, metric: str) -> float | None:
        best = self.best(metric)
        return None if best is None else float(best["valid_score"])

    def best_epoch(self, metric: str) -> int | None:
        best = self.best(metric)
        return None if best is None else int(best["epoch"])


@dataclass(frozen=True, slots=True)
class Sweep:
    """All trials of a sweep.

    Attributes
    ----------
    valid_metric : str
        Such as ``NDCG@10``.
    default_score : float, optional
        The best score with the settings that the model has by default, where that was trained.
    seconds : float, optional
        Wall clock of the whole sweep, where it was carried out in one go.
    space : mapping
        What was searched, by setting; tells a choice of numbers from a range.
    """

    model: str
    dataset: str
    valid_metric: str
    trials: tuple[Trial, ...]
    default_score: float | None
    seconds: float | None
    space: Mapping[str, Domain] = field(default_factory=dict)

    @property
    def settings(self) -> list[str]:
        """The searched settings, in the order in which trials have them."""
        return list(dict.fromkeys(name for trial in self.trials for name in trial.params))

    @property
    def ranked(self) -> list[Trial]:
        """The trials that have a score and did not fail, best first; among equals, the earlier first."""
        metric = self.valid_metric
        scores = [(trial.best_score(metric), trial) for trial in self.trials if trial.status != "failed"]
        ordered = sorted(((-sign(metric) * s, t) for s, t in scores if s is not None), key=lambda pair: pair[0])
        return [trial for _, trial in ordered]

    @property
    def best(self) -> Trial | None:
        return next(iter(self.ranked), None)


def is_number(value: Any) -> bool:
    """Tell a finite number from all else: true and false, None, NaN, infinity, text."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def one_line(text: str) -> str:
    return " ".join(text.split())


def trials_csv(sweep: Sweep) -> str:
    """Return trials.csv: a row a trial, in the order of the sweep; values stand as they would on the command line."""
    settings = sweep.settings
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(("trial", "status", "best_score", "best_epoch", "epochs_trained", "seconds", *settings, "error"))
    for trial in sweep.trials:
        values = (str(trial.params[name]) if name in trial.params else "" for name in settings)
        best = trial.best_score(sweep.valid_metric), trial.best_epoch(sweep.valid_metric)
        spent = trial.n_epochs, round(trial.seconds, 3)
        rows.writerow((trial.name, trial.status, *best, *spent, *values, one_line(trial.error)))
    return stream.getvalue()
