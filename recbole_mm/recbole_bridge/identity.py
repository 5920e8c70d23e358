"""What a data set is: which id is whose, how it is split, what its features are; a checkpoint keeps it.

RecBole numbers users, items and other tokens in the order of the file, so that the same rows in another order give
the weights of a checkpoint to others. A data set that is loaded for a checkpoint takes the ids from there, and is
refused where its split or its features are others.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.data.dataset import Dataset
from recbole.utils import FeatureType
from torch import Tensor

from recbole_mm.base.errors import InputError
from recbole_mm.data.atomic import atomic_files
from recbole_mm.data.cache import Digests, digests_of, hash_files

MARK = "recbole_mm_identity"  # of what this module has put in place of RecBole's own
PARTS = ("train", "valid", "test")
BETWEEN = "\0"  # two tokens; no text file has it
ROWS = 1 << 16  # histories hashed at a time
ADVICE = "take the files that the checkpoint was trained on, or train again"

Split = dict[str, dict[str, Any]]  # part -> its interactions and their hash


@dataclass
class Identity:
    """What a data set is.

    Attributes
    ----------
    ids : mapping of str to array of str
        The tokens behind the internal ids 0, 1, ...; by the first of the fields that share them.
    split : mapping
        Of each part, `interactions` and `hash`, which does not depend on the order of the rows.
    features : mapping of str to Tensor, each (item_num,)
        Of each modality one number an item, that changes with its features.
    files : tuple of Path
        Which it was read from.
    digests : Digests
        Of files, as far as they are known.
    """

    ids: dict[str, np.ndarray] = field(default_factory=dict)
    split: Split = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    digests: Digests = field(default_factory=Digests)

    @cached_property
    def digest(self) -> str:
        """Of all ids."""
        total = sha256()
        for name in sorted(self.ids):
            total.update(f"{name}{BETWEEN}{BETWEEN.join(map(str, self.ids[name]))}{BETWEEN}{BETWEEN}".encode())
        return total.hexdigest()

    @cached_property
    def data_hash(self) -> str:
        """Of the content of all files."""
        return hash_files(self.files, digests=self.digests)

    def state(self) -> dict[str, Any]:
        """Return it as plain values and tensors; the ids of a field are one text, with a zero byte between two."""
        ids = {name: BETWEEN.join(map(str, tokens)) for name, tokens in self.ids.items()}
        return {"ids": ids, "split": self.split, "features": self.features, "hash": self.data_hash}


def identity_of(dataset: Any) -> Identity:
    """Return the identity of a data set, or of a part of one; parts share it."""
    found: Identity | None = dataset.__dict__.get("identity")
    if found is None:
        found = dataset.identity = Identity()
    return found


def data_hash(dataset: Any) -> str:
    """Return the hash of all files that a data set was read from."""
    return _with_files(dataset).data_hash


def _with_files(dataset: Any) -> Identity:
    identity = identity_of(dataset)
    if not identity.files:
        identity.digests = digests_of(dataset.config)
        identity.files = (*atomic_files(dataset.config), *getattr(dataset, "modality_sources", ()))
    return identity


def expected(config: Any) -> Mapping[str, Any] | None:
    """Return the state of the identity that the data of a configuration must have, None where they are free."""
    found: Mapping[str, Any] | None = config.__dict__.get("expected")
    return found


def keep_features(dataset: Any, name: str, features: Tensor) -> None:
    """Note the features (item_num, dim) of a modality.

    Raises
    ------
    InputError
        The data set is loaded for a checkpoint that was trained on others.
    """
    direction = torch.arange(1, features.shape[1] + 1, dtype=torch.float64).cos()
    noted = identity_of(dataset).features[name] = (features.double() @ direction).float()
    state = expected(dataset.config)
    if state is None:
        return
    was = state["features"].get(name)
    if was is None or was.shape != noted.shape:
        raise InputError(f"the checkpoint was trained without the modality '{name}' as it is here: {ADVICE}")
    scale = float(was.abs().max())
    other = ~torch.isclose(noted, was.to(noted.device), rtol=1e-3, atol=1e-4 * scale)
    if other.any():
        item = dataset.field2id_token[dataset.iid_field][int(other.nonzero()[0])]
        raise InputError(
            f"the features of {int(other.sum())} items in the modality '{name}', such as '{item}', are not those that "
            f"the checkpoint was trained on: {ADVICE}"
        )


def _known_ids(remap: Any) -> Any:
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


def _known_split(build: Any) -> Any:
    """Note how the data are split, and refuse a split that is not the checkpoint's for which they are loaded."""

    @functools.wraps(build)
    def wrapped(self: Any) -> Any:
        identity, parts = _with_files(self), build(self)
        identity.split = {name: _summary(part) for name, part in zip(PARTS, parts, strict=False)}
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
    for start in range(0, len(feat) if fields else 0, ROWS):
        rows = slice(start, start + ROWS)
        code = np.zeros(len(feat[fields[0]][rows]), dtype=np.uint64)
        for name in fields:
            code = _mixed(code * np.uint64(31) + feat[name][rows].numpy().astype(np.uint64))
        if histories in feat:
            items = feat[histories][rows].numpy().astype(np.uint64)  # (rows, longest)
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


def register() -> None:
    """Let every data set of RecBole know what it is; a second call changes nothing."""
    if not hasattr(Dataset, MARK):
        setattr(Dataset, MARK, True)
        Dataset._remap = _known_ids(Dataset._remap)
        Dataset.build = _known_split(Dataset.build)
