"""The floor of a training step: its dense products and sparse propagations, run alone on numbers of the same shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
PRODUCTS = {
    aten.mm.default, aten.addmm.default, aten.addmm_.default, aten.bmm.default, aten.mv.default,
    aten._embedding_bag.default, aten._embedding_bag_forward_only.default,  # sparse products on a CPU
}  # fmt: skip

Numbers: TypeAlias = dict[tuple[Any, ...], Tensor]


class _Products(TorchDispatchMode):
    """Notes every product that is computed within the block."""

    def __init__(self, numbers: Numbers) -> None:
        super().__init__()
        self.found: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []
        self._numbers = numbers

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in PRODUCTS:
            self.found.append((func, tuple(map(self._alike, args)), dict(kwargs or {})))
        return func(*args, **(kwargs or {}))

    def _alike(self, value: Any) -> Any:
        """Return a tensor of the same shape and strides, one for all uses; what makes a sparse matrix is kept."""
        if not isinstance(value, Tensor) or value.layout is not torch.strided or not value.is_floating_point():
            return value
        key = (value.shape, value.stride(), value.dtype, value.device)
        if key not in self._numbers:
            drawn = torch.empty_strided(*key[:2], dtype=value.dtype, device=value.device)
            self._numbers[key] = drawn.normal_()
        return self._numbers[key]


def floor_of(step: Callable[[], object], numbers: Numbers) -> Callable[[], None]:
    """Return what runs the products of a step, forward and backward, in their order and alone.

    Parameters
    ----------
    step : callable
        Is run once, to note them.
    numbers : dict
        What the products are run on is drawn into it; several floors may share one.
    """
    with _Products(numbers) as products:
        step()

    def alone() -> None:
        with torch.no_grad():
            for function, args, kwargs in products.found:
                function(*args, **kwargs)

    return alone
