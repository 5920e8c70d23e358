"""What tables of the site say, read from the package."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import NamedTuple

import yaml
from recbole.utils import get_model

import recbole_mm
from recbole_mm.commands.models import MODEL_KINDS, needed
from recbole_mm.commands.parser import Parser
from recbole_mm.commands.settings import of_every_model
from recbole_mm.recbole_bridge.own_names import MODELS
from recbole_mm.settings.parameters import told_parameters

PROPERTIES = Path(recbole_mm.__file__).parent / "properties"
Row = tuple[str, ...]


class Table(NamedTuple):
    """A table of the site; the first column are names."""

    title: str
    header: Row
    rows: list[Row]


def _yaml_rows(file: Path) -> list[Row]:
    """Return the settings of a yaml file and their values as yaml, or no rows where there is no file."""
    found = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    return [(name, yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip())
            for name, value in (found or {}).items()]  # fmt: skip


def model_tables(model: str) -> list[Table]:
    """Return the tables of a model of the pack: settings, defaults of RecBole's settings, ablations, search space."""
    found = get_model(model)
    settings = [
        (name, default, kind, meaning) for name, kind, default, meaning in told_parameters(found.parameter_class)
    ]
    tables = [Table("Settings", ("setting", "default", "value", "meaning"), list(settings))]
    for file in sorted((PROPERTIES / "model").glob(f"{model}*.yaml")):
        on = file.stem.removeprefix(model).removeprefix("-")
        title = f"Defaults on {on}" if on else "Defaults of training that are not RecBole's"
        tables.append(Table(title, ("setting", "default"), _yaml_rows(file)))
    ablations = getattr(found, "ablations", None) or {}
    rows = [
        (name, ", ".join(f"{key}={value!r}" for key, value in changes.items())) for name, changes in ablations.items()
    ]
    tables.append(Table("Ablations, as --ablations adds them", ("row", "settings"), list(rows)))
    space = _yaml_rows(PROPERTIES / "sweep" / f"{model}.yaml")
    tables.append(Table("Search space of tune and of compare --tune-trials", ("setting", "values"), space))
    return [table for table in tables if table.rows]


def model_kind(model: str) -> str:
    """Return what a model is and which features it needs, in a sentence."""
    return f"A {MODEL_KINDS[MODELS[model]]} model. Modalities needed: {needed(model)}."


def parser_of(command: str) -> Parser:
    """Return the parser of a command."""
    module = importlib.import_module(f"recbole_mm.commands.arguments.{command.replace(' ', '_')}")
    parser: Parser = module.parser()
    return parser


def _option(action: argparse.Action) -> Row:
    """Return how an argument is written, and what it means."""
    name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    if action.option_strings and action.nargs != 0:
        name += f"={action.metavar or action.dest.upper()}"
    meaning = (action.help or "").replace("%%", "%")
    return name, f"{meaning} (required)" if action.required and action.option_strings else meaning


def command_tables(command: str) -> list[Table]:
    """Return the tables of a command: its arguments and its options."""
    actions = [action for action in parser_of(command)._actions if "--help" not in action.option_strings]
    tables = []
    for title, header, wanted in (("Arguments", "argument", False), ("Options", "option", True)):
        rows = [_option(action) for action in actions if bool(action.option_strings) is wanted]
        tables.append(Table(title, (header, "meaning"), rows))
    return [table for table in tables if table.rows]


def every_setting() -> Table:
    """Return the settings that every model has."""
    return Table("Settings of every model", ("setting", "value", "meaning"), list(of_every_model()))
