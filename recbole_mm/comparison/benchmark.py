"""The results of a comparison, as plain data: runs by seed, entries by model, a benchmark by dataset."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recbole_mm.base.metrics import sign
from recbole_mm.comparison.significance import Difference
from recbole_mm.training.groups import Groups

NOT_TRAINED = "not trained yet"


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean of one or more values and the standard deviation of two or more."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


@dataclass(frozen=True, slots=True)
class Run:
    """One training of a model with one seed, or what kept it from ending.

    Attributes
    ----------
    error : str
        Why it failed, or `NOT_TRAINED`; empty where it has finished.
    valid, test : dict
        Metric -> value, of the best epoch.
    groups : dict or None
        Test metrics by group of users and items; see `recbole_mm.training.groups`.
    history : list of dict
        As `recbole_mm.training.trainer.RunTrainer` keeps it.
    seconds : float
        Of training, all epochs together, without validation.
    n_parameters : int
        Numbers that are learned.
    users : array of str, shape (n_users,)
        Who was tested, by their own ids, each once, in ascending order.
    by_user : dict
        Test metric -> (n_users,).
    """

    seed: int
    error: str = ""
    valid: dict[str, float] | None = None
    test: dict[str, float] | None = None
    groups: Groups | None = None
    history: Sequence[dict[str, Any]] = ()
    seconds: float = 0.0
    n_parameters: int = 0
    users: Any = None
    by_user: dict[str, np.ndarray] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a table: a model, or an ablation of one.

    Attributes
    ----------
    label : str
        What the row is called.
    ablation_of : str
        The label of the whole model, empty for a model.
    baseline : bool
        Whether others are compared with it.
    runs : tuple of Run
        One a seed, in the same order for all entries.
    """

    label: str
    ablation_of: str
    baseline: bool
    runs: tuple[Run, ...]

    @property
    def finished(self) -> list[Run]:
        return [run for run in self.runs if not run.error]

    @property
    def complete(self) -> bool:
        return len(self.finished) == len(self.runs)

    def values(self, split: str, metric: str) -> list[float]:
        """Return a metric of the split `valid` or `test` of every finished run that has it."""
        return [found[metric] for run in self.finished if metric in (found := getattr(run, split) or {})]

    def mean(self, split: str, metric: str) -> float | None:
        values = self.values(split, metric)
        return statistics.mean(values) if values else None

    def std(self, split: str, metric: str) -> float | None:
        """Return the standard deviation over the seeds, None with fewer than two."""
        values = self.values(split, metric)
        return statistics.stdev(values) if len(values) > 1 else None


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the settings of a table's rows were found.

    Attributes
    ----------
    trials : int
        By which each row was tuned, 0 where none was.
    exceptions : mapping
        Rows of which something else is to be said, and what.
    for_all : mapping
        Settings of models, or of their training, that are given for all rows.
    """

    trials: int = 0
    exceptions: Mapping[str, str] = field(default_factory=dict)
    for_all: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """All entries on one dataset.

    Attributes
    ----------
    valid_metric : str
        By which every run chose its epoch, and the comparison its best baseline, such as ``ndcg@10``.
    metrics : tuple of str
        Of the test, in the order of the table.
    differences : tuple of Difference
        Tested: entries less the one that they are compared with.
    tuning : Tuning
    """

    dataset: str
    valid_metric: str
    metrics: tuple[str, ...]
    seeds: tuple[int, ...]
    entries: tuple[Entry, ...]
    differences: tuple[Difference, ...] = ()
    tuning: Tuning = Tuning()

    def ranked(self, metric: str) -> list[Entry]:
        """Return the complete entries by their mean in the test, the best first."""
        known = [entry for entry in self.entries if entry.complete and entry.mean("test", metric) is not None]
        return sorted(known, key=lambda entry: sign(metric) * (entry.mean("test", metric) or 0.0), reverse=True)
