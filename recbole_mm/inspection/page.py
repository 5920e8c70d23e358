"""An inspection as one HTML file that needs no other."""

from __future__ import annotations

import base64
from html import escape

from recbole_mm.html.markup import document
from recbole_mm.html.markup import table as html_table
from recbole_mm.inspection.figures import co_consumption_figure, history_figure, norms_figure
from recbole_mm.inspection.result import Inspection
from recbole_mm.inspection.tables import (
    Table,
    co_consumption_table,
    counts_table,
    files_table,
    splits_table,
    summary,
)


def page(found: Inspection) -> str:
    """Return the page: problems first, then what could be counted, with tables and plots."""
    title = f"{found.dataset}, as {found.model} would train on it"
    counts = found.interactions
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{summary(counts) if counts else 'The dataset cannot be loaded.'}</p>"]
    parts += [*_problems(found), *_interactions(found), *_splits(found), *_modalities(found), *_co_consumption(found)]
    return document(title, parts)


def _problems(found: Inspection) -> list[str]:
    items = [
        f'<li><span class="{problem.kind}">{problem.kind}</span>: {escape(problem.text)}</li>'
        for problem in (*found.problems.errors, *found.problems.warnings)
    ]
    return ["<h2>Problems</h2>", f"<p>{found.problems.outcome()}</p>", *(["<ul>", *items, "</ul>"] if items else [])]


def _interactions(found: Inspection) -> list[str]:
    counts = found.interactions
    if counts is None or not counts.n:
        return []
    return [
        "<h2>Interactions</h2>",
        _table(counts_table(counts), "What RecBole's filters leave, before it is split."),
        _figure(
            history_figure(counts),
            "How many users have a history of at least some length, and how many items are at least as popular, among "
            "those with any interaction. A straight line is a power law; a drop at the right end, few outliers.",
        ),
    ]


def _splits(found: Inspection) -> list[str]:
    if not found.splits:
        return []
    caption = (
        "The splits that training would use. Cold users and items have no training interaction; beside them the share "
        "of the split's interactions that are theirs."
    )
    return ["<h2>Splits</h2>", _table(splits_table(found.splits), caption)]


def _modalities(found: Inspection) -> list[str]:
    if not found.modalities:
        return []
    caption = (
        "The feature files as they are, before normalisation. Covered: items of the dataset with a row of their own. "
        "Norm: shortest, median and longest row. Copies: rows that equal an earlier one that is not 0. A file with a "
        "NaN or an infinite number is an error, and cannot be read here."
    )
    parts = ["<h2>Modalities</h2>", _table(files_table(found), caption)]
    norms = {name: part.features.norms for name, part in found.modalities.items() if part.features is not None}
    if norms:
        text = (
            "Lengths of the rows before normalisation. A spike at 0 are items without content; two humps, two sources."
        )
        parts.append(_figure(norms_figure(norms), text))
    return parts


def _co_consumption(found: Inspection) -> list[str]:
    seen = {name: part.co_consumption for name, part in found.modalities.items() if part.co_consumption is not None}
    if not seen:
        return []
    k = max(part.k for part in seen.values())
    caption = (
        f"Pairs of an item and one of its {k} nearest by cosine, against as many random pairs with the same first "
        "items, among items with training interactions and features of their own: the shares whose two items have a "
        "training user in common. A modality whose two shares are alike says little about what is watched together."
    )
    figure = _figure(co_consumption_figure(seen), "The same shares as bars.")
    return ["<h2>Co-consumption</h2>", _table(co_consumption_table(found), caption), figure]


def _table(table: Table, caption: str) -> str:
    return html_table(table.header, table.rows, caption)


def _figure(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    text = escape(caption)
    image = f'<img alt="{text}" src="data:image/png;base64,{data}">'
    return f"<figure>\n{image}\n<figcaption>{text}</figcaption>\n</figure>"
