"""`recbole-mm models`: the models of the pack and of RecBole by kind, or one of them with its parameters."""

from __future__ import annotations

import ast
import textwrap
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from recbole.utils import get_model

from recbole_mm.base.screen_tables import screen_width, text_table
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.configuration.request import Request, build_config
from recbole_mm.configuration.valid_names import check_model, model_names, recbole_names
from recbole_mm.recbole_bridge.own_names import MODELS
from recbole_mm.settings.names import DEFAULT_DATASET
from recbole_mm.settings.parameters import told_parameters

MODEL_KINDS = {
    "general_recommender": "general",
    "sequential_recommender": "sequential",
    "context_aware_recommender": "context-aware",
    "knowledge_aware_recommender": "knowledge-aware",
    "exlib_recommender": "of other libraries",
}
# How many modalities a model of the pack needs, where it is not one or more.
NEEDED = {"SEA": "two or more", "XSimGCL": "none, reads none", "CCL4Rec": "none, reads any"}


def main(arguments: Arguments, say: Say) -> int:
    """Print all models, or one; return 0."""
    files = model_names()
    if name := arguments.options.name:
        check_model(name)
        _say_one(name, files, say)
        return 0
    own = [(model, MODEL_KINDS[kind], needed(model), *_about(files[model])) for model, kind in MODELS.items()]
    say(f"Models of the pack ({len(own)}):")
    say(text_table(("model", "kind", "modalities", "about", "paper"), own))
    by_kind: dict[str, list[str]] = defaultdict(list)
    for model, file in files.items():
        if model not in MODELS:
            by_kind[file.parent.name].append(model)
    for folder, kind in MODEL_KINDS.items():
        names = sorted(by_kind[folder], key=str.lower)
        say(f"\nModels of RecBole, {kind} ({len(names)}):")
        say(textwrap.fill(", ".join(names), screen_width(), initial_indent="  ", subsequent_indent="  "))
    say("\nrecbole-mm models NAME tells of one and its parameters; a model of your own is --model=FILE:Class.")
    return 0


def needed(model: str) -> str:
    """Return how many modalities a model of the pack needs, in words."""
    return NEEDED.get(model, "one or more")


def _about(file: Path) -> tuple[str, str]:
    """Return what a model is and its paper, from its module's first line: the name, a colon, what, and the paper."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    about, _, paper = text.partition("\n")[0].partition(": ")[2].rpartition(" (")
    return about, paper.rstrip(").")


def _say_one(model: str, files: Mapping[str, Path], say: Say) -> None:
    """Print what one model is, and its parameters."""
    if model in MODELS:
        about, paper = _about(files[model])
        say(f"{model}, {MODEL_KINDS[MODELS[model]]}: {about} ({paper}). Modalities needed: {needed(model)}.")
    elif model in files:
        say(f"{model}, {MODEL_KINDS[files[model].parent.name]}, of RecBole.")
    model_class = get_model(model)
    if declaration := getattr(model_class, "parameter_class", None):
        say(text_table(("parameter", "value", "default", "meaning"), told_parameters(declaration)))
    elif names := recbole_names()["properties"].get(model):
        given = build_config(Request(), model, DEFAULT_DATASET, None).internal_config_dict
        say(text_table(("parameter", "default"), [(name, repr(given.get(name))) for name in names]))
