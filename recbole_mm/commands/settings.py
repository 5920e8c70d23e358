"""`recbole-mm settings`: what every setting may be and what it means, or one of them."""

from __future__ import annotations

from recbole.utils import get_model

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.base.screen_tables import text_table
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.configuration.recbole_settings import SETTING_TABLE
from recbole_mm.configuration.valid_names import recbole_names
from recbole_mm.recbole_bridge.own_names import MODELS
from recbole_mm.settings.execution import OF_EVERY_MODEL
from recbole_mm.settings.parameters import told_parameters

SettingRow = tuple[str, str, str]  # name, what it may be, meaning


def main(arguments: Arguments, say: Say) -> int:
    """Print all settings that every model has, or one of any model; return 0."""
    rows = of_every_model()
    if name := arguments.options.name:
        found = [row for row in (*rows, *_of_models()) if row[0].partition(" ")[0] == name]
        if not found:
            raise _unknown(name, rows)
        rows = found
    say(text_table(("setting", "value", "meaning"), rows))
    return 0


def of_every_model() -> list[SettingRow]:
    """Return the settings that every model has."""
    rows = [
        (name, setting.kind.words() + (", or None" if setting.unset else ""), setting.meaning)
        for name, setting in SETTING_TABLE.items()
    ]
    for declaration in OF_EVERY_MODEL:
        rows += [(name, f"{kind} (default: {default})", meaning) for name, kind, default, meaning
                 in told_parameters(declaration)]  # fmt: skip
    return rows


def _of_models() -> list[SettingRow]:
    """Return the parameters of the pack's models, each with the model behind its name."""
    return [
        (f"{name} of {model}", f"{kind} (default: {default})", meaning)
        for model in MODELS
        for name, kind, default, meaning in told_parameters(get_model(model).parameter_class)
    ]


def _unknown(name: str, rows: list[SettingRow]) -> InputError:
    owners = [model for model, names in recbole_names()["properties"].items() if name in names]
    if owners:
        return InputError(f"{name} is a parameter of {', '.join(owners)}: see recbole-mm models {owners[0]}")
    known = {row[0].partition(" ")[0] for row in (*rows, *_of_models())}
    return InputError(f"unknown setting '{name}'.{nearest(name, known) or ' recbole-mm settings lists all.'}")
