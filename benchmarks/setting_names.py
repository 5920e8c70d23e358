"""The names in `recbole_mm/settings/recbole.json`, found in RecBole's sources: `python -m benchmarks.setting_names`.

A name is a setting where the sources read the configuration, where a yaml file of default properties has it, or where
it is in an argument list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from recbole.utils import argument_list

from recbole_mm.base.files import replace_text
from recbole_mm.configuration.valid_names import NAMES_FILE, losses_in, read_in, recbole_folder

# Packages of RecBole that read the configuration of every run; models are read one by one.
CORE_PACKAGES = ("config", "data", "trainer", "evaluator", "sampler", "utils", "quick_start")

# Settings that RecBole reads on behalf of the models that have them; others pass over them.
OF_MODELS = frozenset({"loss_type"})


def names() -> dict[str, Any]:
    """Return the table: settings of all runs, of data, by module and by model; files of models; values of loss_type."""
    recbole = recbole_folder()
    modules = {_module(file, recbole): _text(file) for file in sorted((recbole / "model").rglob("*.py"))}
    models = {
        match[1]: file.relative_to(recbole).as_posix()
        for file in sorted(recbole.glob("model/*_recommender/*.py"))
        if (match := re.search(rf"^class\s+({re.escape(file.stem)})\b", _text(file), re.MULTILINE | re.IGNORECASE))
    }
    return {
        "common": sorted(_common(recbole)),
        "data": sorted(_read((recbole / "data" / "dataset").glob("*.py"))),
        "models": models,
        "properties": _filled({model: _properties(recbole, model) for model in models}),
        "modules": _filled({module: read_in(text) for module, text in modules.items()}),
        "losses": _filled({module: losses_in(text) for module, text in modules.items()}),
    }


def write() -> Path:
    """Write the table into the package."""
    return replace_text(NAMES_FILE, json.dumps(names(), indent=1) + "\n")


def _common(recbole: Path) -> set[str]:
    files = [file for package in CORE_PACKAGES for file in (recbole / package).rglob("*.py")]
    # The config_dict of hyper_tuning.py is a search space, not a configuration.
    found = _read([recbole / "model" / "layers.py", *(file for file in files if file.name != "hyper_tuning.py")])
    for name, arguments in vars(argument_list).items():
        if name.endswith("_arguments"):
            found.update(arguments)
    properties = recbole / "properties"
    given = (properties / "overall.yaml", properties / "dataset" / "sample.yaml")
    for file in (*given, *(properties / "quick_start_config").glob("*.yaml")):
        found.update(yaml.safe_load(_text(file)) or ())
    return found - OF_MODELS


def _properties(recbole: Path, model: str) -> set[str]:
    files = (recbole / "properties" / "model" / f"{name}.yaml" for name in (model, model.lower()))
    return {key for file in files if file.is_file() for key in yaml.safe_load(_text(file)) or ()}


def _read(files: Iterable[Path]) -> set[str]:
    return {name for file in files for name in read_in(_text(file))}


def _filled(found: dict[str, set[str]]) -> dict[str, list[str]]:
    return {name: sorted(values) for name, values in found.items() if values}


def _module(file: Path, recbole: Path) -> str:
    return ".".join(file.relative_to(recbole.parent).with_suffix("").parts)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


if __name__ == "__main__":
    write()
