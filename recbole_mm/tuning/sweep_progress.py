"""What a sweep shows while it runs: a table that is drawn anew on a terminal, elsewhere a line a trial that ends."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from time import monotonic
from typing import Any

from recbole_mm.base.errors import number_of
from recbole_mm.base.metrics import sign
from recbole_mm.base.screen_tables import text_table
from recbole_mm.training.run_screen import Line
from recbole_mm.tuning.results import numbered, status_of
from recbole_mm.tuning.spec import SweepSpec
from recbole_mm.tuning.sweep_plots import shown

EVERY = 2.0  # seconds between two tables
SHOWN_ROWS = 12  # of the table
UP, CLEAR = "\x1b[{}A", "\x1b[J"


def progress(spec: SweepSpec, say: Line) -> Any:
    """Return a reporter for Ray Tune."""
    from ray.tune import ProgressReporter  # noqa: PLC0415 (heavy)

    config = spec.config({})
    metric, total = config["valid_metric"], spec.n_trials

    class Progress(ProgressReporter):
        """Ray asks it after every event whether it has something to say."""

        ended: frozenset[str] = frozenset()
        drawn = 0  # lines on the terminal
        last = 0.0

        def should_report(self, trials: Sequence[Any], done: bool = False) -> bool:
            if sys.stdout.isatty():
                return done or monotonic() - self.last > EVERY
            return any(one.is_finished() and one.trial_id not in self.ended for one in trials)

        def report(self, trials: Sequence[Any], done: bool, *sys_info: str) -> None:
            self.last = monotonic()
            if sys.stdout.isatty():
                lines = table(trials, total, metric).splitlines()
                width = shutil.get_terminal_size().columns
                back = UP.format(self.drawn) + CLEAR if self.drawn else ""
                say(back + "\n".join(line[:width] for line in lines))
                self.drawn = len(lines)
                return
            for number, one in numbered(trials):
                if one.is_finished() and one.trial_id not in self.ended:
                    self.ended |= {one.trial_id}
                    say(ending(one, number, total, metric))

    return Progress()


def table(trials: Sequence[Any], total: int, metric: str) -> str:
    """Return a head line, the trials that run, and the best of those that have ended.

    Parameters
    ----------
    trials : sequence of ray.tune.experiment.Trial
        Those that have been made so far.
    total : int
        Of the sweep.
    metric : str
        The validation metric.
    """
    better = sign(metric)
    rows: list[tuple[Any, ...]] = []
    for number, one in numbered(trials):
        if one.status != one.PENDING:
            epoch = (one.last_result or {}).get("epoch")
            rows.append((number, status_of(one), epoch, best_score(one, metric), *map(shown, one.config.values())))
    rows.sort(key=lambda row: (row[1] != "running", math.inf if row[3] is None else -better * row[3]))
    ended = sum(one.is_finished() for one in trials)
    best = max((better * row[3] for row in rows if row[3] is not None), default=None)
    head = f"{ended} of {number_of(total, 'trial')} ended" + (
        "" if best is None else f"; best {metric} {better * best:.4f}"
    )
    names = ("trial", "status", "epoch", metric, *(trials[0].config if trials else ()))
    return f"{head}\n{text_table(names, rows[:SHOWN_ROWS])}"


def ending(trial: Any, number: int, total: int, metric: str) -> str:
    """Return a line about a trial that has ended; parameters are those of `table`."""
    score, epochs = best_score(trial, metric), (trial.last_result or {}).get("epoch", 0)
    values = ", ".join(f"{name} {shown(value)}" for name, value in trial.config.items())
    found = "" if score is None else f", {metric} {score:.4f}"
    return f"trial {number} of {total} {status_of(trial)} after {number_of(epochs, 'epoch')}{found}: {values}"


def best_score(trial: Any, metric: str) -> float | None:
    """Return the best validation of a trial so far, None where it has none."""
    score = trial.metric_analysis.get("score", {}).get("max" if sign(metric) > 0 else "min")
    return None if score is None or math.isnan(score) else float(score)
