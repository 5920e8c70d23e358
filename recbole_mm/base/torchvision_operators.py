"""torchvision beside whichever build of torch there is, for the libraries that import it."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

UNDECLARED = ("nms", "qnms")  # operators of torchvision whose declaration its Python code needs


@cache
def let_torchvision_import() -> Any:
    """Declare what torchvision's import needs, where it is installed and does not import without; call it before.

    PyPI's torchvision is built for CUDA. Beside a CPU build of torch its compiled operators do not load, and importing
    it fails for two that only they declare, and with it timm and transformers. Encoders use neither: they are declared
    here, without a kernel, as long as what is returned is kept.
    """
    import torch  # noqa: PLC0415 - heavy

    try:
        importlib.import_module("torchvision")
    except ImportError:
        return None
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            return None
        operators = torch.library.Library("torchvision", "FRAGMENT")
        for name in UNDECLARED:
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return operators
    return None
