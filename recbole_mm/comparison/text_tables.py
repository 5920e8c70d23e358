"""The tables of a comparison as text: Markdown and LaTeX for reading, CSV with every value for computing."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from recbole_mm.base.metrics import spelled
from recbole_mm.comparison.benchmark import Benchmark, Entry
from recbole_mm.comparison.cells import BEST, BETTER, SECOND, WORSE, Notation, caption, table_rows

LATEX_TEXT = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "–": "--",
    "[": "{[}",  # after the \\ of the row before it would be an argument
    "*": "{*}",
    **{character: "\\" + character for character in "_%&#${}"},
}


def escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~&$#])", r"\\\1", _one_line(text))


def escape_latex(text: str) -> str:
    return "".join(LATEX_TEXT.get(character, character) for character in _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


MARKDOWN = Notation(
    escape_markdown,
    ranks={BEST: ("**", "**"), SECOND: ("<u>", "</u>")},
    marks={BETTER: r"\*", WORSE: "†"},
)
LATEX = Notation(
    escape_latex,
    ranks={BEST: (r"\textbf{", "}"), SECOND: (r"\underline{", "}")},
    marks={BETTER: "$^{*}$", WORSE: r"$^{\dagger}$"},
)


def markdown(benchmarks: Sequence[Benchmark]) -> str:
    """Return a table a dataset under a heading of its own, and its caption behind it."""
    return "\n".join(map(_markdown, benchmarks))


def _markdown(benchmark: Benchmark) -> str:
    header = ["model", *(escape_markdown(spelled(metric)) for metric in benchmark.metrics)]
    lines = [header, ["---"] * len(header), *map(MARKDOWN.row, table_rows(benchmark))]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"### {escape_markdown(benchmark.dataset)}\n\n{table}\n\n{escape_markdown(caption(benchmark))}\n"


def latex(benchmarks: Sequence[Benchmark]) -> str:
    r"""Return a `table` a dataset, labelled ``tab:`` and its name, for a document with ``\usepackage{booktabs}``."""
    return "\n".join(map(_latex, benchmarks))


def _latex(benchmark: Benchmark) -> str:
    header = ["Model", *(escape_latex(spelled(metric)) for metric in benchmark.metrics)]
    name = re.sub(r"[^A-Za-z0-9]+", "-", benchmark.dataset).strip("-")
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(caption(benchmark))}}}",
        rf"\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{l{'c' * len(benchmark.metrics)}}}",
        r"\toprule",
        _latex_row(header),
        r"\midrule",
        *(_latex_row(LATEX.row(row)) for row in table_rows(benchmark)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def csv_text(benchmarks: Sequence[Benchmark]) -> str:
    """Return every value unrounded: a row a dataset, model, split and metric, with a column a seed."""
    seeds = list(dict.fromkeys(seed for benchmark in benchmarks for seed in benchmark.seeds))
    header = ("dataset", "model", "split", "metric", "mean", "std", "n_seeds", *(f"seed_{seed}" for seed in seeds))
    return as_csv(
        header,
        (
            (benchmark.dataset, *row)
            for benchmark in benchmarks
            for entry in benchmark.entries
            for split in ("valid", "test")
            for row in _values(entry, split, _metrics(benchmark, split), seeds)
        ),
    )


def _metrics(benchmark: Benchmark, split: str) -> list[str]:
    first = benchmark.metrics if split == "test" else ()
    runs = (getattr(run, split) or {} for entry in benchmark.entries for run in entry.finished)
    return list(dict.fromkeys([*first, *(metric for values in runs for metric in values)]))


def _values(entry: Entry, split: str, metrics: Iterable[str], seeds: Iterable[int]) -> Iterable[tuple[object, ...]]:
    found = {run.seed: getattr(run, split) or {} for run in entry.finished}
    for metric in metrics:
        by_seed = [found.get(seed, {}).get(metric) for seed in seeds]
        mean, std = entry.mean(split, metric), entry.std(split, metric)
        yield entry.label, split, metric, mean, std, len(entry.values(split, metric)), *by_seed


def differences_csv(benchmarks: Sequence[Benchmark]) -> str:
    """Return every paired test unrounded: a row a difference."""
    pair = ("against", "metric", "over", "n", "n_different", "mean")
    tests = ("wilcoxon_p", "wilcoxon_p_holm", "wilcoxon_q", "rank_biserial", "t_p", "t_p_holm", "t_q", "cohens_d")
    return as_csv(
        ("dataset", "model", *pair, *tests),
        (
            (benchmark.dataset, one.label, *(getattr(one, name) for name in pair), *one.wilcoxon, *one.t)
            for benchmark in benchmarks
            for one in benchmark.differences
        ),
    )


def as_csv(header: Sequence[str], lines: Iterable[Iterable[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return stream.getvalue()
