"""Which trackers a run is told to, by the setting `log`."""

from __future__ import annotations

import importlib.util
from typing import Any

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.settings.execution import Logging
from recbole_mm.settings.parameters import read_config

TRACKERS = ("tensorboard", "mlflow", "wandb")


def trackers_asked(config: Any) -> list[str]:
    """Return the names of the trackers that the setting `log` has.

    Raises
    ------
    InputError
        An unknown one, or one that is not installed.
    """
    names = [name.strip() for name in read_config(Logging, config).log.split(",") if name.strip()]
    for name in names:
        if name not in TRACKERS:
            raise InputError(f"log: no '{name}'; there are {', '.join(TRACKERS)}.{nearest(name, TRACKERS)}")
        if importlib.util.find_spec(name) is None:
            raise InputError(f"log: {name} is not installed: pip install 'recbole-mm[{name}]', or leave it out")
    return list(dict.fromkeys(names))
