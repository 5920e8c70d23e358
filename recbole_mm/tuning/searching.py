"""How a sweep is carried out, and Ray Tune's search for it."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recbole_mm.base.errors import InputError
from recbole_mm.settings.parameters import parameter
from recbole_mm.settings.space import Domain, Space

SCHEDULERS = ("asha", "median", "none")
SEARCHES = ("random", "grid", "optuna")
TRIALS = 16
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """The options of a sweep."""

    num_samples: int = parameter(
        0, f"number of trials, or of passes over a grid (default: {TRIALS} trials, or one pass)", low=0
    )
    scheduler: str = parameter("asha", "scheduler that stops poor trials early", choices=SCHEDULERS)
    search: str = parameter("random", "search that chooses the values", choices=SEARCHES)
    cpus_per_trial: float = parameter(1.0, "number of CPUs of a trial, and of its threads", low=0.1)
    gpus_per_trial: float = parameter(
        -1.0, "number of GPUs of a trial, 0.5 for half of one (default: 1 where there is one)", low=-1
    )
    max_concurrent: int = parameter(0, "number of trials at a time (default: as many as there is room for)", low=0)
    time_budget: float = parameter(0.0, "seconds after which all trials are stopped (default: no limit)", low=0)
    checkpoint_every: int = parameter(5, "number of validations from one checkpoint of a trial to the next", low=1)
    grace: int = parameter(5, "number of epochs before the scheduler may stop a trial", low=1)
    final_seeds: int = parameter(
        1, "number of consecutive seeds, starting at --seed, with which the best settings are tested", low=1
    )

    @property
    def samples(self) -> int:
        """Trials, or passes over a grid."""
        return self.num_samples or (1 if self.search == "grid" else TRIALS)


def n_drawn(options: SweepOptions, space: Space) -> int:
    """Return how many trials the search makes; on top of a grid comes one of the defaults.

    Raises
    ------
    InputError
        A grid over a setting that has none, or Optuna where it is not installed.
    """
    if options.search == "optuna" and importlib.util.find_spec("optuna") is None:
        raise InputError("--search=optuna needs optuna: pip install 'recbole-mm[optuna]'")
    if options.search != "grid":
        return options.samples
    return options.samples * math.prod(len(domain.grid(name)) for name, domain in space.items())


def sampled(options: SweepOptions, space: Space) -> dict[str, Any]:
    """Return the space as Ray Tune draws from it, or goes through it value by value."""
    if options.search == "grid":
        from ray import tune  # noqa: PLC0415 (heavy)

        return {name: tune.grid_search(domain.grid(name)) for name, domain in space.items()}
    return {name: ray_domain(domain) for name, domain in space.items()}


def ray_domain(domain: Domain) -> Any:
    """Return a domain for Ray Tune to sample from."""
    from ray import tune  # noqa: PLC0415 (heavy)

    if domain.kind == "choice":
        return tune.choice(list(domain.values))
    low, high = domain.ends()
    if domain.kind == "randint":
        return tune.randint(low, high + 1)
    if domain.kind == "quniform":
        step = domain.values[2]
        if isinstance(step, int):  # by 1, Ray's qrandint leaves the upper end out
            return tune.randint(low, high + 1) if step == 1 else tune.qrandint(low, high, step)
        return tune.quniform(low, high, step)
    return getattr(tune, domain.kind)(low, high)


def searcher(options: SweepOptions, seed: int, first: Sequence[Values]) -> Any:
    """Return Ray Tune's search, which tries the values `first` before it draws any."""
    if options.search == "optuna":
        import optuna  # noqa: PLC0415 (optional)
        from ray.tune.search.optuna import OptunaSearch  # noqa: PLC0415

        optuna.logging.set_verbosity(optuna.logging.WARNING)

        return OptunaSearch(seed=seed, points_to_evaluate=list(first))
    from ray.tune.search.basic_variant import BasicVariantGenerator  # noqa: PLC0415

    return BasicVariantGenerator(points_to_evaluate=list(first), random_state=seed)
