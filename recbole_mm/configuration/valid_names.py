"""The valid names: of models, and of the settings that RecBole or a model ever reads."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recbole_mm.base.errors import InputError, near, nearest
from recbole_mm.recbole_bridge.model_sources import entries
from recbole_mm.recbole_bridge.models import inherited, registered_names
from recbole_mm.recbole_bridge.own_names import MODELS
from recbole_mm.settings.execution import OF_EVERY_MODEL
from recbole_mm.settings.names import PACK
from recbole_mm.settings.parameters import defaults

NAMES_FILE = Path(__file__).with_name("recbole.json")  # the names in RecBole 1.2.1, made by `benchmarks.setting_names`

# Settings of the pack, beside those that its declarations have.
EXTRA_KEYS = frozenset(("model", "dataset", "modalities", "normalize", "missing_modality")) | {
    "model_source", "multimodal_dataset", "shuffle_features",
}  # fmt: skip

# Settings that say where and with what a run is computed, and not what.
PLACE = frozenset(
    ("checkpoint_dir", "data_path", "threads", "device", "use_gpu", "gpu_id", "show_progress", "state", "eval_memory")
) | {"model_source"}  # a model's file may be moved

NEAREST = 5  # names that a message about an unknown model has

# A name in quotes after `config[`, after `config.get(`, or before `in config`; so too for final_config_dict.
READ_KEY = re.compile(
    r"""config\w*(?:\[\s*|\.get\(\s*)["'](\w+)["']"""
    r"""|["'](\w+)["']\s+(?:not\s+)?in\s+[\w.]*config\w*(?![\w\[.])"""
)

# A value of `loss_type` that a model knows.
LOSS_TYPE = re.compile(r"""loss_type(\.lower\(\))?\s*==\s*["'](\w+)["']""")


def recbole_folder() -> Path:
    """Return where the package `recbole` lies, found without importing it.

    Raises
    ------
    InputError
        `recbole` is not installed.
    """
    spec = importlib.util.find_spec("recbole")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("RecBole is not installed: pip install --no-deps recbole==1.2.1")
    return Path(spec.submodule_search_locations[0])


@functools.cache
def recbole_names() -> dict[str, Any]:
    """Return the table of RecBole's names; see `benchmarks.setting_names`."""
    table: dict[str, Any] = json.loads(NAMES_FILE.read_text(encoding="utf-8"))
    return table


def model_names() -> dict[str, Path]:
    """Return the models of RecBole and of the pack: class name -> source file. No model is imported."""
    recbole = recbole_folder()
    own = {model: PACK / "model" / kind / f"{model.lower()}.py" for model, kind in MODELS.items()}
    return {name: recbole / file for name, file in recbole_names()["models"].items()} | own


def check_model(name: str) -> None:
    """Refuse a model name that neither `model_names` nor what is registered has, in exactly this case.

    Raises
    ------
    InputError
        Unknown name; the message has the nearest ones.
    """
    names = {*model_names(), *registered_names()}
    if name not in names and name not in (installed := entries()):
        close = ", ".join(near(name, sorted({*names, *installed}), NEAREST))
        raise InputError(f"unknown model '{name}'; the nearest are {close} (recbole-mm models lists all)")


def known_keys(model_class: type) -> set[str]:
    """Return every setting that RecBole, the pack or `model_class` ever reads.

    Those of RecBole and of its models are in a table. A model from elsewhere has the parameters that it declares in a
    dataclass, and what its own source text reads from the configuration.
    """
    table = recbole_names()
    keys = {
        *EXTRA_KEYS,
        *(name for declaration in OF_EVERY_MODEL for name in defaults(declaration)),
        *table["common"],
    }
    for name in (*inherited(model_class), model_class.__name__):
        keys.update(table["properties"].get(name, ()))
    for module, text in _sources(model_class):
        keys.update(table["modules"].get(module, ()) if text is None else read_in(text))
    declaration = getattr(model_class, "parameter_class", None)
    return keys.union(defaults(declaration) if declaration else ())


def data_keys() -> set[str]:
    """Return the settings that change which data are loaded, or how they are split."""
    return {
        "modalities",
        "multimodal_dataset",
        "normalize",
        "missing_modality",
        "shuffle_features",
        "seed",
        "reproducibility",
        *recbole_names()["data"],
    }


def loss_types(model_class: type) -> list[str]:
    """Return the values of `loss_type` that a model has; RecBole's Config has two for a model that names none."""
    declared = getattr(getattr(model_class, "parameter_class", None), "__dataclass_fields__", {}).get("loss_type")
    if declared is not None:
        return list(declared.metadata["choices"])
    of_recbole = recbole_names()["losses"]
    sources = _sources(model_class)
    found = (of_recbole.get(module, ()) if text is None else losses_in(text) for module, text in sources)
    return sorted({name for names in found for name in names}) or ["BPR", "CE"]


def read_in(source: str) -> set[str]:
    """Return the settings that a source text reads from the configuration."""
    return {match[1] or match[2] for match in READ_KEY.finditer(source)}


def losses_in(source: str) -> set[str]:
    """Return the values with which a source text compares `loss_type`; both cases where it does so in lower case."""
    found = LOSS_TYPE.findall(source)
    return {case(name) for lowered, name in found for case in ((str.lower, str.upper) if lowered else (str,))}


def _sources(model_class: type) -> list[tuple[str, str | None]]:
    """Return the modules of a model and of what it is derived from, each with its text where no table has its names."""
    sources: dict[str, str | None] = {}
    for ancestor in model_class.__mro__:
        module = ancestor.__module__
        root = module.partition(".")[0]
        if root in ("recbole", "recbole_mm"):  # the pack's models declare what they read
            sources[module] = None
        elif root != "torch" and root not in sys.stdlib_module_names:
            try:
                file = inspect.getsourcefile(ancestor)
            except (TypeError, OSError):  # a class of a notebook, or of an interactive session
                file = None
            sources[module] = Path(file).read_text(encoding="utf-8") if file and Path(file).is_file() else None
    return list(sources.items())


def check_keys(keys: Iterable[str], model_class: type, where: str) -> None:
    """Refuse a setting that nothing reads.

    Parameters
    ----------
    keys : iterable of str
        Names of settings that the user gave.
    model_class : type
        The model of the run.
    where : str
        The file name that has the keys, or ``command line``.

    Raises
    ------
    InputError
        The first unknown key, with the nearest known one.
    """
    known = known_keys(model_class)
    for key in keys:
        if key not in known:
            owner = f"RecBole or {model_class.__name__}"
            raise InputError(f"{where}: unknown setting '{key}' for {owner}.{nearest(str(key), sorted(known))}")
