"""An inspection as text, a screen of it."""

from __future__ import annotations

from recbole_mm.base.screen_tables import text_table
from recbole_mm.inspection.found import Inspection
from recbole_mm.inspection.inspect_tables import (
    Table,
    cards_table,
    co_consumption_table,
    counts_summary,
    counts_table,
    files_table,
    splits_table,
)


def screen(found: Inspection) -> str:
    """Return the tables that have rows, and every problem, the errors first."""
    counts = found.interactions
    parts = [
        f"{found.dataset}, as {found.model} would train on it: {counts_summary(counts) if counts else 'not loaded'}"
    ]
    if counts:
        parts.append(_text(counts_table(counts)))
    if found.splits:
        parts.append(_text(splits_table(found.splits)))
    if found.modalities:
        parts.append(_text(files_table(found)) + "\n(norm: min / median / max of the rows, before normalisation)")
    cards = cards_table(found)
    parts += [f"{name}: {made}" for name, made in cards.rows]
    pairs = co_consumption_table(found)
    if pairs.rows:
        parts.append(_text(pairs) + "\n(shares of the pairs whose two items have a training user in common)")
    return "\n\n".join([*parts, _problems(found)])


def _text(table: Table) -> str:
    return text_table(table.header, table.rows, right=range(1, len(table.header)))


def _problems(found: Inspection) -> str:
    problems = (*found.problems.errors, *found.problems.warnings)
    return "\n".join([found.problems.outcome(), *(f"{problem.kind}: {problem.text}" for problem in problems)])
