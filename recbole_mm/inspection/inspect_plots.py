"""The plots of the page, as PNG: transparent, and in colours that stand out on white and on black."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, PercentFormatter, StrMethodFormatter

from recbole_mm.inspection.coconsumption import CoConsumption
from recbole_mm.inspection.statistics import Counts, at_least

GREY, BLUE, ORANGE = "#808080", "#3b82c4", "#d9702f"
WIDTH = 8.0  # inches; all text is 10 to 11 points at this width
BINS = 40
IN_A_ROW = 3  # histograms


def history_figure(found: Counts) -> bytes:
    """Draw for users and items the share with at least so many interactions, on logarithmic axes."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    sides = figure.subplots(1, 2, sharey=True)
    parts = (("user", "history length", found.per_user, BLUE), ("item", "popularity", found.per_item, ORANGE))
    for axis, (who, what, counts, colour) in zip(sides, parts, strict=True):
        values, shares = at_least(counts)
        axis.loglog(values, shares, color=colour, marker="o", markersize=3, linewidth=1.5)
        axis.set_title(what)
        axis.set_xlabel(f"interactions of {'a' if who == 'user' else 'an'} {who}")
        axis.set_ylabel(f"{who}s with at least as many")
        axis.yaxis.set_tick_params(labelleft=True)
        narrow = len(values) > 0 and values[-1] < 100 * values[0]
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g} %"))
        axis.minorticks_off()
        _neutral(axis)
    return _png(figure)


def norms_figure(norms: Mapping[str, np.ndarray]) -> bytes:
    """Draw a histogram of the row lengths of each modality, at least one."""
    columns = min(len(norms), IN_A_ROW)
    rows = -(-len(norms) // columns)
    figure = Figure(figsize=(WIDTH, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (name, values) in zip(axes, norms.items(), strict=False):
        wide = float(np.ptp(values)) > 1e-6 * max(float(np.abs(values).max()), 1e-12)
        axis.hist(values, bins=BINS if wide else 1, color=BLUE)
        axis.set_title(_short(name))
        axis.set_xlabel("length of a row")
        axis.set_ylabel("rows")
        _neutral(axis)
    for axis in axes[len(norms) :]:
        axis.set_visible(False)
    return _png(figure)


def co_consumption_figure(found: Mapping[str, CoConsumption]) -> bytes:
    """Draw the two shares of each modality, at least one, as bars side by side."""
    figure = Figure(figsize=(WIDTH, 1.3 + 0.62 * len(found)), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(found))
    for shift, label, colour in ((-0.19, "neighbours", ORANGE), (0.19, "random", GREY)):
        shares = [getattr(part, label) for part in found.values()]
        bars = axis.barh(places + shift, shares, 0.36, color=colour, label=label)
        axis.bar_label(bars, [f"{share:.1%}" for share in shares], padding=3, color=GREY)
    axis.set_yticks(places, [_short(name) for name in found])
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.set_xlabel("pairs of items with a training user in common")
    _neutral(axis)
    legend = figure.legend(loc="outside upper right", ncols=2, frameon=False)
    for text in legend.get_texts():
        text.set_color(GREY)
    return _png(figure)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _neutral(axis: Axes) -> None:
    axis.grid(color=GREY, alpha=0.25, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(GREY)
    axis.tick_params(which="both", colors=GREY)
    for text in (axis.title, axis.xaxis.label, axis.yaxis.label):
        text.set_color(GREY)
        text.set_fontsize(11)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=160, transparent=True)
    return target.getvalue()
