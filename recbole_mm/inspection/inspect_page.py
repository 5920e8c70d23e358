"""An inspection as one HTML file that needs no other."""

from __future__ import annotations

from recbole_mm.html.plots import plot_html, plotlyjs
from recbole_mm.html.render import render
from recbole_mm.inspection.found import Inspection
from recbole_mm.inspection.inspect_plots import co_consumption_plot, history_plot, norms_plot
from recbole_mm.inspection.inspect_tables import counts_summary, tables_of


def inspection_html(found: Inspection) -> str:
    """Return the page: problems first, then what could be counted, with tables and plots."""
    counts = found.interactions
    pairs = [part.co_consumption.k for part in found.modalities.values() if part.co_consumption is not None]
    return render(
        "inspection.html",
        found=found,
        summary=counts_summary(counts) if counts else "The dataset cannot be loaded.",
        tables=tables_of(found),
        plots=_plots(found),
        k=max(pairs, default=0),
        plotlyjs=plotlyjs(),
    )


def _plots(found: Inspection) -> dict[str, str]:
    """Return by name the HTML of the plots of what there is."""
    counts, plots = found.interactions, {}
    if counts is not None and counts.n:
        plots["history"] = history_plot(counts)
    norms = {name: part.features.norms for name, part in found.modalities.items() if part.features is not None}
    if norms:
        plots["norms"] = norms_plot(norms)
    seen = {name: part.co_consumption for name, part in found.modalities.items() if part.co_consumption is not None}
    if seen:
        plots["co_consumption"] = co_consumption_plot(seen)
    return {name: plot_html(figure, name) for name, figure in plots.items()}
