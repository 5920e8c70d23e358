"""Where RecBole looks for models, datasets, trainers and default settings, and finds those of the pack."""

from __future__ import annotations

import functools
import importlib
import sys
from logging import getLogger
from pathlib import Path
from typing import Any

import recbole.data.dataset
import recbole.trainer

from recbole_mm.data.dataset import MultimodalDataset, MultimodalSequentialDataset
from recbole_mm.recbole_bridge import models
from recbole_mm.recbole_bridge.model_sources import find_models
from recbole_mm.recbole_bridge.own_names import MODELS
from recbole_mm.settings.names import dataset_yaml, properties_folder
from recbole_mm.settings.parameters import defaults

_DATASETS = {"general_recommender": MultimodalDataset, "sequential_recommender": MultimodalSequentialDataset}
_TRAINERS = {"SEA": "general_recommender.sea_trainer"}  # model -> where its trainer stands
_CACHE_KEYS = ("save_dataset", "dataset_save_path", "save_dataloaders", "dataloaders_save_path")


def register() -> None:
    """Put models, datasets and trainers where RecBole looks for them; a second call changes nothing."""
    for model, kind in MODELS.items():
        name = f"{kind}.{model.lower()}"
        module = importlib.import_module(f"recbole_mm.model.{name}")
        package = importlib.import_module(f"recbole.model.{kind}")
        sys.modules[f"recbole.model.{name}"] = module  # where RecBole's get_model looks
        setattr(package, model.lower(), module)
        setattr(package, model, getattr(module, model))
        setattr(recbole.data.dataset, f"{model}Dataset", _DATASETS[kind])  # where create_dataset looks
    for model, place in _TRAINERS.items():
        trainer = getattr(importlib.import_module(f"recbole_mm.model.{place}"), f"{model}Trainer")
        setattr(recbole.trainer, f"{model}Trainer", trainer)  # where get_trainer looks
    find_models()


def with_pack_properties(update: Any) -> Any:
    """Let the pack's yaml files follow RecBole's of the same level: overall < model < dataset < model on dataset."""

    @functools.wraps(update)
    def wrapped(self: Any, file: str) -> Any:
        loaded = update(self, file)
        own: list[Path] = []
        if file.endswith("properties/overall.yaml"):
            own = [Path(file).parent / f"model/{self.model.lower()}.yaml"]  # RecBole misses those of its decision trees
            inherited = models.inherited(self.model_class)
            for each in inherited:  # RecBole reads those of the class alone
                _update_if_there(update, self, Path(file).parent / f"model/{each}.yaml")
            declaration = getattr(self.model_class, "parameter_class", None)
            if declaration:  # a model of the pack, or written like one: trained on ids
                self.internal_config_dict.update({**defaults(declaration), "join_features": False})
            levels = ("overall", *(f"model/{each}" for each in (*inherited, self.model)))
            own += [properties_folder() / f"{name}.yaml" for name in levels]
        elif file.endswith("properties/dataset/sample.yaml"):
            names = (f"dataset/{self.dataset}", f"model/{self.model}-{self.dataset}")
            own = [properties_folder() / f"{name}.yaml" for name in names]
            own.append(dataset_yaml(self.dataset, self.external_config_dict.get("data_path")))
        if own:
            self.dataset_config_dict = {}  # at the end that of the dataset's files: sample.yaml is after overall.yaml
        for yaml_file in own:
            self.dataset_config_dict.update(_update_if_there(update, self, yaml_file))
        by_loss = own and not hasattr(self.model_class, "input_type")  # as RecBole decides it
        if by_loss and {**self.internal_config_dict, **self.external_config_dict}.get("loss_type") == "CE":
            self.internal_config_dict["train_neg_sample_args"] = None  # RecBole has a default, and refuses it
        return loaded

    return wrapped


def _update_if_there(update: Any, config: Any, file: Path) -> dict[str, Any]:
    return (update(config, str(file)) or {}) if file.is_file() else {}


def without_pickled_caches(final: Any) -> Any:
    """Turn off RecBole's pickled caches, with a warning: nothing reads them here."""

    @functools.wraps(final)
    def wrapped(self: Any) -> dict[str, Any]:
        config: dict[str, Any] = final(self)
        asked = [key for key in _CACHE_KEYS if config.get(key)]
        if asked:
            getLogger().warning(
                f"{', '.join(asked)}: ignored. RecBole reuses these pickles after the data or the split changed; "
                "recbole_mm reads the dataset every time."
            )
        return config | {key: False if key.startswith("save") else None for key in asked}

    return wrapped
