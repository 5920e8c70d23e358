"""All of `recbole-mm compare`: the rows, their trials and runs, and the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from recbole_mm.base.errors import InputError, Unfinished, number_of
from recbole_mm.base.files import folder_lock
from recbole_mm.base.metrics import key_of
from recbole_mm.comparison.benchmark import NOT_TRAINED, Benchmark, Run
from recbole_mm.comparison.collecting import collected
from recbole_mm.comparison.compare_progress import Progress
from recbole_mm.comparison.configured import ConfiguredRows, configured_rows
from recbole_mm.comparison.options import CompareOptions
from recbole_mm.comparison.output import write_outputs
from recbole_mm.comparison.planned_runs import PlannedRun, check_own_files
from recbole_mm.comparison.rows import PlannedRow, check_once
from recbole_mm.comparison.running import in_processes, in_ray
from recbole_mm.comparison.searches import Search, planned_search
from recbole_mm.comparison.training import read_run
from recbole_mm.comparison.tuned import TunedRow, tuned_row, tuning_of, write_tuned
from recbole_mm.configuration.request import Request
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
    controls: Sequence[str] = (),
    ray: str | None = None,
    command: str = "",
) -> list[Benchmark]:
    """Train every row on every dataset with every seed, and write the tables; finished runs are kept.

    With `options.tune_trials` every row is tuned before, by trials that validation chooses from.

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
    controls : sequence of str
        What becomes a further row of every row that reads features; see `recbole_mm.comparison.options.CONTROLS`.
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
    check_own_files(rows, datasets)
    out = out.resolve()
    threads = options.cpus if ray is not None else max(1, torch.get_num_threads() // options.jobs)
    where: dict[str, Any] = {"out": out, "threads": threads}
    with devices_kept():
        configured = [configured_rows(rows, dataset, common, controls, say) for dataset in datasets]
        if controls and all(row in rows for each in configured for row in each.rows):
            raise InputError(f"--controls={','.join(controls)}: no row reads features")
        searches = [
            [planned_search(each, row, options.tune_trials, **where) for row in each.rows if not row.ablation_of]
            for each in (configured if options.tune_trials else ())
        ]
    with folder_lock(out):
        tuned = _tune(configured, searches, options, ray=ray, out=out, say=say)
        with devices_kept():
            planned_runs = _planned(configured, tuned, options, **where)
        try:
            _train_missing("run", planned_runs, options, ray=ray, out=out, say=say, where=f"; results in {out}")
        finally:
            benchmarks = [
                collected(each, planned_runs, tuning_of(each, tuned, options.tune_trials)) for each in configured
            ]
            write_outputs(out, benchmarks, planned_runs, tuned, command)
    return benchmarks


def _tune(
    configured: Sequence[ConfiguredRows],
    searches: Sequence[Sequence[Search]],
    options: CompareOptions,
    *,
    ray: str | None,
    out: Path,
    say: Line,
) -> list[TunedRow]:
    """Train the trials that are missing, and return what all have found; nothing where nothing is tuned."""
    trials = sorted((trial.run for each in searches for one in each for trial in one.trials), key=lambda run: run.trial)
    try:
        _train_missing("trial", trials, options, ray=ray, out=out, say=say)
    finally:
        tuned = [tuned_row(one, rows.config) for rows, each in zip(configured, searches, strict=False) for one in each]
        for row in tuned:
            write_tuned(out, row)
    for row in tuned:
        say(row.line)
    return tuned


def _planned(
    configured: Sequence[ConfiguredRows], tuned: Sequence[TunedRow], options: CompareOptions, **where: Any
) -> list[PlannedRun]:
    """Return the runs of the table, each with the tuned settings of its row, or of the row of which it is a variant."""
    values = {(one.search.dataset, one.search.row.label): one.values for one in tuned}
    planned_runs = [
        each.planned(row, values.get((each.dataset, row.ablation_of or row.label), {}), seed=seed, **where)
        for each in configured
        for seed in range(each.first_seed, each.first_seed + options.num_seeds)
        for row in each.rows
    ]
    # The first seed of all, then the next: so that a table of all rows is there early.
    return sorted(planned_runs, key=lambda planned: planned.seed)


def _train_missing(
    what: str,
    planned_runs: Sequence[PlannedRun],
    options: CompareOptions,
    *,
    ray: str | None,
    out: Path,
    say: Line,
    where: str = "",
) -> None:
    """Train the runs that have no result, and tell that of each; `where` ends the line that counts them."""
    missing = [planned for planned in planned_runs if not _is_finished(planned)]
    done = len(planned_runs) - len(missing)
    if planned_runs:
        say(f"{number_of(len(planned_runs), what)}, {done} already finished{where}")
    if not missing:
        return
    progress = Progress(missing, done)
    try:
        for planned in in_processes(missing, options.jobs) if ray is None else in_ray(missing, options, ray):
            progress.ended(planned, *_ending(planned))
    except KeyboardInterrupt:
        done = sum(map(_is_finished, planned_runs))
        raise Unfinished(f"after {done} of {number_of(len(planned_runs), what)}", out) from None
    finally:
        progress.close()


def _is_finished(planned: PlannedRun) -> bool:
    """Return whether there is a result; a run that failed has none, and is tried again."""
    found = read_run(planned)
    return found is not None and not found[0].error


def _ending(planned: PlannedRun) -> tuple[float, str]:
    """Return how many seconds a run took, 0 where it failed, and its result in words."""
    run, result = read_run(planned) or (Run(planned.seed, NOT_TRAINED), {})
    if run.error:
        return 0.0, f"{planned.title}: failed: {run.error.splitlines()[-1]}"
    metric = key_of(result["valid_metric"])
    found = f"{metric} {(run.valid or {})[metric]:.4f} in validation, {number_of(result['epochs'], 'epoch')}"
    return result["seconds"], f"{planned.title}: {found}, {duration(result['seconds'])}"
