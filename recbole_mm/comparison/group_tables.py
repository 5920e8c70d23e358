"""The tests of a comparison by group of users and of items, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recbole_mm.base.metrics import key_of, spelled
from recbole_mm.comparison.benchmark import Benchmark, Entry, mean_and_std
from recbole_mm.comparison.cells import entry_title, in_digits, ordered
from recbole_mm.comparison.text_tables import as_csv, escape_markdown
from recbole_mm.training.groups import group_title

Kind = tuple[str, str]  # users or items, and the title of the group


@dataclass(frozen=True, slots=True)
class GroupValue:
    """A metric of an entry on one group.

    Attributes
    ----------
    evaluated : tuple of int
        Users that the metric is a mean over, one number a seed.
    """

    kind: Kind
    metric: str
    evaluated: tuple[int, ...]
    mean: float
    std: float | None


def group_values(entry: Entry) -> Iterator[GroupValue]:
    """Yield every metric of every group that some run of the entry was tested on."""
    found: dict[tuple[Kind, str], list[tuple[int, float]]] = {}
    for run in entry.finished:
        for kind, groups in (run.groups or {}).items():
            for group in groups:
                for metric, value in group["metrics"].items():
                    key = (kind, group_title(group)), metric
                    found.setdefault(key, []).append((group["evaluated"], value))
    for (of, metric), each in found.items():
        mean, std = mean_and_std([value for _, value in each])
        yield GroupValue(of, metric, tuple(count for count, _ in each), mean, std)


def groups_csv(benchmarks: Sequence[Benchmark]) -> str:
    """Return every value unrounded: a row a dataset, model, group and metric."""
    header = ("dataset", "model", "of", "group", "metric", "mean", "std", "n_seeds", "evaluated")
    return as_csv(
        header,
        (
            (benchmark.dataset, entry.label, *one.kind, one.metric, one.mean, one.std, len(one.evaluated),
             " ".join(map(str, dict.fromkeys(one.evaluated))))
            for benchmark in benchmarks for entry in benchmark.entries for one in group_values(entry)
        ),
    )  # fmt: skip


def groups_markdown(benchmarks: Sequence[Benchmark]) -> str:
    """Return a table a dataset: the test metric of the validation's name, a column a group."""
    return "\n".join(map(_markdown, benchmarks))


def _markdown(benchmark: Benchmark) -> str:
    metric = key_of(benchmark.valid_metric)
    rows = {
        entry_title(entry): {one.kind: one for one in group_values(entry) if one.metric == metric}
        for entry in ordered(benchmark)
    }
    kinds = list(dict.fromkeys(kind for row in rows.values() for kind in row))
    lines = [["model", *(f"{of}: {title}" for of, title in kinds)], ["---"] * (len(kinds) + 1)]
    for label, row in rows.items():
        lines.append([escape_markdown(label), *(_cell(row.get(kind)) for kind in kinds)])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    told = (
        f"{spelled(metric)} of the test by training interactions of users and of items. For a group of items only its "
    )
    told += "own items count as test interactions, for the users who have one."
    return f"### {escape_markdown(benchmark.dataset)}\n\n{table}\n\n{told}\n"


def _cell(value: GroupValue | None) -> str:
    return "–" if value is None else in_digits(value.mean, value.std)
