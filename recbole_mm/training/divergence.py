"""A training whose loss or scores are no numbers any more: where it broke, and from where it goes on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from recbole_mm.base.errors import InputError

N_LARGEST = 3


def diverged(model: Any, what: str, learning_rate: float, good: Path | None) -> InputError:
    """Return the error of a training that diverged.

    Parameters
    ----------
    model : torch.nn.Module
        As it is now: its largest parameters are named.
    what : str
        What was found, and where.
    learning_rate : float
        Of the training; half of it is proposed.
    good : Path or None
        The checkpoint to go on from.
    """
    found = f"{type(model).__name__}: {what}; the largest parameters are {_largest(model)}"
    if good is None:
        return InputError(f"{found}. Lower learning_rate, and look for huge values in the features")
    return InputError(
        f"{found}. The last good checkpoint is {good}: go on from it with a lower learning rate, "
        f"--resume={good} --learning_rate={learning_rate / 2:g}, or look for huge values in the features"
    )


def _largest(model: Any) -> str:
    """Return the names of the parameters with the largest absolute values, and these; NaN is the largest."""
    sizes = {name: float(weight.detach().abs().max()) for name, weight in model.named_parameters() if weight.numel()}
    by_size = sorted(sizes, key=lambda name: math.inf if math.isnan(sizes[name]) else sizes[name], reverse=True)
    return ", ".join(f"{name} {sizes[name]:.3g}" for name in by_size[:N_LARGEST]) or "none"
