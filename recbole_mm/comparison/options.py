"""How a comparison is carried out."""

from __future__ import annotations

from dataclasses import dataclass

from recbole_mm.settings.parameters import parameter

# What --controls may name: the name of the row behind that of its model, and the setting that it changes.
CONTROLS = {"shuffled": ("shuffled features", {"shuffle_features": 1})}


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """The options of a comparison."""

    num_seeds: int = parameter(5, "number of consecutive seeds, starting at --seed", low=1)
    tune_trials: int = parameter(
        0, "number of trials, chosen from by validation, that every model is tuned by first (default: no tuning)", low=0
    )
    jobs: int = parameter(1, "number of runs at a time, each a process with its share of the cores", low=1)
    cpus: int = parameter(1, "with --ray: number of CPUs of one run", low=1)
    gpus: float = parameter(
        -1.0, "with --ray: number of GPUs of one run (default: 1 where a machine has one, else 0)", low=-1.0
    )
