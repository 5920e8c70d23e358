"""Tensors that are computed where something is done with them, if anything is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map_only


class Later(Tensor):
    """A tensor that is not computed yet; any operation on it computes it first, once."""

    computed: Tensor | None

    @classmethod
    def shaped(cls, example: Tensor) -> Any:
        """Return one with the shape and the kind of numbers that `example` has."""
        later = example.as_subclass(cls)
        later.computed = None
        return later

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map_only(Later, lambda later: later.whole(), (args, kwargs or {}))
        return func(*args, **kwargs)

    @abstractmethod
    def compute(self) -> Tensor:
        """Return the tensor."""

    def whole(self) -> Tensor:
        """Return the tensor, computed at the first call."""
        if self.computed is None:
            self.computed = self.compute()
        return self.computed
