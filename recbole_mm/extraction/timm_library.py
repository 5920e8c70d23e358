"""timm, beside whichever build of torch there is."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from recbole_mm.base.errors import InputError
from recbole_mm.extraction.encoder import optional

UNDECLARED = ("nms", "qnms")  # operators of torchvision whose declaration its Python code needs


def timm_library(module: str = "timm") -> Any:
    """Import timm, or a module of it.

    PyPI's torchvision is built for CUDA. Beside a CPU build of torch its compiled operators do not load, and importing
    it fails for two that only they declare. No model of timm uses them: they are declared here, without a kernel.

    Raises
    ------
    InputError
        It is not installed, or does not fit the other libraries that are.
    """
    try:
        return optional(module, "pip install 'recbole-mm[images]'")
    except InputError as error:
        if "operator torchvision::" not in str(error):
            raise
    _declare()
    return optional(module, "pip install 'recbole-mm[images]'")


@cache
def _declare() -> Any:
    """Declare the operators; they stay declared as long as what is returned is kept."""
    operators = torch.library.Library("torchvision", "FRAGMENT")
    for name in UNDECLARED:
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return operators
