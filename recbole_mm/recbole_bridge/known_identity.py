"""RecBole's datasets know what they are, and take the ids of the checkpoint for which they are loaded."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from logging import getLogger
from typing import Any

import numpy as np
import pandas as pd
from recbole.utils import FeatureType

from recbole_mm.base.errors import InputError
from recbole_mm.data.folder import SPLIT_NAMES
from recbole_mm.data.identity import ADVICE, BETWEEN, ColumnHashes, Identity, expected, identity_of, with_files
from recbole_mm.recbole_bridge.row_hashes import column_hashes, part_summary

TABLES = {"inter_feat": "interactions", "user_feat": "users", "item_feat": "items"}


def known_ids(remap: Any) -> Any:
    """Give tokens the ids of the checkpoint for which the data are loaded, and note the ids."""

    @functools.wraps(remap)
    def wrapped(self: Any, remap_list: Any) -> None:
        if not remap_list:
            return
        name, state = str(remap_list[0][1]), expected(self.config)
        text = state["ids"].get(name) if state else None
        known = text.split(BETWEEN)[1:] if text is not None else []  # without [PAD]
        if known:
            first = pd.DataFrame({name: np.array(known, dtype=object)})
            remap_list = [(first, name, FeatureType.TOKEN), *remap_list]
        remap(self, remap_list)
        tokens = identity_of(self).ids[name] = self.field2id_token[name]
        if text is not None and len(tokens) > len(known) + 1:
            new = tokens[len(known) + 1 :]
            raise InputError(
                f"{self.config['data_path']}: {len(new)} values of {name}, such as '{new[0]}', are not among those "
                f"that the checkpoint was trained on: {ADVICE}"
            )

    return wrapped


def known_columns(change_format: Any) -> Any:
    """Note the values of all columns that are loaded, once they are tensors and before interactions are split."""

    @functools.wraps(change_format)
    def wrapped(self: Any) -> None:
        change_format(self)
        ids = (self.uid_field, self.iid_field)
        for name in self.feat_name_list:
            identity_of(self).columns[name] = column_hashes(getattr(self, name), ids)

    return wrapped


def known_split(build: Any) -> Any:
    """Note how the data are split, and refuse a split that is not the checkpoint's for which they are loaded."""

    @functools.wraps(build)
    def wrapped(self: Any) -> Any:
        identity, parts = with_files(self), build(self)
        identity.split = {name: part_summary(part) for name, part in zip(SPLIT_NAMES, parts, strict=False)}
        self.config.identity = identity
        state = expected(self.config)
        if state is not None:
            _check_split(self, identity, state)
            _check_columns(self, identity, state.get("columns", {}))  # earlier checkpoints have none
            if state["hash"] != identity.data_hash:
                getLogger().info("The files are not those of the checkpoint; what is loaded of them is the same.")
        return parts

    return wrapped


def _check_split(dataset: Any, identity: Identity, state: Mapping[str, Any]) -> None:
    for name, was in state["split"].items():
        now = identity.split.get(name)
        if now != was:
            count = (now or {}).get("interactions", 0)
            raise InputError(
                f"{dataset.config['data_path']}: the {name} split is not that of the checkpoint ({count} interactions, "
                f"{was['interactions']} then), so that a test would ask for what was trained on. Rows were added, "
                "removed or changed, or are in another order, on which a random split depends; or the data were split "
                f"without init_seed: {ADVICE}"
            )


def _check_columns(dataset: Any, identity: Identity, hashes: ColumnHashes) -> None:
    for table, columns in hashes.items():
        now = identity.columns.get(table, {})
        if other := [name for name, was in columns.items() if now.get(name) != was]:
            made_of = dict(zip([dataset.label_field], dataset.config["threshold"] or (), strict=False))
            names = ", ".join(made_of.get(name, name) for name in other)
            raise InputError(
                f"{dataset.config['data_path']}: the {TABLES.get(table, table)} have other values of {names} than "
                f"those that the checkpoint was trained on: {ADVICE}"
            )
