"""What is random in training: every state, as plain values and tensors that a checkpoint may hold, and Gumbel draws."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


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


def gumbel(shape: Sequence[int], like: Tensor) -> Tensor:
    """Draw numbers of the standard Gumbel distribution, of the float type and on the device of a tensor.

    By uniform numbers: torch draws exponential ones several times slower on a CPU.
    """
    return -torch.rand(tuple(shape), dtype=like.dtype, device=like.device).log_().neg_().log_()
