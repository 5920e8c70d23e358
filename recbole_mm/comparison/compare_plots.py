"""The plots of a comparison on one dataset; an entry that no run finished is in none of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from recbole_mm.base.metrics import key_of, spelled
from recbole_mm.comparison.benchmark import Benchmark, Entry, mean_and_std
from recbole_mm.comparison.cells import entry_title, ordered, text
from recbole_mm.comparison.group_tables import group_values
from recbole_mm.html.plots import ROW, axis_type, grid, layout, plain

COLOURS = (
    "#1f5fa8", "#e0761a", "#2a8f6a", "#c81e2e", "#7b4fb5", "#b8a00c", "#17a2c2",
    "#d62f9f", "#7a4a21", "#7fae1e", "#f08bb0", "#333333", "#9aa3ad", "#7fa0f5",
)  # fmt: skip
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up")
PATTERNS = ("", "/", "x", ".", "-")
BAR = 22  # pixels of one of the bars of a metric


@dataclass(frozen=True, slots=True)
class Style:
    """What tells an entry from the others, in lines, points and bars."""

    colour: str
    dash: str
    symbol: str
    pattern: str


Styles = Mapping[str, Style]  # by label


def styles(benchmarks: Sequence[Benchmark]) -> dict[str, Style]:
    """Return a style for every label, the same on all datasets: a colour, and once they are used up a dash too."""
    labels = dict.fromkeys(entry.label for benchmark in benchmarks for entry in ordered(benchmark))
    return {label: _style(place) for place, label in enumerate(labels)}


def _style(place: int) -> Style:
    again, colour = divmod(place, len(COLOURS))
    again %= len(DASHES)
    return Style(COLOURS[colour], DASHES[again], SYMBOLS[again], PATTERNS[again])


def metrics(benchmark: Benchmark, style: Styles) -> go.Figure:
    """Draw every test metric as bars, the first entry on top."""
    entries = _finished(benchmark)
    labels = [plain(entry.label) for entry in entries]
    rows = math.ceil(len(benchmark.metrics) / 3)
    height = rows * (BAR * len(entries) + 90)
    figure, places = grid(
        len(benchmark.metrics),
        columns=3,
        shared_yaxes=True,
        subplot_titles=[plain(spelled(metric)) for metric in benchmark.metrics],
        horizontal_spacing=0.03,
        vertical_spacing=60 / height,
    )
    for metric, cell in zip(benchmark.metrics, places, strict=True):
        figure.add_bar(
            x=[entry.mean("test", metric) for entry in entries],
            y=labels,
            error_x=_error([entry.std("test", metric) for entry in entries]),
            orientation="h",
            marker={
                "color": [style[entry.label].colour for entry in entries],
                "pattern": {"shape": [style[entry.label].pattern for entry in entries]},
            },
            hovertext=[
                f"{plain(entry_title(entry))}<br>{plain(spelled(metric))} {text(entry, metric)}" for entry in entries
            ],
            hoverinfo="text",
            showlegend=False,
            **cell,
        )
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=labels, autorange="reversed")
    figure.update_xaxes(nticks=4)
    return figure.update_layout({**layout(height), "margin": {"r": 20, "t": 60, "b": 30}})


def groups(benchmark: Benchmark, style: Styles) -> go.Figure:
    """Draw the test metric of the validation's name by group of users, above it, and of items; some run has groups."""
    metric = key_of(benchmark.valid_metric)
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.14)
    for row, kind in enumerate(("users", "items"), start=1):
        for entry in _finished(benchmark):
            found = [one for one in group_values(entry) if one.metric == metric and one.kind[0] == kind]
            counts = [", ".join(map(str, dict.fromkeys(one.evaluated))) for one in found]
            figure.add_bar(
                x=[plain(one.kind[1]) for one in found],
                y=[one.mean for one in found],
                error_y=_error([one.std for one in found]),
                marker={"color": style[entry.label].colour, "pattern": {"shape": style[entry.label].pattern}},
                customdata=counts,
                hovertemplate=f"%{{meta[0]}}<br>%{{x}}: %{{y:.4f}}<br>%{{customdata}} {kind} evaluated<extra></extra>",
                showlegend=row == 1,
                **_named(entry),
                row=row,
                col=1,
            )
        figure.update_xaxes(title_text=f"{kind} by training interactions", type="category", row=row, col=1)
    figure.update_yaxes(title_text=plain(spelled(metric)))
    return figure.update_layout(**layout(2 * ROW))


def costs(benchmark: Benchmark, style: Styles) -> go.Figure:
    """Draw that metric against the seconds of training and, below, the number of parameters; some run has it."""
    metric = key_of(benchmark.valid_metric)
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.14)
    known = [entry for entry in _finished(benchmark) if entry.mean("test", metric) is not None]
    for row, (cost, name) in enumerate((("seconds", "seconds of training"), ("n_parameters", "parameters")), start=1):
        spent = {entry.label: mean_and_std([getattr(run, cost) for run in entry.finished]) for entry in known}
        means = sorted(mean for mean, _ in spent.values())
        scale, middle = _scale(means)
        for entry in known:
            mean, std = spent[entry.label]
            above = ("top", "bottom")[means.index(mean) % 2]  # neighbours have their names apart
            figure.add_scatter(
                x=[mean],
                y=[entry.mean("test", metric)],
                error_x=_error([std]),
                error_y=_error([entry.std("test", metric)]),
                mode="markers+text",
                text=[plain(entry.label)],
                textposition=f"{above} {'right' if mean < middle else 'left'}",
                marker={"color": style[entry.label].colour, "symbol": style[entry.label].symbol, "size": 10},
                hovertemplate=f"%{{meta[0]}}<br>%{{y:.4f}}<br>%{{x:,.4~r}} {name}<extra></extra>",
                showlegend=row == 1,
                **_named(entry),
                row=row,
                col=1,
            )
        figure.update_xaxes(title_text=name, type=scale, row=row, col=1)
    figure.update_yaxes(title_text=plain(spelled(metric)))
    return figure.update_layout(**layout(2 * 1.2 * ROW), hovermode="closest")


def learning_curves(benchmark: Benchmark, style: Styles) -> go.Figure:
    """Draw the validation metric by epoch, a line a seed."""
    figure = go.Figure()
    for entry in _finished(benchmark):
        for place, run in enumerate(entry.finished):
            points = [(epoch["epoch"], epoch["valid_score"]) for epoch in run.history]
            points = [(epoch, score) for epoch, score in points if score is not None]
            figure.add_scatter(
                x=[epoch for epoch, _ in points],
                y=[score for _, score in points],
                mode="lines",
                line={"color": style[entry.label].colour, "dash": style[entry.label].dash, "width": 1.5},
                hovertemplate=f"%{{meta[0]}}, seed {run.seed}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
                showlegend=place == 0,
                **_named(entry),
            )
    figure.update_xaxes(title_text="epoch").update_yaxes(title_text=plain(spelled(benchmark.valid_metric)))
    return figure.update_layout(**layout(1.5 * ROW), hovermode="closest")


def _finished(benchmark: Benchmark) -> list[Entry]:
    return [entry for entry in ordered(benchmark) if entry.finished]


def _scale(values: Sequence[float]) -> tuple[str, float]:
    """Return the type of the axis from the first to the last of these, and what stands in its middle."""
    low, high = values[0], values[-1]
    kind = axis_type(low, high)
    return kind, math.sqrt(low * high) if kind == "log" else (low + high) / 2


def _named(entry: Entry) -> dict[str, Any]:
    """Return what makes the traces of an entry one in the legend, and its title for what is shown at the pointer."""
    return {"name": plain(entry.label), "legendgroup": plain(entry.label), "meta": [plain(entry_title(entry))]}


def _error(stds: Sequence[float | None]) -> dict[str, Any]:
    return {"type": "data", "array": stds, "thickness": 1, "width": 3}
