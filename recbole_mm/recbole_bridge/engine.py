"""How a run computes and never what: threads, memory, denormal numbers, the optimizer's kernels."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recbole_mm.base.memory import keep_freed
from recbole_mm.recbole_bridge.applying import Overlay
from recbole_mm.settings.execution import Engine
from recbole_mm.settings.parameters import read_config


def flushes_denormal() -> bool:
    """Tell whether this thread counts denormal numbers as 0; torch can be told to, but does not say."""
    return bool(torch.tensor([1e-40]).mul(0.5).item() == 0)


@contextmanager
def computing(engine: Engine) -> Iterator[None]:
    """Use the engine's threads, and count denormal numbers as 0, within the block; keep freed memory from then on.

    Adam's second moments become denormal numbers, which a CPU multiplies slowly. Threads that torch has started before
    keep them; it has none yet where it did nothing in parallel, such as at the start of the command line.
    """
    keep_freed()
    before, flushed = torch.get_num_threads(), flushes_denormal()
    torch.set_flush_denormal(True)
    if engine.threads:
        torch.set_num_threads(engine.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(flushed)


def with_the_engine(fit: Any) -> Any:
    """Let a trainer's `fit` use the engine of its configuration."""

    @functools.wraps(fit)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        with computing(read_config(Engine, self.config)):
            return fit(self, *args, **kwargs)

    return wrapped


def fused_gelu(self: Any, x: Tensor) -> Tensor:
    """Return `x Phi(x)` in one kernel, where RecBole's feed-forward layer makes four temporary arrays."""
    return F.gelu(x)


def fused_adam(optim: Any) -> Any:
    """Return torch's optimizers with one kernel for all of Adam's arithmetic.

    That kernel passes over the weights once, where torch's plain one makes a temporary array for every operation. It
    does not count the weights as changed, which scores that are kept go by; so that is done here.
    """

    def fused(kind: Any, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = kind(*args, fused=True, **kwargs)
        optimizer.register_step_post_hook(_count_as_changed)
        return optimizer

    return Overlay(optim, **{name: functools.partial(fused, getattr(torch.optim, name)) for name in ("Adam", "AdamW")})


def _count_as_changed(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for group in optimizer.param_groups:
        for weight in group["params"]:
            torch.autograd.graph.increment_version(weight)
