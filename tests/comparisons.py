"""Small comparisons: made by hand, for the tests of what is written about them, and trained without processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from recbole_mm.comparison.benchmark import Benchmark, Entry, Run
from recbole_mm.comparison.planned_runs import PlannedRun
from recbole_mm.comparison.significance import Difference, Paired
from recbole_mm.comparison.training import train_run

SEEDS = (2020, 2021, 2022)
FAILED = "Traceback\n  RuntimeError: <out of memory>"


def run(seed: int, test: dict[str, float] | None, **changed: Any) -> Run:
    """Return a run, one that failed where it has no test."""
    given = {"error": "" if test else FAILED, "valid": {"ndcg@10": 0.5}, "seconds": 10.0, "n_parameters": 1000}
    return Run(seed, test=test, **{**given, **changed})


def entry(
    label: str, tests: Sequence[dict[str, float] | None], ablation_of: str = "", baseline: bool = False, **changed: Any
) -> Entry:
    runs = (run(seed, test, **changed) for seed, test in zip(SEEDS, tests, strict=False))
    return Entry(label, ablation_of, baseline, tuple(runs))


def values(metric: str, *found: float | None) -> list[dict[str, float] | None]:
    return [None if value is None else {metric: value} for value in found]


def difference(label: str, mean: float, wilcoxon: float = 0.01, t: float = 0.01, **changed: Any) -> Difference:
    """Return a difference with these p-values after Holm's correction, a tenth of them before it, and q between."""
    direction = (mean > 0) - (mean < 0)
    given = {"against": "LightGCN", "metric": "ndcg@10", "over": "users", "n": 943, "n_different": 900}
    w, s = (Paired(p / 10, p, p / 2, direction * effect) for p, effect in ((wilcoxon, 0.25), (t, 0.125)))
    return Difference(label, mean=mean, wilcoxon=w, t=s, **{**given, **changed})


def benchmark(*entries: Entry, **changed: Any) -> Benchmark:
    given = {"dataset": "ml-100k", "valid_metric": "NDCG@10", "metrics": ("ndcg@10",), "seeds": SEEDS}
    return Benchmark(**{**given, "entries": entries, **changed})


def in_this_process(planned_runs: Sequence[PlannedRun], jobs: int) -> Iterator[PlannedRun]:
    """Train runs one after the other, in place of `in_processes`, whose processes take long to start."""
    for planned in planned_runs:
        train_run(planned)
        yield planned
