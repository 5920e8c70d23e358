"""Parts of a trained model whose rows all point one way: they tell nothing about users or items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

LIMIT = 0.999  # mean resultant length of rows that are taken for one vector
LEAST_SIZE = 3  # rows of a table that is looked at, and numbers of a row


def resultant_length(rows: Tensor) -> float:
    """Return the length of the mean of the rows' directions, in [0, 1]: 1 where all rows point the same way.

    Parameters
    ----------
    rows : Tensor, shape (n, d)
        Rows of 0, such as that of `[PAD]`, have no direction and do not count.
    """
    lengths = rows.double().norm(dim=1, keepdim=True)
    directions = (rows.double() / lengths)[lengths[:, 0] > 0]
    return float(directions.mean(0).norm()) if len(directions) else 0.0


@torch.no_grad()
def resultant_lengths(model: Any) -> dict[str, float]:
    """Return the resultant length of every part of a model, by name.

    The parts are those that the model names with a method `parts`, else its embedding tables.
    """
    training = model.training
    model.eval()
    try:
        tables = model.parts() if hasattr(model, "parts") else _embeddings(model)
        return {
            name: resultant_length(table)
            for name, table in tables.items()
            if table.dim() == 2 and min(table.shape) >= LEAST_SIZE and table.isfinite().all()
        }
    finally:
        model.train(training)


def degenerate_parts(lengths: Mapping[str, float]) -> dict[str, float]:
    """Return the parts that are one vector for all of their rows, of those that `resultant_lengths` returns."""
    return {name: length for name, length in lengths.items() if length > LIMIT}


def _embeddings(model: nn.Module) -> Mapping[str, Tensor]:
    return {name: module.weight for name, module in model.named_modules() if isinstance(module, nn.Embedding)}


def warning(model_name: str, parts: Mapping[str, float]) -> str:
    """Return a line about degenerate parts."""
    named = ", ".join(f"{name} ({length:.5f})" for name, length in parts.items())
    return (
        f"{model_name}: these parts of the model are one vector for all rows, and tell nothing about users or items "
        f"(mean resultant length above {LIMIT}): {named}"
    )
