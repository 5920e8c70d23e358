"""The valid names: of models, and of the settings that RecBole or a model ever reads."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml
from recbole.utils import argument_list

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.recbole_bridge.engine import Engine
from recbole_mm.recbole_bridge.full_sort import Ranked
from recbole_mm.settings.parameters import defaults
from recbole_mm.training.groups import GroupSettings

PACK = Path(__file__).resolve().parents[1]

# Settings that no source text or yaml file names, and arguments of the command line.
EXTRA_KEYS = frozenset({"model", "dataset", "config_files", "modalities", "normalize", "missing_modality", "resume"})

# Settings that say where and with what a run is computed, and not what.
PLACE = frozenset(
    ("checkpoint_dir", "data_path", "threads", "device", "use_gpu", "gpu_id", "show_progress", "state", "eval_memory")
)

# Settings that RecBole reads on behalf of the models that have them; others pass over them.
OF_MODELS = frozenset({"loss_type"})

# Packages of RecBole that read the configuration of every run; models are read one by one.
CORE_PACKAGES = ("config", "data", "trainer", "evaluator", "sampler", "utils", "quick_start")

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


def properties_folder() -> Path:
    """Return the folder of the pack's yaml files."""
    return PACK / "properties"


def model_names() -> dict[str, Path]:
    """Return the models of RecBole and of the pack: class name -> source file.

    A model is a class named like its file in a folder `model/*_recommender`, whatever the case. No model
    is imported, because some need packages that are not installed. The pack's models win over RecBole's.
    """
    names: dict[str, Path] = {}
    for package in (recbole_folder(), PACK):
        for file in sorted(package.glob("model/*_recommender/*.py")):
            source = file.read_text(encoding="utf-8")
            match = re.search(rf"^class\s+({re.escape(file.stem)})\b", source, re.MULTILINE | re.IGNORECASE)
            if match:
                names[match[1]] = file
    return names


def check_model(name: str) -> None:
    """Refuse a model name that `model_names` does not have, in exactly this case.

    Raises
    ------
    InputError
        Unknown name; the message has the nearest one or, where none is near, all of them.
    """
    names = model_names()
    if name not in names:
        hint = nearest(name, names) or f" The models are {', '.join(sorted(names, key=str.lower))}."
        raise InputError(f"unknown model '{name}'.{hint}")


def known_keys(model_class: type) -> set[str]:
    """Return every setting that RecBole, the pack or `model_class` ever reads.

    Harvested from source text, where it reads the configuration, from the yaml files of default properties,
    from RecBole's argument lists, and from the dataclass in which the model declares its parameters.
    """
    keys = {*EXTRA_KEYS, *defaults(Engine), *defaults(GroupSettings), *defaults(Ranked)}
    for name, arguments in vars(argument_list).items():
        if name.endswith("_arguments"):
            keys.update(arguments)
    keys |= _read_in(_core_sources()) - OF_MODELS
    keys |= _read_in(_model_sources(model_class))
    for properties in _property_files(model_class.__name__):
        keys.update(yaml.safe_load(properties.read_text(encoding="utf-8")) or ())
    declaration = getattr(model_class, "parameter_class", None)
    return keys.union(defaults(declaration) if declaration else ())


def data_keys() -> set[str]:
    """Return the settings that change which data are loaded, or how they are split."""
    sources = [*(recbole_folder() / "data" / "dataset").glob("*.py"), *(PACK / "data").glob("*.py")]
    return {"modalities", "normalize", "missing_modality", "seed", "reproducibility", *_read_in(sources)}


def loss_types(model_class: type) -> list[str]:
    """Return the values of `loss_type` that a model has; RecBole's Config has two for a model that names none."""
    declared = getattr(getattr(model_class, "parameter_class", None), "__dataclass_fields__", {}).get("loss_type")
    if declared is not None:
        return list(declared.metadata["choices"])
    texts = [source.read_text(encoding="utf-8") for source in _model_sources(model_class)]
    found = [match for text in texts for match in LOSS_TYPE.findall(text)]
    names = {case(name) for lowered, name in found for case in ((str.lower, str.upper) if lowered else (str,))}
    return sorted(names) or ["BPR", "CE"]


def _read_in(sources: Iterable[Path]) -> set[str]:
    matches = (READ_KEY.finditer(source.read_text(encoding="utf-8")) for source in sources)
    return {match[1] or match[2] for one in matches for match in one}


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


def _core_sources() -> Iterator[Path]:
    recbole = recbole_folder()
    for package in CORE_PACKAGES:
        for file in (recbole / package).rglob("*.py"):
            if file.name != "hyper_tuning.py":  # its config_dict is a search space, not a configuration
                yield file
    yield recbole / "model" / "layers.py"
    yield from (file for file in PACK.rglob("*.py") if PACK / "model" not in file.parents)


def _model_sources(model_class: type) -> Iterator[Path]:
    for ancestor in model_class.__mro__:
        if ancestor.__module__.split(".")[0] not in {"builtins", "torch"}:
            yield Path(inspect.getsourcefile(ancestor) or PACK / "__init__.py")


def _property_files(model: str) -> Iterator[Path]:
    recbole, pack = recbole_folder() / "properties", properties_folder()
    yield from (recbole / "quick_start_config").glob("*.yaml")
    yield from (pack / "dataset").glob("*.yaml")
    for file in (
        recbole / "overall.yaml",
        recbole / "dataset" / "sample.yaml",
        recbole / "model" / f"{model}.yaml",
        pack / "overall.yaml",
        pack / "model" / f"{model}.yaml",
    ):
        if file.is_file():
            yield file
