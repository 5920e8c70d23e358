"""An inspection as one HTML file that needs no other."""

from __future__ import annotations

import base64

from recbole_mm.html.render import render
from recbole_mm.inspection.found import Inspection
from recbole_mm.inspection.inspect_plots import co_consumption_figure, history_figure, norms_figure
from recbole_mm.inspection.inspect_tables import (
    Table,
    co_consumption_table,
    counts_summary,
    counts_table,
    files_table,
    splits_table,
)


def inspection_html(found: Inspection) -> str:
    """Return the page: problems first, then what could be counted, with tables and plots."""
    counts = found.interactions
    pairs = [part.co_consumption.k for part in found.modalities.values() if part.co_consumption is not None]
    return render(
        "inspection.html",
        found=found,
        summary=counts_summary(counts) if counts else "The dataset cannot be loaded.",
        tables=_tables(found),
        plots={name: base64.b64encode(png).decode() for name, png in _plots(found).items()},
        k=max(pairs, default=0),
    )


def _tables(found: Inspection) -> dict[str, Table]:
    """Return by section the tables of what there is."""
    counts, tables = found.interactions, {}
    if counts is not None and counts.n:
        tables["interactions"] = counts_table(counts)
    if found.splits:
        tables["splits"] = splits_table(found.splits)
    if found.modalities:
        tables["modalities"] = files_table(found)
    if any(part.co_consumption is not None for part in found.modalities.values()):
        tables["co_consumption"] = co_consumption_table(found)
    return tables


def _plots(found: Inspection) -> dict[str, bytes]:
    counts, plots = found.interactions, {}
    if counts is not None and counts.n:
        plots["history"] = history_figure(counts)
    norms = {name: part.features.norms for name, part in found.modalities.items() if part.features is not None}
    if norms:
        plots["norms"] = norms_figure(norms)
    seen = {name: part.co_consumption for name, part in found.modalities.items() if part.co_consumption is not None}
    if seen:
        plots["co_consumption"] = co_consumption_figure(seen)
    return plots
