"""The results of a comparison's runs by dataset, and the tests between its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from recbole.config import Config

from recbole_mm.base.metrics import key_of
from recbole_mm.comparison.benchmark import NOT_TRAINED, Benchmark, Entry, Run, Tuning
from recbole_mm.comparison.configured import ConfiguredRows
from recbole_mm.comparison.differences import differences
from recbole_mm.comparison.planned_runs import PlannedRun
from recbole_mm.comparison.training import read_run


def collected(configured: ConfiguredRows, planned_runs: Sequence[PlannedRun], tuning: Tuning) -> Benchmark:
    """Return the results of the runs on a dataset; those on others are passed over."""
    dataset, config = configured.dataset, configured.config
    found = {
        (planned.row.label, planned.seed): read_run(planned) for planned in planned_runs if planned.dataset == dataset
    }
    seeds = tuple(sorted({seed for _, seed in found}))
    held_out: dict[int, Any] = {}
    entries: list[Entry] = []
    valid_metric = key_of(config["valid_metric"])
    tested = dict.fromkeys(metric for one in found.values() if one for metric in one[0].test or ())
    metrics = tuple(sorted(tested, key=_place(config))) or (valid_metric,)
    for row in configured.rows:
        runs = []
        for seed in seeds:
            run, result = found[row.label, seed] or (Run(seed, NOT_TRAINED), {})
            if result and held_out.setdefault(seed, result["held_out"]) != result["held_out"]:
                run = Run(seed, "evaluated on a different test set than the other rows")
            runs.append(run)
        entries.append(Entry(row.label, row.ablation_of, row.baseline, tuple(runs)))
    tested_pairs = differences(entries, valid_metric, metrics)
    return Benchmark(dataset, valid_metric, metrics, seeds, tuple(entries), tested_pairs, tuning)


def _place(config: Config) -> Callable[[str], tuple[int, int]]:
    """Return what sorts metrics, such as ``ndcg@10``, as the settings have them: by name, then by k."""
    names = [name.lower() for name in config["metrics"]]

    def place(metric: str) -> tuple[int, int]:
        name, _, k = metric.partition("@")
        return names.index(name) if name in names else len(names), int(k or 0)

    return place
