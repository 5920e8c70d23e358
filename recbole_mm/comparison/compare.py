"""All of `recbole-mm compare`: the rows, their runs, and the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config
from recbole.utils import get_model

from recbole_mm.base.errors import InputError, Unfinished
from recbole_mm.base.files import folder_lock
from recbole_mm.base.metrics import key_of
from recbole_mm.comparison.benchmark import NOT_TRAINED, Benchmark, Entry, Run
from recbole_mm.comparison.compare_progress import Progress
from recbole_mm.comparison.differences import differences
from recbole_mm.comparison.options import CompareOptions
from recbole_mm.comparison.output import write_outputs
from recbole_mm.comparison.planned_runs import PlannedRow, PlannedRun, check_once, configure_row, planned_run
from recbole_mm.comparison.running import in_processes, in_ray
from recbole_mm.comparison.together import MIXED, check_alike, is_mixed, load_alike
from recbole_mm.comparison.training import read_run
from recbole_mm.configuration.request import Request, read_yaml
from recbole_mm.parallel.devices import devices_kept
from recbole_mm.training.run_screen import Line, duration


def compare(
    rows: Sequence[PlannedRow],
    datasets: Sequence[str],
    common: Request,
    options: CompareOptions,
    say: Line,
    *,
    out: Path,
    ray: str | None = None,
    command: str = "",
) -> list[Benchmark]:
    """Train every row on every dataset with every seed, and write the tables; finished runs are kept.

    Parameters
    ----------
    rows, datasets
        What is compared.
    common : Request
        Files and settings of all.
    options : CompareOptions
        How.
    say : callable
        Receives lines for the user.
    out : Path
        The folder of the comparison, new or of an earlier command.
    ray : str, optional
        Train with Ray, on the cluster at this address or, where it is empty, on this machine.
    command : str
        For the report.

    Raises
    ------
    InputError
        Before any training: settings, data, rows that cannot be compared, or a folder in which another one works.
    Unfinished
        At Ctrl-C; the results so far are written.
    """
    check_once("datasets", datasets)
    if not datasets:
        raise InputError("nothing to compare on: name datasets, such as --datasets=ml-100k")
    out = out.resolve()
    threads = options.cpus if ray is not None else max(1, torch.get_num_threads() // options.jobs)
    planned_runs: list[PlannedRun] = []
    configs: dict[str, Config] = {}  # one a dataset: rows are evaluated alike
    with devices_kept():
        for dataset in datasets:
            asked, hashes, first = _asked(rows, dataset, common, say)
            configs[dataset] = next(iter(asked.values()))[1]
            planned_runs += [
                planned_run(row, asked[row.label], data_hash=hashes[row.label], seed=seed, out=out, threads=threads)
                for seed in range(first, first + options.num_seeds)
                for row in rows
            ]
    planned_runs.sort(
        key=lambda planned: planned.seed
    )  # the first seed of all, then the next: so that a table of all rows is there early
    with folder_lock(out):
        missing = [planned for planned in planned_runs if not _is_finished(planned)]
        say(f"{len(planned_runs)} runs, {len(planned_runs) - len(missing)} already finished; results in {out}")
        try:
            _train(missing, len(planned_runs) - len(missing), options, ray, say)
        except KeyboardInterrupt:
            done = sum(map(_is_finished, planned_runs))
            raise Unfinished(f"after {done} of {len(planned_runs)} runs", out) from None
        finally:
            benchmarks = [_benchmark(dataset, config, rows, planned_runs) for dataset, config in configs.items()]
            write_outputs(out, benchmarks, planned_runs, command)
    return benchmarks


def _asked(
    rows: Sequence[PlannedRow], dataset: str, common: Request, say: Line
) -> tuple[dict[str, tuple[Request, Config]], dict[str, str], int]:
    """Return the request of each row, the hash of its data, and the first seed, if the rows can be compared."""
    # Of no row, whose own file may have a seed of its own.
    _, plain = configure_row(PlannedRow(rows[0].model, rows[0].model), dataset, common)
    mixed = is_mixed(get_model(row.model).type for row in rows)
    if mixed:
        files = [*common.config_files, *(file for row in rows for file in row.files)]
        given = {key for file in files for key in read_yaml(file)}
        if plain["benchmark_filename"]:
            given.add("eval_args")
        added = {key: value for key, value in MIXED.items() if key not in given}
        common = replace(common, settings={**added, **(common.settings or {})})
    asked = {row.label: configure_row(row, dataset, common) for row in rows}
    configs = {label: config for label, (_, config) in asked.items()}
    check_alike(configs)
    hashes, held_out = load_alike(configs)
    say(_told(dataset, held_out, next(iter(configs.values())), mixed))
    return asked, hashes, plain["seed"]


def _told(dataset: str, held_out: Mapping[str, Any], config: Any, mixed: bool) -> str:
    valid, test = (
        f"{held_out[split]['interactions']} interactions of {held_out[split]['users']} users"
        for split in ("valid", "test")
    )
    kinds = "; sequential models, too, rank once per user and leave seen items out" if mixed else ""
    return (
        f"{dataset}: {valid} in validation and {test} in test, each among {held_out['items']} items, "
        f"chosen by {config['valid_metric']}{kinds}"
    )


def _train(planned_runs: Sequence[PlannedRun], done: int, options: CompareOptions, ray: str | None, say: Line) -> None:
    """Train runs, and tell the result of each."""
    if not planned_runs:
        return
    progress = Progress(planned_runs, done)
    try:
        for planned in in_processes(planned_runs, options.jobs) if ray is None else in_ray(planned_runs, options, ray):
            progress.ended(planned, *_ending(planned))
    finally:
        progress.close()


def _is_finished(planned: PlannedRun) -> bool:
    """Return whether there is a result; a run that failed has none, and is tried again."""
    found = read_run(planned)
    return found is not None and not found[0].error


def _ending(planned: PlannedRun) -> tuple[float, str]:
    """Return how many seconds a run took, 0 where it failed, and its result in words."""
    run, result = read_run(planned) or (Run(planned.seed, NOT_TRAINED), {})
    name = f"{planned.row.label} on {planned.dataset}, seed {planned.seed}"
    if run.error:
        return 0.0, f"{name}: failed: {run.error.splitlines()[-1]}"
    metric = key_of(result["valid_metric"])
    found = f"{metric} {(run.valid or {})[metric]:.4f} in validation, {result['epochs']} epochs"
    return result["seconds"], f"{name}: {found}, {duration(result['seconds'])}"


def _benchmark(
    dataset: str, config: Config, rows: Sequence[PlannedRow], planned_runs: Sequence[PlannedRun]
) -> Benchmark:
    """Return the results of a dataset, and the tests between its rows."""
    found = {
        (planned.row.label, planned.seed): read_run(planned) for planned in planned_runs if planned.dataset == dataset
    }
    seeds = tuple(sorted({seed for _, seed in found}))
    held_out: dict[int, Any] = {}
    entries: list[Entry] = []
    valid_metric = key_of(config["valid_metric"])
    tested = dict.fromkeys(metric for one in found.values() if one for metric in one[0].test or ())
    metrics = tuple(sorted(tested, key=_place(config))) or (valid_metric,)
    for row in rows:
        runs = []
        for seed in seeds:
            run, result = found[row.label, seed] or (Run(seed, NOT_TRAINED), {})
            if result and held_out.setdefault(seed, result["held_out"]) != result["held_out"]:
                run = Run(seed, "evaluated on a different test set than the other rows")
            runs.append(run)
        entries.append(Entry(row.label, row.ablation_of, row.baseline, tuple(runs)))
    return Benchmark(dataset, valid_metric, metrics, seeds, tuple(entries), differences(entries, valid_metric, metrics))


def _place(config: Config) -> Callable[[str], tuple[int, int]]:
    """Return what sorts metrics, such as ``ndcg@10``, as the settings have them: by name, then by k."""
    names = [name.lower() for name in config["metrics"]]

    def place(metric: str) -> tuple[int, int]:
        name, _, k = metric.partition("@")
        return names.index(name) if name in names else len(names), int(k or 0)

    return place
