"""The tables that the screen and the page share: their headers, their rows, numbers as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole_mm.base.errors import number_of
from recbole_mm.inspection.found import Inspection, Modality
from recbole_mm.inspection.statistics import Counts, SplitCounts, distribution


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; a row has as many as the header."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables_of(found: Inspection) -> dict[str, Table]:
    """Return by section the tables of what there is."""
    counts, tables = found.interactions, {}
    if counts is not None and counts.n:
        tables["interactions"] = counts_table(counts)
    if found.splits:
        tables["splits"] = splits_table(found.splits)
    if found.modalities:
        tables["modalities"] = files_table(found)
    if (cards := cards_table(found)).rows:
        tables["cards"] = cards
    if any(part.co_consumption is not None for part in found.modalities.values()):
        tables["co_consumption"] = co_consumption_table(found)
    return tables


def counts_summary(found: Counts) -> str:
    return (
        f"{number_of(len(found.per_user), 'user')}, {number_of(len(found.per_item), 'item')}, "
        f"{number_of(found.n, 'interaction')}, "
        f"density {found.density * 100:.3g} %"
    )


def counts_table(found: Counts) -> Table:
    header = ("interactions", "min", "25 %", "median", "75 %", "max", "mean", "with none")
    rows = [
        (name, *_distribution(counts), f"{(counts == 0).sum():,}")
        for name, counts in (("a user", found.per_user), ("an item", found.per_item))
        if len(counts)
    ]
    return Table(header, rows)


def _distribution(values: np.ndarray) -> tuple[str, ...]:
    found = distribution(values)
    numbers = (found.low, found.lower, found.median, found.upper, found.high, found.mean)
    return tuple(number_text(value) for value in numbers)


def splits_table(splits: Sequence[SplitCounts]) -> Table:
    header = ("split", "interactions", "users", "items", "cold users", "their share", "cold items", "their share")
    return Table(header, [_split(split, is_train=place == 0) for place, split in enumerate(splits)])


def _split(split: SplitCounts, is_train: bool) -> tuple[str, ...]:
    sizes = split.name, f"{split.n:,}", f"{split.users:,}", f"{split.items:,}"
    if is_train:
        return *sizes, "", "", "", ""
    users = f"{split.cold_users:,}", f"{split.cold_user_share:.1%}"
    return *sizes, *users, f"{split.cold_items:,}", f"{split.cold_item_share:.1%}"


def files_table(found: Inspection) -> Table:
    header = ("modality", "rows", "dim", "type", "covered", "norm", "copies", "zero rows", "constant columns")
    n_items = len(found.interactions.per_item) if found.interactions else None
    return Table(header, [_file(name, modality, n_items) for name, modality in found.modalities.items()])


def _file(name: str, modality: Modality, n_items: int | None) -> tuple[str, ...]:
    read = modality.features
    if read is None:
        return name, *("",) * 7, "cannot be read"
    covered = "" if modality.covered is None or not n_items else f"{modality.covered / n_items:.1%}"
    low, median, high = (number_text(value) for value in np.percentile(read.norms, (0, 50, 100)))
    flaws = (f"{len(part):,}" for part in (read.copies, read.zeros, read.constant_columns))
    return name, f"{read.rows:,}", f"{read.dim:,}", read.dtype, covered, f"{low} / {median} / {high}", *flaws


def cards_table(found: Inspection) -> Table:
    rows = [(name, modality.card.line()) for name, modality in found.modalities.items() if modality.card]
    return Table(("modality", "made by"), rows)


def co_consumption_table(found: Inspection) -> Table:
    header = ("modality", "items", "pairs", "neighbours", "random pairs", "ratio")
    rows = []
    for name, modality in found.modalities.items():
        if (seen := modality.co_consumption) is not None:
            shares = f"{seen.neighbours:.1%}", f"{seen.random:.1%}", f"{seen.ratio:.2f}"
            rows.append((name, f"{seen.items:,}", f"{seen.edges:,}", *shares))
    return Table(header, rows)


def number_text(value: float) -> str:
    """Write whole numbers in full and others to three digits."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"
