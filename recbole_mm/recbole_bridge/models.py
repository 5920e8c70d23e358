"""Models from outside the pack, under their names where RecBole looks for a model, its dataset and its trainer."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import recbole.data.dataset
import recbole.model
import recbole.trainer
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import ModelType

from recbole_mm.base.errors import InputError
from recbole_mm.data.dataset import MultimodalDataset, multimodal
from recbole_mm.recbole_bridge.content_metrics import content_is_asked

MODEL_FOLDERS = {  # the folder of RecBole's that has the models of a type; all others are in the first
    ModelType.GENERAL: "general_recommender",
    ModelType.CONTEXT: "context_aware_recommender",
    ModelType.SEQUENTIAL: "sequential_recommender",
    ModelType.KNOWLEDGE: "knowledge_aware_recommender",
}
FOLDERS = (*MODEL_FOLDERS.values(), "exlib_recommender")
FROM_FILE = "recbole_mm_model_"  # the name of a module that was read from a file: this, and the path in hexadecimal


class Place(ModuleType):
    """The module `recbole.model.<folder>.<name in lower case>` of a registered model."""

    def __init__(self, name: str, model: type) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.model = model
        setattr(self, model.__name__, model)


def register_model(model: type, dataset: type | None = None, trainer: type | None = None) -> type:
    """Let RecBole, and every command of the pack, find a model by the name of its class.

    Parameters
    ----------
    model : type
        A recommender of RecBole's kind. A class that is defined anew, as in a notebook, replaces the one before.
    dataset : type, optional
        Its dataset; without one it gets the multimodal dataset if its attribute `multimodal` is true, which it is in
        every model that is built on `recbole_mm.model.base`, and otherwise RecBole's.
    trainer : type, optional
        Its trainer; without one RecBole's for its type.

    Returns
    -------
    type
        The model, so that this is a decorator, too.

    Raises
    ------
    InputError
        What is no recommender, or has the name of another model.
    """
    if not (isinstance(model, type) and issubclass(model, AbstractRecommender)):
        what = source_of(model) if isinstance(model, type) else ""
        raise InputError(
            f"{what or repr(model)}: not a recommender of RecBole: derive its class from one, such as GraphRecommender"
        )
    name, folder = model.__name__, MODEL_FOLDERS.get(model.type, FOLDERS[0])  # type: ignore[attr-defined]
    before = registered(name)
    if before is None and _is_known(model):
        raise InputError(f"{source_of(model) or name}: RecBole or the pack has a model {name}: rename the class")
    if before is not None and (before.__module__, before.__qualname__) != (model.__module__, model.__qualname__):
        there = source_of(before) or before.__module__
        raise InputError(f"{source_of(model) or name}: there is another model {name}, of {there}: rename the class")
    place = f"recbole.model.{folder}.{name.lower()}"
    sys.modules[place] = Place(place, model)  # where get_model looks
    attribute = f"{name}Dataset"
    if dataset is None and getattr(model, "multimodal", False) and not hasattr(recbole.data.dataset, attribute):
        dataset = multimodal(_plain_dataset(model))
    if dataset is not None:
        setattr(recbole.data.dataset, attribute, dataset)  # where create_dataset looks
    if trainer is not None:
        setattr(recbole.trainer, f"{name}Trainer", trainer)  # where get_trainer looks
    return model


def registered(name: str) -> type | None:
    """Return the registered model of this name, None where there is none."""
    for folder in FOLDERS:
        place = sys.modules.get(f"recbole.model.{folder}.{name.lower()}")
        if isinstance(place, Place) and place.model.__name__ == name:
            return place.model
    return None


def registered_names() -> list[str]:
    """Return the names of all registered models."""
    return sorted(place.model.__name__ for place in list(sys.modules.values()) if isinstance(place, Place))


def is_own(model: type) -> bool:
    """Return whether a model is of RecBole or of the pack."""
    return model.__module__.split(".")[0] in ("recbole", "recbole_mm")


def is_proposed(model: type) -> bool:
    """Return whether a comparison is about a model: its class says so, or it is from outside the pack and RecBole."""
    return bool(vars(model).get("proposed", not is_own(model)))


def inherited(model: type) -> list[str]:
    """Return the names of the models whose default properties one from outside has too, the nearest last."""
    if is_own(model):
        return []
    return [each.__name__ for each in reversed(model.__mro__[1:]) if issubclass(each, AbstractRecommender)]


def source_of(model: type) -> str:
    """Return what another process finds a model by, `FILE:Class` or `module:Class`, empty where nothing does.

    A class of a notebook or of the program that was started is found by no other process.
    """
    module = sys.modules.get(model.__module__)
    if is_own(model) or model.__module__ == "__main__" or module is None or "<locals>" in model.__qualname__:
        return ""
    place = module.__file__ if model.__module__.startswith(FROM_FILE) else model.__module__
    return f"{place}:{model.__qualname__}"


def _is_known(model: type) -> bool:
    """Return whether RecBole or the pack has a model of this name, whatever the case."""
    name = model.__name__.lower()
    folders = [Path(recbole.model.__path__[0]) / folder for folder in FOLDERS]
    modules = (sys.modules.get(f"recbole.model.{folder}.{name}") for folder in FOLDERS)
    return any((folder / f"{name}.py").is_file() for folder in folders) or any(modules)


def _plain_dataset(model: Any) -> type:
    kinds = {ModelType.SEQUENTIAL: "SequentialDataset", ModelType.KNOWLEDGE: "KnowledgeBasedDataset"}
    return getattr(recbole.data.dataset, kinds.get(model.type, "Dataset"))


def is_multimodal(config: Any) -> bool:
    """Return whether the configured model reads features, or is given them."""
    own = getattr(recbole.data.dataset, f"{config['model']}Dataset", object)
    return issubclass(own, MultimodalDataset) or bool(config["multimodal_dataset"])


def datasets_on_request(_: Any) -> Any:
    """Let the setting `multimodal_dataset`, or a metric, give any model the multimodal version of its dataset."""

    def new(cls: Any, config: Any = None, *_: Any, **__: Any) -> Any:
        asked = config is not None and (config["multimodal_dataset"] or content_is_asked(config))
        return object.__new__(multimodal(cls) if asked and not issubclass(cls, MultimodalDataset) else cls)

    return staticmethod(new)
