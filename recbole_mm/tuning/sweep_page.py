"""A sweep as one HTML file that needs no other and no network."""

from __future__ import annotations

from collections import Counter

from recbole_mm.html.plots import plot_html, plotlyjs
from recbole_mm.html.render import render
from recbole_mm.training.run_screen import duration
from recbole_mm.tuning.sweep_plots import parallel_coordinates, settings_against_score, shown, trial_curves
from recbole_mm.tuning.trials import Sweep, Trial

SHOWN = 10  # best trials in the table
STATUSES = ("finished", "stopped", "running", "failed")


def sweep_html(sweep: Sweep) -> str:
    """Return the page: the best trials first, then the plots, then what failed."""
    return render(
        "sweep.html",
        sweep=sweep,
        summary=sweep_summary(sweep),
        header=("trial", "status", sweep.valid_metric, "best epoch", "epochs", "time", *sweep.settings),
        best=[_row(sweep, trial) for trial in sweep.ranked[:SHOWN]],
        plots=_plots(sweep),
        failed=[
            (trial.name, _values(trial), trial.error or "no error was recorded")
            for trial in sweep.trials
            if trial.status == "failed"
        ],
        plotlyjs=plotlyjs(),
    )


def sweep_summary(sweep: Sweep) -> str:
    """Return in one line how many trials there were, how they ended, and how good the best is."""
    counts = Counter(trial.status for trial in sweep.trials)
    ends = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    n = len(sweep.trials)
    time = "" if sweep.seconds is None else f" in {duration(sweep.seconds)}"
    line = f"{n} trial{'' if n == 1 else 's'}{time}{': ' if ends else ''}{ends}."
    default = None if sweep.default_score is None else f"{sweep.default_score:.4f} with the default settings"
    if sweep.best is None:
        return f"{line} None has a score{f'; {default}' if default else ''}."
    score, epoch = sweep.best.best_score(sweep.valid_metric), sweep.best.best_epoch(sweep.valid_metric)
    best = f"Best validation {sweep.valid_metric} {score:.4f}, of {sweep.best.name} after epoch {epoch}"
    return f"{line} {best}{f'; {default}' if default else ''}."


def _row(sweep: Sweep, trial: Trial) -> list[str]:
    score, epoch = trial.best_score(sweep.valid_metric), trial.best_epoch(sweep.valid_metric)
    values = [shown(trial.params[name]) if name in trial.params else "" for name in sweep.settings]
    spent = str(trial.n_epochs), duration(trial.seconds)
    return [trial.name, trial.status, f"{score:.4f}", str(epoch), *spent, *values]


def _plots(sweep: Sweep) -> dict[str, str]:
    drawn = {}
    if any(trial.epochs for trial in sweep.trials):
        drawn["curves"] = trial_curves(sweep)
    if sweep.best is not None and sweep.settings:
        drawn["settings"] = settings_against_score(sweep)
        drawn["parallel"] = parallel_coordinates(sweep)
    return {name: plot_html(figure, name) for name, figure in drawn.items()}


def _values(trial: Trial) -> str:
    return ", ".join(f"{name}: {shown(value)}" for name, value in trial.params.items())
