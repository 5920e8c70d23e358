"""The plots of an inspection's page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from recbole_mm.html.plots import ROW, grid, layout, plain
from recbole_mm.inspection.coconsumption import CoConsumption
from recbole_mm.inspection.statistics import Counts, at_least

GREY, BLUE, ORANGE = "#808080", "#3b82c4", "#d9702f"
BINS = 40
IN_A_ROW = 3  # histograms
TWO_BARS = 44  # pixels of the two bars of a modality


def history_plot(found: Counts) -> go.Figure:
    """Draw for users and items the share with at least so many interactions, on logarithmic axes."""
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, subplot_titles=["history length", "popularity"])
    parts = (("a user", "users", found.per_user, BLUE), ("an item", "items", found.per_item, ORANGE))
    for column, (one, many, counts, colour) in enumerate(parts, start=1):
        values, shares = at_least(counts)
        figure.add_scatter(
            x=values.tolist(), y=shares.tolist(), mode="lines+markers", marker={"color": colour, "size": 4},
            showlegend=False, hovertemplate=f"%{{y:.2%}} of {many} have at least %{{x:,}}<extra></extra>",
            row=1, col=column,
        )  # fmt: skip
        figure.update_xaxes(title_text=f"interactions of {one}", row=1, col=column)
    figure.update_xaxes(type="log", dtick="D2")
    figure.update_yaxes(type="log", dtick=1, tickformat="~%")
    figure.update_yaxes(title_text="share with at least as many", row=1, col=1)
    return figure.update_layout(**layout(ROW))


def norms_plot(norms: Mapping[str, np.ndarray]) -> go.Figure:
    """Draw a histogram of the row lengths of each modality, at least one."""
    figure, places = grid(
        len(norms), columns=IN_A_ROW, subplot_titles=list(map(plain, norms)), vertical_spacing=0.3 / len(norms)
    )
    for values, place in zip(norms.values(), places, strict=True):
        wide = float(np.ptp(values)) > 1e-6 * max(float(np.abs(values).max()), 1e-12)
        counts, edges = np.histogram(values, bins=BINS if wide else 1)
        figure.add_bar(
            x=((edges[:-1] + edges[1:]) / 2).tolist(), y=counts.tolist(), width=np.diff(edges).tolist(),
            marker={"color": BLUE}, showlegend=False,
            hovertemplate="%{y:,} rows of length %{x:.4g}<extra></extra>", **place,
        )  # fmt: skip
    figure.update_xaxes(title_text="length of a row")
    figure.update_yaxes(title_text="rows", col=1)
    return figure.update_layout(bargap=0, **layout(ROW * -(-len(norms) // IN_A_ROW)))


def co_consumption_plot(found: Mapping[str, CoConsumption]) -> go.Figure:
    """Draw the two shares of each modality, at least one, as bars side by side."""
    figure = go.Figure()
    for kind, colour in (("neighbours", ORANGE), ("random", GREY)):
        figure.add_bar(
            x=[getattr(part, kind) for part in found.values()], y=list(map(plain, found)), orientation="h", name=kind,
            marker={"color": colour}, texttemplate="%{x:.1%}", hovertemplate="%{y}: %{x:.2%}",
        )  # fmt: skip
    figure.update_xaxes(title_text="pairs of items with a training user in common", tickformat="~%")
    figure.update_yaxes(type="category", autorange="reversed")
    return figure.update_layout(**layout(110 + TWO_BARS * len(found)))
