"""The plots of a sweep.

Plotly reads no HTML in the ticks of parallel coordinates, the only texts of the data that are not escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from recbole_mm.base.metrics import sign
from recbole_mm.html.plots import ROW, axis_type, grid, layout, plain
from recbole_mm.tuning.trials import Sweep, Trial, is_number

BEST, GREY = "#c8541b", "#888888"
STATUS_COLOURS = {"finished": "#1f5fa8", "stopped": "#9a9a9a", "running": "#2a8f6a", "failed": "#d33333"}
STATUS_DASHES = {"finished": "solid", "stopped": "dash", "running": "dashdot", "failed": "dot"}
STATUS_SYMBOLS = {"finished": "circle", "stopped": "circle-open", "running": "diamond-open"}


@dataclass(frozen=True, slots=True)
class Axis:
    """How the values of one setting are drawn: as numbers, as their logarithms, or as words.

    Attributes
    ----------
    kind : str
        Plotly's ``linear``, ``log`` or ``category``.
    ends : tuple
        The smallest and the largest number.
    words : tuple of str
        The categories in their order: numbers by size, then anything else by its text.
    """

    kind: str
    ends: tuple[float, float] = (0, 0)
    words: tuple[str, ...] = ()


def axis_of(sweep: Sweep, name: str) -> Axis:
    """Return the axis of a setting: words for a choice and wherever a value is no number."""
    values = [trial.params[name] for trial in sweep.trials if name in trial.params]
    domain = sweep.space.get(name)
    if (domain is not None and domain.kind == "choice") or not all(map(is_number, values)):
        ordered = sorted(values, key=lambda value: (not is_number(value), value if is_number(value) else 0, str(value)))
        return Axis("category", words=tuple(dict.fromkeys(map(shown, ordered))))
    low, high = min(values), max(values)
    return Axis(axis_type(low, high), (low, high))


def shown(value: Any) -> str:
    """Return a value as people read it: a number in six digits, anything else as on the command line."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _described(trial: Trial) -> str:
    lines = (f"{name}: {shown(value)}" for name, value in trial.params.items())
    return "<br>".join(map(plain, (f"{trial.name}, {trial.status}", *lines)))


def trial_curves(sweep: Sweep) -> go.Figure:
    """Draw the validation metric and the training loss of every trial by epoch."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    best, named = sweep.best, set[str]()
    for trial in sorted(sweep.trials, key=lambda trial: trial is best):  # the best on top of all others
        kind = "best" if trial is best else trial.status
        line = {"color": BEST if kind == "best" else STATUS_COLOURS[trial.status], "dash": STATUS_DASHES[trial.status]}
        common = {
            "mode": "lines+markers",
            "name": kind,
            "legendgroup": kind,
            "line": {**line, "width": 3 if kind == "best" else 1.2},
            "marker": {"size": 6 if kind == "best" else 3},
            "opacity": 1 if kind == "best" else 0.7,
            "meta": [_described(trial)],
        }
        for row, key in enumerate(("valid_score", "train_loss"), start=1):
            points = [(epoch["epoch"], _finite(epoch[key])) for epoch in trial.epochs]
            if row == 1:  # a line runs through the epochs without validation; a loss that is no number is a gap
                points = [(epoch, score) for epoch, score in points if score is not None]
            if points:
                x, y = zip(*points, strict=True)
                hover = f"%{{meta[0]}}<br>epoch %{{x}}: {'%{y:.4f}' if row == 1 else 'loss %{y:.5g}'}<extra></extra>"
                legend = kind not in named
                figure.add_scatter(x=x, y=y, row=row, col=1, hovertemplate=hover, showlegend=legend, **common)
                named.add(kind)
    _mark_default(figure, sweep, row=1, col=1)
    figure.update_yaxes(title_text=plain(sweep.valid_metric), row=1, col=1)
    figure.update_yaxes(title_text="training loss", row=2, col=1)
    figure.update_xaxes(title_text="epoch", row=2, col=1)
    return figure.update_layout(**layout(2 * ROW), hovermode="closest")


def settings_against_score(sweep: Sweep) -> go.Figure:
    """Draw the best score of every trial against each setting; the sweep needs a trial with a score."""
    names, ranked, best = sweep.settings, sweep.ranked, sweep.best
    spacing = {"vertical_spacing": 0.25 / math.ceil(len(names) / 2), "horizontal_spacing": 0.05}
    figure, places = grid(len(names), columns=2, shared_yaxes=True, **spacing)
    for name, cell in zip(names, places, strict=True):
        axis = axis_of(sweep, name)
        trials = [trial for trial in reversed(ranked) if name in trial.params]
        values = [trial.params[name] for trial in trials]
        figure.add_scatter(
            x=[plain(shown(value)) if axis.kind == "category" else value for value in values],
            y=[trial.best_score(sweep.valid_metric) for trial in trials],
            mode="markers",
            marker={
                "color": [BEST if trial is best else STATUS_COLOURS[trial.status] for trial in trials],
                "symbol": ["star" if trial is best else STATUS_SYMBOLS[trial.status] for trial in trials],
                "size": [13 if trial is best else 8 for trial in trials],
            },
            text=[_described(trial) for trial in trials],
            hovertemplate="%{text}<br>best score %{y:.4f}<extra></extra>",
            showlegend=False,
            **cell,
        )
        words = list(map(plain, axis.words))
        order = {"categoryorder": "array", "categoryarray": words} if words else {}
        figure.update_xaxes(title_text=plain(name), type=axis.kind, **order, **cell)
        _mark_default(figure, sweep, **cell)
    figure.update_yaxes(title_text=plain(sweep.valid_metric), col=1)
    return figure.update_layout(**layout(places[-1]["row"] * ROW))


def parallel_coordinates(sweep: Sweep) -> go.Figure:
    """Draw every trial with a score as one line through its values, coloured by the score; there must be one."""
    names, ranked = sweep.settings, sweep.ranked[::-1]
    trials = [trial for trial in ranked if all(name in trial.params for name in names)]
    scores = [trial.best_score(sweep.valid_metric) for trial in trials]
    metric = plain(sweep.valid_metric)
    dimensions = [_dimension(axis_of(sweep, name), name, [trial.params[name] for trial in trials]) for name in names]
    figure = go.Figure(
        go.Parcoords(
            dimensions=[*dimensions, {"label": metric, "values": scores}],
            line={
                "color": scores,
                "colorscale": "Viridis",
                "reversescale": sign(sweep.valid_metric) < 0,
                "showscale": True,
                "colorbar": {"title": {"text": metric}},
            },
        )
    )
    return figure.update_layout(**{**layout(1.4 * ROW), "margin": {"l": 80, "r": 40, "t": 60, "b": 30}})


def _dimension(axis: Axis, name: str, values: Sequence[Any]) -> dict[str, Any]:
    label = plain(name)
    if axis.kind == "category":
        ticks = list(range(len(axis.words)))
        codes = [axis.words.index(shown(value)) for value in values]
        return {"label": label, "values": codes, "range": [0, ticks[-1]], "tickvals": ticks, "ticktext": axis.words}
    if axis.kind == "linear":
        return {"label": label, "values": values, "range": axis.ends}
    low, high = map(math.log10, axis.ends)
    decades = range(math.floor(low), math.ceil(high) + 1)
    marks = [mark for decade in decades for mark in (10.0**decade, 2 * 10.0**decade, 5 * 10.0**decade)]
    marks = [mark for mark in marks if axis.ends[0] <= mark <= axis.ends[1]]
    texts = {"tickvals": list(map(math.log10, marks)), "ticktext": [f"{mark:g}" for mark in marks]}
    return {"label": label, "values": list(map(math.log10, values)), "range": [low, high], **texts}


def _mark_default(figure: go.Figure, sweep: Sweep, row: int, col: int) -> None:
    if sweep.default_score is not None:
        figure.add_hline(y=sweep.default_score, line={"color": GREY, "dash": "dot", "width": 1.5}, row=row, col=col)


def _finite(value: Any) -> float | None:
    return float(value) if is_number(value) else None
