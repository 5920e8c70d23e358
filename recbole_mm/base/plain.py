"""Any values as those of JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np
import torch


def to_json(value: Any) -> Any:
    """Return `value` in the types of JSON.

    Enums and classes become their names, numpy and torch numbers Python's, arrays, sequences and sets
    (sorted) lists, NaN and infinity None, and anything else its text.
    """
    if isinstance(value, Enum | type):
        return value.name if isinstance(value, Enum) else value.__name__
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(to_json(key)): to_json(item) for key, item in value.items()}
    return _sequence_to_json(value)


def _sequence_to_json(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return to_json(value.tolist())
    if isinstance(value, set | frozenset):
        return [to_json(item) for item in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return str(value)
