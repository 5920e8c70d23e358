"""The trials of a sweep, through Ray Tune."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from recbole.utils import init_seed

from recbole_mm.base.metrics import sign
from recbole_mm.parallel.cluster import ray_running, room
from recbole_mm.parallel.devices import devices_kept
from recbole_mm.training.run_screen import Line
from recbole_mm.tuning.data import Shared, prepare
from recbole_mm.tuning.scheduling import name_of, scheduler
from recbole_mm.tuning.searching import SweepOptions, sampled, searcher
from recbole_mm.tuning.spec import SweepSpec
from recbole_mm.tuning.store import Store, around
from recbole_mm.tuning.sweep_progress import progress
from recbole_mm.tuning.trial import train_trial

KEPT = 2  # checkpoints of a trial: the newest, and the one before while Ray has not noted it


@devices_kept()
def load_shared(spec: SweepSpec) -> Shared:
    """Return the data of a sweep.

    Raises
    ------
    InputError
        Data that no trial could use.
    """
    config = spec.config({})
    init_seed(config["seed"], config["reproducibility"])
    return prepare(config)


def run_trials(spec: SweepSpec, shared: Shared, store: Store, *, restore: bool, address: str, say: Line) -> None:
    """Carry out or resume a sweep; the results are in the store.

    Parameters
    ----------
    spec : SweepSpec
    shared : Shared
        Is put into Ray's object store once.
    store : Store
        Of the sweep.
    restore : bool
        Go on: trials that have ended are kept, others continue from their checkpoints. Where Ray had not noted any
        trial yet, the sweep begins.
    address : str
        Of a Ray cluster to join, or empty.
    say : callable
        Receives the table of the trials; it is pickled with the sweep, and a restored one goes on with it.

    Raises
    ------
    InputError
        Ray cannot be started or joined with these options.
    """
    with ray_running(address):
        from ray import tune  # noqa: PLC0415 (heavy)

        options = fitted(spec.options)
        work = tune.with_parameters(partial(train_trial, spec=spec), shared=shared)
        trainable = tune.with_resources(work, {"cpu": options.cpus_per_trial, "gpu": options.gpus_per_trial})
        if restore and any(name.startswith("experiment_state") for name in store.names()):
            tuner = tune.Tuner.restore(store.address, trainable, resume_unfinished=True)
        else:
            tuner = _tuner(trainable, spec, store, progress(spec, say))
        tuner.fit()


def _tuner(trainable: Any, spec: SweepSpec, store: Store, reporter: Any) -> Any:
    from ray import tune  # noqa: PLC0415

    options, config, first = spec.options, spec.config({}), spec.first
    return tune.Tuner(
        trainable,
        param_space=sampled(options, spec.space),
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max" if sign(config["valid_metric"]) > 0 else "min",
            num_samples=options.samples + (len(first) if options.search == "grid" else 0),
            scheduler=scheduler(spec, store.address),
            search_alg=searcher(options, config["seed"], first),
            max_concurrent_trials=options.max_concurrent or None,
            time_budget_s=options.time_budget or None,
            reuse_actors=True,
            trial_name_creator=name_of,
            trial_dirname_creator=name_of,
        ),
        run_config=tune.RunConfig(
            name=store.name,
            storage_path=around(store.address),
            verbose=1,
            progress_reporter=reporter,
            checkpoint_config=tune.CheckpointConfig(num_to_keep=KEPT),
        ),
    )


def fitted(options: SweepOptions) -> SweepOptions:
    """Return the options with its GPUs; errors are those of `room`."""
    gpus = room(options.cpus_per_trial, options.gpus_per_trial, "--cpus-per-trial or --gpus-per-trial")
    return replace(options, gpus_per_trial=gpus)
