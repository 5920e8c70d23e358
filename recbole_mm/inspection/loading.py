"""The dataset of a configuration with all, some or none of its modalities, and the interactions in it."""

from __future__ import annotations

import copy
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from recbole.data.dataset import Dataset, SequentialDataset
from recbole.utils import ModelType

from recbole_mm.data.atomic import is_parquet
from recbole_mm.data.dataset import MultimodalDataset, MultimodalSequentialDataset
from recbole_mm.data.folder import folder_of
from recbole_mm.data.parquet import count_rows
from recbole_mm.data.parquet_frame import read_parquet_frame
from recbole_mm.inspection.problems import Problems
from recbole_mm.inspection.statistics import Pairs, UserTimes
from recbole_mm.recbole_bridge.histories import training_pairs
from recbole_mm.training.build import load_dataset


def described_modalities(config: Any) -> dict[str, Any]:
    """Return the setting `modalities`, empty where it is no mapping."""
    described = config["modalities"]
    return described if isinstance(described, dict) else {}


def place_of_interaction(config: Any, file: str, user: str, item: str) -> str:
    """Return the last line, or row of Parquet, from 1, of a file that has this user with this item."""
    user_field, item_field = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
    if is_parquet(Path(file)):
        frame = read_parquet_frame(Path(file), config, (user_field, item_field))
        rows = np.flatnonzero((frame[user_field] == user) & (frame[item_field] == item))
        return f"row {rows[-1] + 1 if len(rows) else None}"
    columns, lines = folder_of(config).read(Path(file))
    fields = list(columns)
    places = fields.index(user_field), fields.index(item_field)
    numbers = [number for number, cells in lines if (cells[places[0]], cells[places[1]]) == (user, item)]
    return f"line {numbers[-1] if numbers else None}"


def rows_in_file(config: Any, file: Path) -> int:
    """Return the number of interactions in a file."""
    return count_rows(file) if is_parquet(file) else sum(1 for _ in folder_of(config).read(file)[1])


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


def split_times(loaders: Any) -> dict[str, UserTimes]:
    """Return users and times of the same splits; empty without loaders, or without a time."""
    if loaders is None:
        return {}
    parts = dict(zip(("train", "valid", "test"), (loader._dataset for loader in loaders), strict=True))
    if any(part.time_field not in part.inter_feat for part in parts.values()):
        return {}
    return {
        name: UserTimes(np.asarray(part.inter_feat[part.uid_field]), np.asarray(part.inter_feat[part.time_field]))
        for name, part in parts.items()
    }
