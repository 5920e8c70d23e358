"""How a comparison is carried out."""

from __future__ import annotations

from dataclasses import dataclass

from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """The options of a comparison."""

    num_seeds: int = parameter(5, "number of consecutive seeds, starting at --seed", low=1)
    jobs: int = parameter(1, "number of runs at a time, each a process with its share of the cores", low=1)
    cpus: int = parameter(1, "with --ray: number of CPUs of one run", low=1)
    gpus: float = parameter(
        -1.0, "with --ray: number of GPUs of one run (default: 1 where a machine has one, else 0)", low=-1.0
    )
