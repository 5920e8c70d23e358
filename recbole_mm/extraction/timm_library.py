"""timm, beside whichever build of torch there is."""

from __future__ import annotations

from typing import Any

from recbole_mm.base.torchvision_operators import let_torchvision_import
from recbole_mm.extraction.encoder import optional


def timm_library(module: str = "timm") -> Any:
    """Import timm, or a module of it.

    Raises
    ------
    InputError
        It is not installed, or does not fit the other libraries that are.
    """
    let_torchvision_import()
    return optional(module, "pip install 'recbole-mm[images]'")
