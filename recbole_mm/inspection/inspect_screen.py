"""An inspection as text, a screen of it."""

from __future__ import annotations

from recbole_mm.base.screen_tables import text_table
from recbole_mm.inspection.found import Inspection
from recbole_mm.inspection.inspect_tables import Table, counts_summary, tables_of

BELOW = {  # what is said below a table
    "modalities": "\n(norm: min / median / max of the rows, before normalisation)",
    "co_consumption": "\n(shares of the pairs whose two items have a training user in common)",
}


def screen(found: Inspection) -> str:
    """Return the tables of what there is, and every problem, the errors first."""
    counts = found.interactions
    summary = counts_summary(counts) if counts else "not loaded"
    parts = [f"{found.dataset}, as {found.model} would train on it: {summary}"]
    for section, table in tables_of(found).items():
        if section == "cards":  # lines of their own, too long for a column
            parts += [f"{name}: {made}" for name, made in table.rows]
        else:
            parts.append(_text(table) + BELOW.get(section, ""))
    return "\n\n".join([*parts, _problems(found)])


def _text(table: Table) -> str:
    return text_table(table.header, table.rows, right=range(1, len(table.header)))


def _problems(found: Inspection) -> str:
    problems = (*found.problems.errors, *found.problems.warnings)
    return "\n".join([found.problems.outcome(), *(f"{problem.kind}: {problem.text}" for problem in problems)])
