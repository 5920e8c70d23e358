"""The cells of a comparison's tables, before they are Markdown, LaTeX or HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from recbole_mm.base.metrics import sign, spelled
from recbole_mm.comparison.benchmark import NOT_TRAINED, Benchmark, Entry
from recbole_mm.comparison.significance import Difference

ALPHA = 0.05
BETTER, WORSE = "*", "†"
BEST, SECOND = 1, 2


@dataclass(frozen=True, slots=True)
class TableCell:
    """One value of a table.

    Attributes
    ----------
    rank : int
        `BEST`, `SECOND`, or 0 for any other.
    mark : str
        `BETTER` or `WORSE` where it is significantly so, else empty.
    """

    text: str
    rank: int = 0
    mark: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    label: str
    cells: tuple[TableCell, ...]


@dataclass(frozen=True, slots=True)
class Notation:
    """How one language writes a row.

    Attributes
    ----------
    ranks : mapping
        `BEST` and `SECOND` -> what stands before and after such a value.
    marks : mapping
        `BETTER` and `WORSE` -> what stands behind the value.
    """

    escape: Callable[[str], str]
    ranks: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)

    def row(self, row: TableRow) -> list[str]:
        return [self.escape(row.label), *map(self.cell, row.cells)]

    def cell(self, cell: TableCell) -> str:
        before, after = self.ranks.get(cell.rank, ("", ""))
        return before + self.escape(cell.text) + after + self.marks.get(cell.mark, "")


def ordered(benchmark: Benchmark) -> list[Entry]:
    """Return the entries as a table has them: every model, and directly under it its ablations."""
    models = {entry.label: [entry] for entry in benchmark.entries if not entry.ablation_of}
    for entry in benchmark.entries:
        if entry.ablation_of:
            models.setdefault(entry.ablation_of, []).append(entry)
    return [entry for family in models.values() for entry in family]


def entry_title(entry: Entry) -> str:
    """Return the label, and how many runs finished where some but not all did."""
    finished, asked = len(entry.finished), len(entry.runs)
    return f"{entry.label} ({finished} of {asked} seeds)" if 0 < finished < asked else entry.label


def table_rows(benchmark: Benchmark) -> list[TableRow]:
    ranks = {metric: _ranks(benchmark, metric) for metric in benchmark.metrics}
    marks = {(one.label, one.metric): mark(one) for one in benchmark.differences if one.over == "users"}
    return [
        TableRow(
            entry_title(entry),
            tuple(
                TableCell(text(entry, metric), ranks[metric].get(entry.label, 0), marks.get((entry.label, metric), ""))
                for metric in benchmark.metrics
            ),
        )
        for entry in ordered(benchmark)
    ]


def text(entry: Entry, metric: str) -> str:
    """Return the mean in the test, and with two or more seeds the std."""
    mean, std = entry.mean("test", metric), entry.std("test", metric)
    if mean is None:
        return "failed" if all(run.error not in ("", NOT_TRAINED) for run in entry.runs) else "–"
    return in_digits(mean, std)


def in_digits(mean: float, std: float | None) -> str:
    """Return a mean as a table has it, and with two or more seeds the std."""
    return f"{mean:.4f}" if std is None else f"{mean:.4f} ± {std:.4f}"


def mark(difference: Difference) -> str:
    """Return `BETTER` or `WORSE` where both tests are significant and say the same, else an empty text."""
    tests = difference.wilcoxon, difference.t
    for direction, found in ((1, BETTER), (-1, WORSE)):
        if all(test.p_holm < ALPHA and direction * sign(difference.metric) * test.effect > 0 for test in tests):
            return found
    return ""


def _ranks(benchmark: Benchmark, metric: str) -> dict[str, int]:
    """Return the labels of the best and of the second mean, whoever shares them."""
    ranked = benchmark.ranked(metric)
    means = list(dict.fromkeys(entry.mean("test", metric) for entry in ranked))
    ranks = {entry.label: means.index(entry.mean("test", metric)) + 1 for entry in ranked}
    return {label: rank for label, rank in ranks.items() if rank in (BEST, SECOND)}


def caption(benchmark: Benchmark) -> str:
    """Return what a table says about itself, as plain text."""
    seeds = ", ".join(map(str, benchmark.seeds))
    several = len(benchmark.seeds) > 1
    values = f"mean ± standard deviation over the seeds {seeds}" if several else f"one run with the seed {seeds}"
    lines = [
        f"Test on {benchmark.dataset}: {values}.",
        f"Every run is tested at its best epoch by {spelled(benchmark.valid_metric)} in validation.",
        *_settings(benchmark),
        "Best bold, second underlined.",
    ]
    if not all(entry.complete for entry in benchmark.entries):
        lines.append("Without all seeds an entry is not ranked.")
    tests = [one for one in benchmark.differences if one.over == "users"]
    if tests:
        averaged = ", each averaged over the seeds" if several else ""
        lines += [
            f"{BETTER} is significantly better and {WORSE} significantly worse than what it is compared with: "
            f"paired Wilcoxon signed-rank test and t-test over users{averaged}, two-sided, both p < {ALPHA} "
            f"after Holm's correction for {_comparisons(len(tests))} over users on this dataset.",
            f"Compared: {_pairs(benchmark, tests)}.",
        ]
    return " ".join(lines)


def _settings(benchmark: Benchmark) -> list[str]:
    """Return what is said of the settings with which the rows were trained."""
    tuning = benchmark.tuning
    others = "; ".join(f"{_named(label)} ({exception})" for label, exception in tuning.exceptions.items())
    but = f", but for {others}" if others else ""
    for_all = _listed([f"{name} {value}" for name, value in tuning.for_all.items()])
    if not tuning.trials:
        settings = f"{for_all} for all, and default settings otherwise" if for_all else "default settings"
        return [f"Every model is trained with {settings}{but}."]
    trials = f"{tuning.trials} trial{'s' if tuning.trials > 1 else ''}"
    given = f", with {for_all} for all" if for_all else ""
    lines = [f"Every model is tuned by {trials} each on validation{given}{but}."]
    if any(entry.ablation_of for entry in benchmark.entries):
        lines.append("A variant has the tuned settings of its model, and its own change.")
    return lines


def _listed(words: list[str]) -> str:
    """Return words with commas between them and an `and` before the last."""
    *before, last = words or [""]
    return f"{', '.join(before)} and {last}" if before else last


def _comparisons(n: int) -> str:
    return "the one comparison" if n == 1 else f"all {n} comparisons"


def _pairs(benchmark: Benchmark, tests: list[Difference]) -> str:
    whole = {entry.label: entry.ablation_of for entry in benchmark.entries}
    against = {one.against for one in tests if one.against != whole.get(one.label)}  # one, unless it has none
    chosen = next((entry.label for entry in benchmark.entries if entry.baseline and entry.label in against), None)
    compared: dict[str, dict[str, None]] = {}
    for one in tests:
        compared.setdefault(one.against, {})[one.label] = None
    best = f", the best baseline by {spelled(benchmark.valid_metric)} in validation"
    return "; ".join(
        f"{', '.join(map(_named, labels))} with {_named(other)}{best if other == chosen else ''}"
        for other, labels in compared.items()
    )


def _named(label: str) -> str:
    """Return a label among others, in quotes where it has a comma."""
    return f"'{label}'" if "," in label else label
