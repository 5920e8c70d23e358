"""Multimodal and micro-video recommenders for RecBole: importing this package plugs them in."""

import importlib
import importlib.util
import sys
from typing import Any

__all__ = ["Request", "compare", "inspect", "recommend", "register_model", "run", "tune"]

RECBOLE = "1.2.1"  # the version that the table of patches is for
INSTALL = f"pip install --no-deps recbole=={RECBOLE}"


def plug_in() -> None:
    """Plug the pack into RecBole; a second call changes nothing.

    Raises
    ------
    ImportError
        RecBole is not installed, or in another version.
    """
    if importlib.util.find_spec("recbole") is None:
        raise ImportError(f"recbole-mm needs RecBole; install it with: {INSTALL}")
    found = importlib.import_module("recbole").__version__
    if found != RECBOLE:
        raise ImportError(
            f"recbole-mm is made for RecBole {RECBOLE}, and {found} is installed; install it with: {INSTALL}"
        )

    from recbole_mm.recbole_bridge import table  # noqa: PLC0415

    table.apply()

    from recbole_mm.recbole_bridge import plugin  # noqa: PLC0415 (RecBole can be imported only after the patches)

    plugin.register()


def register_model(model: type, dataset: type | None = None, trainer: type | None = None) -> type:
    """Let RecBole, and every command of the pack, find a model; see `recbole_mm.recbole_bridge.models`."""
    models: Any = importlib.import_module("recbole_mm.recbole_bridge.models")
    registered: type = models.register_model(model, dataset, trainer)
    return registered


_HOMES = {
    "Request": "configuration.request",
    "compare": "comparison.compare",
    "inspect": "inspection.walk",
    "recommend": "serving.recommend",
    "run": "training.run",
    "tune": "tuning.tune",
}


def __getattr__(name: str) -> Any:
    """Import what a command is made of when it is asked for: a sweep needs Ray, a training does not."""
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


# While Python looks for the module of `python -m recbole_mm`, the arguments are not read: the command line plugs in.
if sys.argv[:1] != ["-m"] or sys.orig_argv[-len(sys.argv)] != "recbole_mm":
    plug_in()
