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
from recbole_mm.data.identity import ADVICE, BETWEEN, HASHED_ROWS, Identity, expected, identity_of, with_files


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


def known_split(build: Any) -> Any:
    """Note how the data are split, and refuse a split that is not the checkpoint's for which they are loaded."""

    @functools.wraps(build)
    def wrapped(self: Any) -> Any:
        identity, parts = with_files(self), build(self)
        identity.split = {name: _summary(part) for name, part in zip(SPLIT_NAMES, parts, strict=False)}
        self.config.identity = identity
        state = expected(self.config)
        if state is not None:
            _check_split(self, identity, state)
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
    if state["hash"] != identity.data_hash:
        getLogger().info("The files are not those of the checkpoint; ids, split and features are the same.")


def _summary(part: Any) -> dict[str, Any]:
    """Return the number of a part's interactions, and a hash of them and their histories in any order."""
    feat, total = part.inter_feat, 0
    fields = [name for name in (part.uid_field, part.iid_field) if name is not None and name in feat]
    histories = f"{part.iid_field}{part.config['LIST_SUFFIX']}"
    for start in range(0, len(feat) if fields else 0, HASHED_ROWS):
        rows = feat[start : start + HASHED_ROWS]
        code = np.zeros(len(rows), dtype=np.uint64)
        for name in fields:
            code = _mixed(code * np.uint64(31) + rows[name].numpy().astype(np.uint64))
        if histories in rows:
            items = rows[histories].numpy().astype(np.uint64)  # (rows, longest)
            weights = _mixed(np.arange(items.shape[1], dtype=np.uint64))
            code = _mixed(code + (items * weights).sum(1, dtype=np.uint64))
        total = (total + int(code.sum(dtype=np.uint64))) % 2**64
    return {"interactions": len(feat), "hash": f"{total:016x}"}


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return whole numbers (n,) of 64 bits, far apart where the given ones are near (splitmix64)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
