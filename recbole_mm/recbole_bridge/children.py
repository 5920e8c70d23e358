"""Child processes of RecBole (``nproc``): they import the pack before they do anything else.

A spawned process imports the module in which the function that it is to call is said to be, and nothing else. RecBole's
is said to be here, so that the child has what the import of the pack changes.
"""

from __future__ import annotations

import importlib
from typing import Any

QUICK_START = "recbole.quick_start.quick_start"


def __getattr__(name: str) -> Any:
    if name == "run_recboles":
        return importlib.import_module(QUICK_START).run_recboles
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def found_here(module: Any) -> None:
    """Let pickle name this module as the place of `recbole.quick_start.run_recboles`."""
    module.run_recboles.__module__ = __name__
