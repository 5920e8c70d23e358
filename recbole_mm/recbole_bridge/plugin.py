"""The sockets of RecBole that make `import recbole_mm` enough: models, data sets, trainers, default properties."""

from __future__ import annotations

import functools
import importlib
import sys
from logging import getLogger
from pathlib import Path
from typing import Any

import recbole.data.dataset
import recbole.trainer
from recbole.config import Config

from recbole_mm.data.dataset import MultimodalDataset, MultimodalSequentialDataset
from recbole_mm.model import MODELS
from recbole_mm.recbole_bridge import batches as loading
from recbole_mm.recbole_bridge import device, engine, histories, identity, times, trained_ids
from recbole_mm.recbole_bridge import full_sort as evaluation
from recbole_mm.settings.parameters import defaults
from recbole_mm.settings.valid_names import properties_folder
from recbole_mm.training.trainer import SEATrainer

_DATASETS = {"general_recommender": MultimodalDataset, "sequential_recommender": MultimodalSequentialDataset}
_TRAINERS = {"SEA": SEATrainer}
DATA_PATH = "dataset/"  # where data sets are looked for
_CACHE_KEYS = ("save_dataset", "dataset_save_path", "save_dataloaders", "dataloaders_save_path")


def register() -> None:
    """Plug models, data sets, trainers and default properties into RecBole; a second call changes nothing."""
    for model, kind in MODELS.items():
        name = f"{kind}.{model.lower()}"
        module = importlib.import_module(f"recbole_mm.model.{name}")
        package = importlib.import_module(f"recbole.model.{kind}")
        sys.modules[f"recbole.model.{name}"] = module  # where RecBole's get_model looks
        setattr(package, model.lower(), module)
        setattr(package, model, getattr(module, model))
        setattr(recbole.data.dataset, f"{model}Dataset", _DATASETS[kind])  # where create_dataset looks
    for model, trainer in _TRAINERS.items():
        setattr(recbole.trainer, f"{model}Trainer", trainer)  # where get_trainer looks
    times.register()
    identity.register()
    trained_ids.register()
    loading.register()
    evaluation.register()
    histories.register()
    engine.register()
    if not hasattr(Config._update_internal_config_dict, "__wrapped__"):
        Config._update_internal_config_dict = _with_pack_properties(Config._update_internal_config_dict)
        Config._get_final_config_dict = _without_pickled_caches(Config._get_final_config_dict)
        Config._init_device = device.as_asked(Config._init_device)


def _with_pack_properties(update: Any) -> Any:
    """Let the pack's yaml files follow RecBole's of the same level: overall < model < data set < model on data set."""

    @functools.wraps(update)
    def wrapped(self: Any, file: str) -> Any:
        loaded = update(self, file)
        own: list[Path] = []
        if file.endswith("properties/overall.yaml"):
            own = [Path(file).parent / f"model/{self.model.lower()}.yaml"]  # RecBole misses those of its decision trees
            declaration = getattr(self.model_class, "parameter_class", None)
            if declaration:  # a model of the pack, or written like one: trained on ids
                self.internal_config_dict.update({**defaults(declaration), "join_features": False})
            own += [properties_folder() / f"{name}.yaml" for name in ("overall", f"model/{self.model}")]
        elif file.endswith("properties/dataset/sample.yaml"):
            names = (f"dataset/{self.dataset}", f"model/{self.model}-{self.dataset}")
            own = [properties_folder() / f"{name}.yaml" for name in names]
            own.append(dataset_yaml(self.dataset, self.external_config_dict.get("data_path")))
        if own:
            self.dataset_config_dict = {}  # at the end that of the data set's files: sample.yaml is after overall.yaml
        for yaml_file in own:
            if yaml_file.is_file():
                self.dataset_config_dict.update(update(self, str(yaml_file)) or {})
        by_loss = own and not hasattr(self.model_class, "input_type")  # as RecBole decides it
        if by_loss and {**self.internal_config_dict, **self.external_config_dict}.get("loss_type") == "CE":
            self.internal_config_dict["train_neg_sample_args"] = None  # RecBole has a default, and refuses it
        return loaded

    return wrapped


def dataset_yaml(dataset: str, data_path: str | None) -> Path:
    """Return where a data set's own settings stand, `<data_path>/<dataset>/<dataset>.yaml`, if it has any."""
    return Path(data_path or DATA_PATH) / dataset / f"{dataset}.yaml"


def _without_pickled_caches(final: Any) -> Any:
    """Refuse, with a word, RecBole's pickled caches: nothing reads them here (see `compat`)."""

    @functools.wraps(final)
    def wrapped(self: Any) -> dict[str, Any]:
        config: dict[str, Any] = final(self)
        asked = [key for key in _CACHE_KEYS if config.get(key)]
        if asked:
            getLogger().warning(
                f"{', '.join(asked)}: ignored. RecBole reuses these pickles after the data or the split changed; "
                "recbole_mm reads the data set anew every time."
            )
        return config | {key: False if key.startswith("save") else None for key in asked}

    return wrapped
