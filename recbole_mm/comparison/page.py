"""A comparison as one HTML file that needs no other and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from recbole_mm.base.metrics import key_of, spelled
from recbole_mm.comparison import figures
from recbole_mm.comparison.cells import BEST, BETTER, SECOND, WORSE, Notation, caption, rows
from recbole_mm.comparison.record import Benchmark
from recbole_mm.comparison.significance import Difference, Paired
from recbole_mm.html.markup import Markup, document, table
from recbole_mm.html.plots import figure_html, script

HTML = Notation(
    escape,
    ranks={BEST: ("<strong>", "</strong>"), SECOND: ("<u>", "</u>")},
    marks={BETTER: f"<sup>{BETTER}</sup>", WORSE: f"<sup>{WORSE}</sup>"},
)
TESTS = ("Wilcoxon p", "Holm p", "rank-biserial", "t-test p", "Holm p", "Cohen's d")
STYLE = """<style>
body { max-width: 72rem; }
.wide { overflow-x: auto; } .wide td { white-space: nowrap; } .wide th { overflow-wrap: normal; }
</style>
"""
ENOUGH = 6  # pairs that all have the same sign have p = 2 ** (1 - pairs), 0.03 for these


def page(title: str, benchmarks: Sequence[Benchmark], command: str, environment: Mapping[str, str | int]) -> str:
    """Return the page: the tables first, then what failed, the plots, the tests, and how to do it again.

    Parameters
    ----------
    title, command : str
        Plain text.
    environment : mapping
        As `recbole_mm.base.environment.environment` returns it.
    """
    style = figures.styles(benchmarks)
    parts = [f"<h1>{escape(title)}</h1>", *map(_results, benchmarks), *_failed(benchmarks)]
    for place, benchmark in enumerate(benchmarks, start=1):
        parts += _figures(benchmark, style, place)
    for benchmark in benchmarks:
        parts += _significance(benchmark)
    versions = [(name, str(version)) for name, version in environment.items()]
    parts += ["<h2>Command</h2>", f"<pre>{escape(command)}</pre>", table(("", "version"), versions, "Where it ran.")]
    return document(title, parts, head=STYLE + script())


def _results(benchmark: Benchmark) -> str:
    header = ("model", *map(spelled, benchmark.metrics))
    cells = [[Markup(cell) for cell in HTML.row(row)] for row in rows(benchmark)]
    return f"<h2>{escape(benchmark.dataset)}</h2>\n{_wide(table(header, cells, caption(benchmark)))}"


def _wide(html: str) -> str:
    return f'<div class="wide">{html}</div>'


def _failed(benchmarks: Sequence[Benchmark]) -> list[str]:
    items = [
        f'<li><span class="error">{escape(entry.label)}</span> on {escape(benchmark.dataset)}, seed {run.seed}:'
        f"<pre>{escape(run.error)}</pre></li>"
        for benchmark in benchmarks
        for entry in benchmark.entries
        for run in entry.runs
        if run.error
    ]
    return ["<h2>Without a result</h2>", "<ul>", *items, "</ul>"] if items else []


def _figures(benchmark: Benchmark, style: figures.Styles, place: int) -> list[str]:
    runs = [run for entry in benchmark.entries for run in entry.finished]
    if not runs:
        return []
    bars = " Error bars: standard deviation over the seeds." if len(benchmark.seeds) > 1 else ""
    hide = " A click on the legend hides an entry."
    metric = spelled(benchmark.valid_metric)
    drawn = [(figures.metrics, "metrics", f"The metrics of the test.{bars}")]
    if any(run.groups for run in runs):
        text = (
            f"{metric} in the test, by how many training interactions users and items have; for a group of items only "
            f"they count as test interactions.{bars}{hide}"
        )
        drawn.append((figures.groups, "groups", text))
    if any(key_of(benchmark.valid_metric) in (run.test or {}) for run in runs):
        text = f"{metric} in the test against its cost: training time without validation, and trainable parameters."
        drawn.append((figures.costs, "costs", f"{text}{bars}{hide}"))
    if any(run.history for run in runs):
        drawn.append((figures.learning_curves, "curves", f"{metric} in validation by epoch, a line a seed.{hide}"))
    return [
        f"<h2>Figures: {escape(benchmark.dataset)}</h2>",
        *(figure_html(draw(benchmark, style), f"{name}-{place}", text) for draw, name, text in drawn),
    ]


def _significance(benchmark: Benchmark) -> list[str]:
    parts = []
    for over, pairs in (
        ("users", "A pair is a user, averaged over the seeds."),
        ("seeds", "A pair is a seed, averaged over the users."),
    ):
        tests = [one for one in benchmark.differences if one.over == over]
        if not tests:
            continue
        header = ("model", "compared with", "metric", "difference", over, "unequal", *TESTS)
        text = f"Over {over}: paired, two-sided, {len(tests)} comparisons under Holm's correction. {pairs}"
        n = min(one.n for one in tests)
        if over == "seeds" and n < ENOUGH:
            text += (
                f" With fewer than {ENOUGH} seeds the Wilcoxon test cannot reach p < 0.05: with {n} its smallest p is "
                f"{2.0 ** (1 - n):g}."
            )
        parts.append(_wide(table(header, map(_test, tests), text)))
    return [f"<h2>Significance: {escape(benchmark.dataset)}</h2>", *parts] if parts else []


def _test(one: Difference) -> list[str]:
    numbers = f"{one.mean:+.4f}", str(one.n), str(one.n_different)
    return [one.label, one.against, spelled(one.metric), *numbers, *_paired(one.wilcoxon), *_paired(one.t)]


def _paired(test: Paired) -> tuple[str, str, str]:
    return f"{test.p:.2g}", f"{test.p_holm:.2g}", f"{test.effect:+.3f}"
