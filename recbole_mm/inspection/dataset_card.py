"""An inspection as a data set card: a Markdown page to publish beside the data."""

from __future__ import annotations

from tabulate import tabulate

from recbole_mm.base.environment import environment
from recbole_mm.inspection.found import Inspection
from recbole_mm.inspection.inspect_tables import Table, counts_summary, tables_of

TO_FILL_IN = ("Source", "Licence", "How interactions were collected", "What they must not be used for", "Citation")

SECTIONS = {  # of the tables, with what is said below them
    "interactions": ("Interactions", ""),
    "splits": ("Splits", "Cold: without a training interaction."),
    "modalities": ("Modalities", "Norm: min / median / max of the rows, before normalisation."),
    "cards": ("How features were made", ""),
    "co_consumption": ("Co-consumption", "Shares of the pairs of items that have a training user in common."),
}


def dataset_card(found: Inspection) -> str:
    """Return the card: what nobody but its author knows is to be filled in, what can be counted is."""
    counts = found.interactions
    parts = [f"# {found.dataset}", counts_summary(counts) if counts else "The dataset cannot be loaded."]
    parts.append("\n".join(f"- {what}: to be filled in" for what in TO_FILL_IN))
    for section, table in tables_of(found).items():
        title, about = SECTIONS[section]
        parts += [f"## {title}", _markdown(table), about]
    problems = (*found.problems.errors, *found.problems.warnings)
    parts += ["## Problems", found.problems.outcome(), "\n".join(f"- {one.kind}: {one.text}" for one in problems)]
    versions = ", ".join(f"{name} {version}" for name, version in environment().items())
    hashed = f"The hash of its files is `{found.data_hash}`. " if found.data_hash else ""
    parts.append(f"{hashed}Made by `recbole-mm inspect {found.dataset} --card` ({versions}).")
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown(table: Table) -> str:
    align = ("left", *("right",) * (len(table.header) - 1))
    rows = [[cell.replace("|", "\\|") for cell in row] for row in table.rows]
    return tabulate(rows, table.header, tablefmt="github", disable_numparse=True, colalign=align)
