"""A sweep as one HTML file that needs no other and no network."""

from __future__ import annotations

from collections import Counter
from html import escape

from recbole_mm.html.markup import document, table
from recbole_mm.html.plots import figure_html, script
from recbole_mm.training.screen import duration
from recbole_mm.tuning.figures import learning_curves, parallel_coordinates, settings_against_score, shown
from recbole_mm.tuning.record import Sweep, Trial

SHOWN = 10  # best trials in the table
STATUSES = ("finished", "stopped", "running", "failed")


def page(sweep: Sweep) -> str:
    """Return the page: the best trials first, then the plots, then what failed."""
    title = f"Sweep of {sweep.model} on {sweep.dataset}"
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{escape(summary(sweep))}</p>"]
    parts += [*_best(sweep), *_curves(sweep), *_settings(sweep), *_failed(sweep)]
    return document(title, parts, head=script())


def summary(sweep: Sweep) -> str:
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


def _best(sweep: Sweep) -> list[str]:
    if sweep.best is None:
        return []
    header = ("trial", "status", sweep.valid_metric, "best epoch", "epochs", "time", *sweep.settings)
    rows = [_row(sweep, trial) for trial in sweep.ranked[:SHOWN]]
    caption = (
        f"The best {len(rows)} of {len(sweep.ranked)} trials with a score, which is that of the best epoch. "
        "All are in trials.csv."
    )
    return ["<h2>Best trials</h2>", table(header, rows, caption)]


def _row(sweep: Sweep, trial: Trial) -> list[str]:
    score, epoch = trial.best_score(sweep.valid_metric), trial.best_epoch(sweep.valid_metric)
    values = [shown(trial.params[name]) if name in trial.params else "" for name in sweep.settings]
    spent = str(len(trial.epochs)), duration(trial.seconds)
    return [trial.name, trial.status, f"{score:.4f}", str(epoch), *spent, *values]


def _curves(sweep: Sweep) -> list[str]:
    if not any(trial.epochs for trial in sweep.trials):
        return []
    caption = (
        "A line a trial: the best in orange, finished ones solid, stopped ones grey and dashed, failed ones red and "
        "dotted. A click on the legend hides a kind. The values of a trial are told where the pointer is on its line."
    )
    return ["<h2>Learning curves</h2>", figure_html(learning_curves(sweep), "curves", caption + _default_line(sweep))]


def _settings(sweep: Sweep) -> list[str]:
    if sweep.best is None or not sweep.settings:
        return []
    caption = "The best score of every trial. Star: the best; hollow: stopped, so that it might have become better."
    lines = (
        "A line a trial, coloured by its score. Drag along an axis to keep the trials within a range, drag its name to "
        "move it."
    )
    return [
        "<h2>Settings</h2>",
        figure_html(settings_against_score(sweep), "settings", caption + _default_line(sweep)),
        figure_html(parallel_coordinates(sweep), "parallel", lines),
    ]


def _default_line(sweep: Sweep) -> str:
    return "" if sweep.default_score is None else " Dotted grey line: the best score with the default settings."


def _failed(sweep: Sweep) -> list[str]:
    failed = [trial for trial in sweep.trials if trial.status == "failed"]
    if not failed:
        return []
    items = [
        f'<li><span class="error">{escape(trial.name)}</span>: {escape(_values(trial))}'
        f"<pre>{escape(trial.error or 'no error was recorded')}</pre></li>"
        for trial in failed
    ]
    return ["<h2>Failed trials</h2>", "<ul>", *items, "</ul>"]


def _values(trial: Trial) -> str:
    return ", ".join(f"{name}: {shown(value)}" for name, value in trial.params.items())
