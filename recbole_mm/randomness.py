"""Every random state that training depends on, as plain values and tensors that a checkpoint may hold."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """Return the global states of random, numpy and torch, of every GPU too."""
    kind, keys, *position = tuple[Any, ...](np.random.get_state())
    return {
        "random": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *position),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore(states: dict[str, Any]) -> None:
    """Take up what `random_states` returned; the GPUs' where there are as many as then."""
    random.setstate(states["random"])
    kind, keys, *position = states["numpy"]
    np.random.set_state((kind, keys.cpu().numpy(), *position))
    torch.set_rng_state(states["torch"].cpu())
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
