"""The settings of models and of their training that a comparison's command gives for all rows."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from recbole_mm.configuration import recbole_settings as known
from recbole_mm.configuration.request import Request, settings_given
from recbole_mm.configuration.valid_names import EXTRA_KEYS, data_keys
from recbole_mm.settings.execution import Engine, GroupSettings, Logging, Ranked

# Settings of place, seed, data, files, protocol and how long is trained: all rows have to share them, or they change
# no model.
OF_NO_MODEL = (
    {*known.OF_RUNS, *known.OF_EVALUATION, *known.OF_FILES, *known.OF_DATA, *known.OF_PACK, *EXTRA_KEYS, *data_keys()}
    | {field.name for declaration in (Engine, Ranked, GroupSettings, Logging) for field in fields(declaration)}
    | {"epochs", "eval_step", "stopping_step", "loss_decimal_place"}
)


def settings_for_all(common: Request) -> dict[str, Any]:
    """Return what the files and settings of all rows change about a model or its training, by name."""
    return {name: value for name, value in settings_given(common).items() if name not in OF_NO_MODEL}
