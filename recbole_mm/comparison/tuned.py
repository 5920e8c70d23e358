"""What the trials of a row have found: the choice by validation, and the files that tell of it."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from recbole.config import Config

from recbole_mm.base.errors import number_of
from recbole_mm.base.files import replace_text
from recbole_mm.base.metrics import key_of, sign, spelled
from recbole_mm.base.plain import to_json
from recbole_mm.comparison.benchmark import NOT_TRAINED, Tuning
from recbole_mm.comparison.configured import ConfiguredRows
from recbole_mm.comparison.planned_runs import own_files
from recbole_mm.comparison.searches import PlannedTrial, Search
from recbole_mm.comparison.settings_for_all import settings_for_all
from recbole_mm.comparison.training import read_run
from recbole_mm.configuration.valid_names import PLACE

FOLDER = "tuned"


@dataclass(frozen=True, slots=True)
class TriedSettings:
    """A trial and how it has ended.

    Attributes
    ----------
    score : float or None
        The best in validation.
    error : str
        Why it has no score, else empty.
    result : mapping
        Its result.json.
    """

    trial: PlannedTrial
    score: float | None
    error: str
    result: Mapping[str, Any]

    @property
    def status(self) -> str:
        return "finished" if not self.error else self.error if self.error == NOT_TRAINED else "failed"


@dataclass(frozen=True, slots=True)
class TunedRow:
    """A row on a dataset, and all that was tried for it."""

    search: Search
    valid_metric: str
    tried: tuple[TriedSettings, ...]

    @property
    def best(self) -> TriedSettings | None:
        """The best in validation, the earliest among equals; None where no trial has a score."""
        scored = [one for one in self.tried if one.score is not None]
        return max(scored, key=lambda one: sign(self.valid_metric) * (one.score or 0.0), default=None)

    @property
    def values(self) -> Mapping[str, Any]:
        """What the runs of the table change; nothing where the row's own settings are the best, or all there are."""
        return self.best.trial.values if self.best else {}

    def exception(self, n_trials: int) -> str:
        """Return what a reader has to know of this row's tuning, empty where it was like that of the others."""
        failed = sum(one.status == "failed" for one in self.tried)
        if not self.tried:
            return f"{self.search.reason}, not tuned"
        if self.best is None:
            return "no trial finished, not tuned"
        told = [
            f"{' and '.join(self.search.given)} given" if self.search.given else "",
            f"its space has only {len(self.tried)}" if len(self.tried) < n_trials else "",
            f"{failed} of {number_of(len(self.tried), 'trial')} failed" if failed else "",
        ]
        return ", ".join(filter(None, told))

    @property
    def line(self) -> str:
        """What it has found, for the screen."""
        name = f"{self.search.row.label} on {self.search.dataset}"
        if self.best is None:
            return f"{name}: {self.search.reason or 'no trial finished'}, not tuned"
        first = self.tried[0].score
        before = "" if first is None else f"; {first:.4f} in the first, with its own settings"
        return (
            f"{name}: trial {self.best.trial.run.trial} of {len(self.tried)} is the best by "
            f"{spelled(self.valid_metric)} in validation, {self.best.score:.4f}{before}"
        )


def tuned_row(search: Search, config: Config) -> TunedRow:
    """Return what the trials of a row have found so far; no test metric is there to be looked at."""
    metric = key_of(config["valid_metric"])
    tried = []
    for trial in search.trials:
        run, result = read_run(trial.run) or (None, {})
        error = run.error if run else NOT_TRAINED
        tried.append(TriedSettings(trial, None if error or not run else (run.valid or {}).get(metric), error, result))
    return TunedRow(search, metric, tuple(tried))


def tuning_of(rows: ConfiguredRows, tuned: Sequence[TunedRow], n_trials: int) -> Tuning:
    """Return how the settings of the rows on a dataset were found, for the caption of their table."""
    if n_trials:
        told = {one.search.row.label: one.exception(n_trials) for one in tuned if one.search.dataset == rows.dataset}
    else:
        models = [row for row in rows.rows if not row.ablation_of]
        told = {row.label: "settings given" if own_files(row, rows.dataset) else "" for row in models}
    exceptions = {label: exception for label, exception in told.items() if exception}
    return Tuning(n_trials, exceptions, settings_for_all(rows.common))


def write_tuned(out: Path, tuned: TunedRow) -> None:
    """Write `tuned/DATASET/ROW.csv`, all trials, and, once a trial is chosen, `ROW.yaml` with all its settings."""
    if not tuned.tried:
        return
    search, best = tuned.search, tuned.best
    stem = out / FOLDER / search.dataset / _file_name(search.row.label)
    replace_text(stem.with_name(f"{stem.name}.csv"), tried_csv(tuned))
    if best is None or any(one.error == NOT_TRAINED for one in tuned.tried):
        return
    about = f"# {search.row.label}: trial {best.trial.run.trial} of {len(tuned.tried)}, seed {best.trial.run.seed}, "
    about += f"{spelled(tuned.valid_metric)} {best.score:.4f} in validation\n"
    text = yaml.safe_dump(to_json(_settings_of(search, best.trial)), sort_keys=False, allow_unicode=True)
    replace_text(stem.with_name(f"{stem.name}.yaml"), about + text)


def _settings_of(search: Search, trial: PlannedTrial) -> dict[str, Any]:
    """Return all settings of a trial, given and searched, but those of place and the seed."""
    found = {"model": search.row.model, "dataset": search.dataset}
    if source := (trial.run.request.settings or {}).get("model_source"):
        found["model_source"] = source
    apart = PLACE | {"model", "dataset", "seed"}
    found |= {name: value for name, value in search.settings.items() if name not in apart}
    # What the first trial has found unset stays so.
    return found | {name: value for name, value in trial.searched.items() if value is not None or name in trial.values}


def _file_name(label: str) -> str:
    """Return a label as the name of a file, no two the same."""
    name = re.sub(r"[^\w.-]+", "_", label)
    return name if name == label else f"{name}-{hashlib.sha256(label.encode()).hexdigest()[:4]}"


def tried_csv(tuned: TunedRow) -> str:
    """Return a row a trial: how it ended, its validation score unrounded, and its settings as on a command line."""
    names = list(tuned.search.trials[0].searched)
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(
        ("trial", "status", f"valid_{tuned.valid_metric}", "best_epoch", "epochs", "seconds", *names, "error")
    )
    for one in tuned.tried:
        told = (one.result.get(name) for name in ("best_epoch", "epochs", "seconds"))
        values = (one.trial.searched[name] for name in names)
        error = "" if one.error == NOT_TRAINED else " ".join(one.error.split())
        rows.writerow((one.trial.run.trial, one.status, one.score, *told, *values, error))
    return stream.getvalue()
