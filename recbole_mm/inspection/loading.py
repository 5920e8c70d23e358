"""The dataset of a configuration with all, some or none of its modalities, and the interactions in it."""

from __future__ import annotations

import copy
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from recbole.data.dataset import Dataset, SequentialDataset
from recbole.utils import ModelType

from recbole_mm.data.dataset import MultimodalDataset, MultimodalSequentialDataset
from recbole_mm.data.folder import folder_of
from recbole_mm.inspection.problems import Problems
from recbole_mm.inspection.statistics import Pairs
from recbole_mm.recbole_bridge.histories import training_pairs
from recbole_mm.training.build import load_dataset


def described_modalities(config: Any) -> dict[str, Any]:
    """Return the setting `modalities`, empty where it is no mapping."""
    described = config["modalities"]
    return described if isinstance(described, dict) else {}


def line_of_interaction(config: Any, file: str, user: str, item: str) -> int | None:
    """Return the last line, from 1, of a file that has this user with this item; None where none has."""
    folder = folder_of(config)
    columns, rows = folder.read(Path(file))
    fields = list(columns)
    places = fields.index(config["USER_ID_FIELD"]), fields.index(config["ITEM_ID_FIELD"])
    lines = [number for number, cells in rows if (cells[places[0]], cells[places[1]]) == (user, item)]
    return lines[-1] if lines else None


def load_readable(config: Any, names: Collection[str], problems: Problems, is_error: bool) -> Any:
    """Return the dataset with those of the named modalities that it accepts, None where it cannot be loaded at all.

    One that it refuses is a problem.
    """
    tried = Problems()
    with tried.collected("loading the dataset"):
        return _load(config, names)
    accepted = []
    for name in names:
        with problems.collected("loading the dataset", is_error):
            _load(config, [name])
            accepted.append(name)
    with problems.collected("loading the dataset", is_error):
        return _load(config, accepted)
    return None


def _load(config: Any, names: Collection[str]) -> Any:
    part = copy.copy(config)
    described = {name: spec for name, spec in described_modalities(config).items() if name in names}
    part.final_config_dict = config.final_config_dict | {"modalities": described, "multimodal_dataset": False}
    if config["MODEL_TYPE"] == ModelType.SEQUENTIAL:
        return load_dataset(part, MultimodalSequentialDataset if described else SequentialDataset)
    return load_dataset(part, MultimodalDataset if described else Dataset)


def interaction_pairs(dataset: Any) -> Pairs:
    """Return the user and the item of every interaction of a dataset."""
    feat = dataset.inter_feat
    return Pairs(np.asarray(feat[dataset.uid_field]), np.asarray(feat[dataset.iid_field]))


def split_pairs(loaders: Any) -> dict[str, Pairs]:
    """Return the interactions of the training, validation and test split by name; empty without loaders."""
    if loaders is None:
        return {}
    train, valid, test = (loader._dataset for loader in loaders)
    return {"train": Pairs(*training_pairs(train)), "valid": interaction_pairs(valid), "test": interaction_pairs(test)}
