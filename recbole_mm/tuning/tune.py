"""All of `recbole-mm tune`: the sweep, its record, the choice by validation, and then the one look at the test."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from time import perf_counter
from typing import Any

import yaml

from recbole_mm.base.errors import InputError, Unfinished, number_of
from recbole_mm.base.metrics import sign
from recbole_mm.base.plain import to_json
from recbole_mm.base.screen_tables import text_table
from recbole_mm.configuration.request import Request
from recbole_mm.data.identity import data_hash
from recbole_mm.settings.space import Space
from recbole_mm.training.run import Interrupted, run
from recbole_mm.training.run_screen import Line
from recbole_mm.tuning.results import read_sweep
from recbole_mm.tuning.searching import SweepOptions
from recbole_mm.tuning.spec import SweepSpec, read_spec, sweep_spec
from recbole_mm.tuning.store import Store, within
from recbole_mm.tuning.sweep import load_shared, run_trials
from recbole_mm.tuning.sweep_page import sweep_html
from recbole_mm.tuning.trials import Sweep, trials_csv

SPEC, BEST, FINAL = "sweep.yaml", "best.yaml", "final.json"


def tune(
    request: Request,
    space: Space,
    options: SweepOptions,
    say: Line,
    *,
    storage: str = "saved",
    name: str = "",
    address: str = "",
) -> dict[str, Any]:
    """Sweep, report, then train the best settings anew with some seeds and test them.

    Parameters
    ----------
    request : Request
        What all trials have in common.
    space, options
        What is searched and how.
    say : callable
        Receives lines for the user; is pickled with the sweep.
    storage : str
        Where the folder of the sweep is made: a path, or an address such as ``s3://bucket/sweeps``.
    name : str
        Of that folder.
    address : str
        Of a Ray cluster to join; empty: Ray is started on this machine.

    Returns
    -------
    dict
        What final.json holds: `best` (settings), `seeds`, and `valid` and `test`: metric -> values, one a seed.

    Raises
    ------
    InputError
        Nothing can be trained, or no trial has a score.
    Unfinished
        At Ctrl-C.
    """
    spec = sweep_spec(request, space, options)
    stem = name or f"tune-{spec.model}-{spec.dataset}-{datetime.now():%Y-%m-%d_%H-%M-%S}"
    store = Store(within(storage, stem))
    if store.read(SPEC) is not None:
        raise InputError(f"{store.address} has a sweep: resume it with --resume, or give another --name")
    shared = load_shared(spec)
    store.write(SPEC, replace(spec, data_hash=data_hash(shared.whole)).to_yaml())
    say(f"sweep of {spec.model} on {spec.dataset}, {number_of(spec.n_trials, 'trial')}, in {store.address}")
    start = perf_counter()
    run_trials(spec, shared, store, restore=False, address=address, say=say)
    return _finish(spec, store, perf_counter() - start, say)


def resume(folder: str, say: Line, *, address: str = "", final_seeds: int = 0) -> dict[str, Any]:
    """Resume a sweep that was interrupted or killed; parameters, result and errors are those of `tune`.

    Once its winner is chosen no trial is added; what is left are the winner's seeds, as many as the sweep was made
    with or, above 0, `final_seeds`.
    """
    store = Store(folder)
    text = store.read(SPEC)
    if text is None:
        raise InputError(f"--resume {folder}: not a sweep folder: it has no {SPEC}")
    spec = read_spec(text, f"{folder}/{SPEC}")
    spec = replace(spec, options=replace(spec.options, final_seeds=final_seeds or spec.options.final_seeds))
    if store.read(BEST) is None:
        shared = load_shared(spec)
        if data_hash(shared.whole) != spec.data_hash:
            raise InputError(
                f"the files of {spec.dataset} in {spec.settings['data_path']} are not those that the sweep in "
                f"{folder} began with: put them back, or start a new sweep"
            )
        run_trials(spec, shared, store, restore=True, address=address, say=say)
    return _finish(spec, store, None, say)


def _finish(spec: SweepSpec, store: Store, seconds: float | None, say: Line) -> dict[str, Any]:
    found = read_sweep(spec, store, seconds)
    if store.read(BEST) is None:
        _report(spec, found, store, say)
    outcome = _finals(spec, store)
    say(finals_table(outcome))
    say(verdict(found))
    return outcome


def finals_table(outcome: Mapping[str, Any]) -> str:
    """Return the winner's metrics: means over its seeds and, from two on, standard deviations."""

    def told(values: Sequence[float]) -> str:
        std = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.4f}{std}"

    seeds = f"seed{'s' if len(outcome['seeds']) > 1 else ''} {', '.join(map(str, outcome['seeds']))}"
    rows = [(metric, told(values), told(outcome["test"][metric])) for metric, values in outcome["valid"].items()]
    return text_table((seeds, "valid", "test"), rows)


def _report(spec: SweepSpec, found: Sweep, store: Store, say: Line) -> None:
    """Write the results of the trials and, if all have ended, choose the best."""
    store.write("trials.csv", trials_csv(found))
    store.write("sweep.html", sweep_html(found))
    ended, total = sum(trial.status != "running" for trial in found.trials), spec.n_trials
    if ended < len(found.trials) or (len(found.trials) < total and not spec.options.time_budget):
        raise Unfinished(f"after {ended} of {number_of(total, 'trial')}", store.address)
    if found.best is None:
        reason = next((f": {trial.error}" for trial in found.trials if trial.error), "")
        raise InputError(f"no trial has a score{reason}; trials.csv in {store.address} has all errors")
    best = {"model": spec.model, "dataset": spec.dataset, **spec.settings, **found.best.params}
    if found.best.status != "finished":
        best["epochs"] = found.best.n_epochs  # as many as the score comes from
    store.write(BEST, yaml.safe_dump(to_json(best), sort_keys=False, allow_unicode=True))
    say(f"trials.csv, sweep.html and best.yaml are in {store.address}")


def _finals(spec: SweepSpec, store: Store) -> dict[str, Any]:
    """Train and test the winner with each seed that it does not have yet; no model was tested before."""
    best = yaml.safe_load(store.read(BEST) or "")
    first = best["seed"] if "seed" in best else spec.config({})["seed"]
    known = json.loads(store.read(FINAL) or '{"seeds": []}')
    runs: dict[int, dict[str, Any]] = {}
    for seed in range(first, first + spec.options.final_seeds):
        if seed in known["seeds"]:
            position = known["seeds"].index(seed)
            runs[seed] = {split: {m: v[position] for m, v in known[split].items()} for split in ("valid", "test")}
            continue
        with store.folder("final") as folder:
            settings = {**best, "seed": seed, "checkpoint_dir": str(folder)}
            try:
                runs[seed] = run(Request(settings.pop("model"), settings.pop("dataset"), settings=settings))
            except Interrupted as stop:
                raise Unfinished(f"while the best settings were trained with seed {seed}", store.address) from stop
        store.write(FINAL, json.dumps(_joined(best, runs), indent=2) + "\n")
    return _joined(best, runs)


def _joined(best: dict[str, Any], runs: dict[int, dict[str, Any]]) -> dict[str, Any]:
    each = list(runs.values())
    splits = {
        split: {metric: [one[split][metric] for one in each] for metric in each[0][split]}
        for split in ("valid", "test")
    }
    return {"best": best, "seeds": list(runs), **splits}


def verdict(found: Sweep) -> str:
    """Return what the best trial beats the defaults by, in validation."""
    best = found.best.best_score(found.valid_metric) if found.best else None
    if best is None:
        return "no trial has a score"
    if found.default_score is None:
        return f"best {found.valid_metric} in validation: {best:.4f}; the defaults have none to compare it with"
    if best == found.default_score:
        return f"no trial is better than the defaults: {found.valid_metric} {best:.4f} in validation"
    difference = (best - found.default_score) * sign(found.valid_metric)
    return (
        f"best {found.valid_metric} in validation: {best:.4f}, by {difference:.4f} better than the defaults' "
        f"{found.default_score:.4f} ({100 * difference / abs(found.default_score or 1):+.1f} %)"
    )
