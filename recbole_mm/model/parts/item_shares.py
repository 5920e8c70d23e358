"""What each modality adds to the vectors of items, where they are made by adding or by standing side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recbole_mm.model.parts.sums import summed


def blocks(names: Sequence[str], items: Tensor, width: int) -> dict[str, Tensor]:
    """Return items (I, M width or more) by modality, each with 0 in the columns of the others, (I, M width or more)."""
    found = {}
    for m, name in enumerate(names):
        found[name] = torch.zeros_like(items)
        found[name][:, m * width : (m + 1) * width] = items[:, m * width : (m + 1) * width]
    return found


def shares_of_unit(tables: Sequence[Tensor]) -> list[Tensor]:
    """Return tables (n, d) divided by the length of the rows of their sum, so that they add up to rows of length 1."""
    length = summed(tables).norm(dim=1, keepdim=True).clamp_min(1e-12)
    return [table / length for table in tables]
