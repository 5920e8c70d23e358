"""A comparison as one HTML file that needs no other and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recbole_mm.base.metrics import key_of, spelled
from recbole_mm.comparison import compare_plots
from recbole_mm.comparison.benchmark import Benchmark
from recbole_mm.comparison.cells import BEST, SECOND, TableCell, caption, table_rows
from recbole_mm.comparison.significance import Difference, Paired
from recbole_mm.html.plots import plot_html, plotlyjs
from recbole_mm.html.render import render

TAGS = {BEST: "strong", SECOND: "u", 0: ""}
TESTS = ("Wilcoxon p", "Holm p", "FDR q", "rank-biserial", "t-test p", "Holm p", "FDR q", "Cohen's d")
PAIRS = {
    "users": "A pair is a user, averaged over the seeds.",
    "seeds": "A pair is a seed, averaged over the users.",
}
ENOUGH_SEEDS = 6  # pairs that all have the same sign have p = 2 ** (1 - pairs), 0.03 for these


@dataclass(frozen=True, slots=True)
class Tests:
    """The tests over users or over seeds; `n` is the fewest pairs that one of them has."""

    over: str
    pairs: str
    n: int
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Part:
    """What the page has of one dataset; a plot by its name as HTML."""

    dataset: str
    metric: str
    several_seeds: bool
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    plots: Mapping[str, str]
    tests: Sequence[Tests]


def comparison_html(
    title: str, benchmarks: Sequence[Benchmark], command: str, environment: Mapping[str, str | int]
) -> str:
    """Return the page: the tables first, then what failed, the plots, the tests, and how to do it again.

    Parameters
    ----------
    title, command : str
        Plain text.
    environment : mapping
        As `recbole_mm.base.environment.environment` returns it.
    """
    style = compare_plots.styles(benchmarks)
    return render(
        "comparison.html",
        title=title,
        parts=[_part(benchmark, style, place) for place, benchmark in enumerate(benchmarks, start=1)],
        failed=[
            (entry.label, benchmark.dataset, run.seed, run.error)
            for benchmark in benchmarks
            for entry in benchmark.entries
            for run in entry.runs
            if run.error
        ],
        command=command,
        environment=environment,
        tags=TAGS,
        enough=ENOUGH_SEEDS,
        plotlyjs=plotlyjs(),
    )


def _part(benchmark: Benchmark, style: compare_plots.Styles, place: int) -> Part:
    return Part(
        benchmark.dataset,
        spelled(benchmark.valid_metric),
        len(benchmark.seeds) > 1,
        caption(benchmark),
        ("model", *map(spelled, benchmark.metrics)),
        [(TableCell(row.label), *row.cells) for row in table_rows(benchmark)],
        _plots(benchmark, style, place),
        [found for over in PAIRS if (found := _tests(benchmark, over))],
    )


def _plots(benchmark: Benchmark, style: compare_plots.Styles, place: int) -> dict[str, str]:
    runs = [run for entry in benchmark.entries for run in entry.finished]
    if not runs:
        return {}
    drawn = {"metrics": compare_plots.metrics}
    if any(run.groups for run in runs):
        drawn["groups"] = compare_plots.groups
    if any(key_of(benchmark.valid_metric) in (run.test or {}) for run in runs):
        drawn["costs"] = compare_plots.costs
    if any(run.history for run in runs):
        drawn["curves"] = compare_plots.learning_curves
    return {name: plot_html(draw(benchmark, style), f"{name}-{place}") for name, draw in drawn.items()}


def _tests(benchmark: Benchmark, over: str) -> Tests | None:
    tests = [one for one in benchmark.differences if one.over == over]
    if not tests:
        return None
    header = ("model", "compared with", "metric", "difference", over, "unequal", *TESTS)
    return Tests(over, PAIRS[over], min(one.n for one in tests), header, [_test(one) for one in tests])


def _test(one: Difference) -> list[str]:
    numbers = f"{one.mean:+.4f}", str(one.n), str(one.n_different)
    return [one.label, one.against, spelled(one.metric), *numbers, *_paired(one.wilcoxon), *_paired(one.t)]


def _paired(test: Paired) -> tuple[str, ...]:
    return f"{test.p:.2g}", f"{test.p_holm:.2g}", f"{test.q:.2g}", f"{test.effect:+.3f}"
