"""What a dataset is: which id is whose, how it is split, what its features are; a checkpoint keeps it.

RecBole numbers users, items and other tokens in the order of the file, so that the same rows in another order give
the weights of a checkpoint to others. A dataset that is loaded for a checkpoint takes the ids from there, and is
refused where its split, its columns or its features are others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_mm.base.errors import InputError
from recbole_mm.data.atomic import atomic_files
from recbole_mm.data.cache import Digests, digests_of, hash_files

BETWEEN = "\0"  # two tokens; no text file has it
HASHED_ROWS = 1 << 16  # histories hashed at a time
ADVICE = "take the files that the checkpoint was trained on, or train again"

SplitHashes = dict[str, dict[str, Any]]  # part -> its interactions and their hash
ColumnHashes = dict[str, dict[str, str]]  # table -> column -> hash


@dataclass
class Identity:
    """What a dataset is.

    Attributes
    ----------
    ids : mapping of str to array of str
        The tokens behind the internal ids 0, 1, ...; by the first of the fields that share them.
    split : mapping
        Of each part, `interactions` and `hash`, which does not depend on the order of the rows.
    columns : mapping
        Of each table that is loaded, such as `item_feat`, a hash of every column but the ids of users and items. None
        depends on the order of the rows.
    features : mapping of str to Tensor, each (item_num,)
        Of each modality one number an item, that changes with its features.
    files : tuple of Path
        Which it was read from.
    digests : Digests
        Of files, as far as they are known.
    change : str
        What was done to the data of the files, such as a shuffle of the features; empty where nothing was.
    """

    ids: dict[str, np.ndarray] = field(default_factory=dict)
    split: SplitHashes = field(default_factory=dict)
    columns: ColumnHashes = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    digests: Digests = field(default_factory=Digests)
    change: str = ""

    @cached_property
    def digest(self) -> str:
        """Of all ids."""
        total = sha256()
        for name in sorted(self.ids):
            total.update(f"{name}{BETWEEN}{BETWEEN.join(map(str, self.ids[name]))}{BETWEEN}{BETWEEN}".encode())
        return total.hexdigest()

    @cached_property
    def data_hash(self) -> str:
        """Of the content of all files, and of what was done to it."""
        return hash_files(self.files, self.change, self.digests)

    def state(self) -> dict[str, Any]:
        """Return it as plain values and tensors; the ids of a field are one text, with a zero byte between two."""
        ids = {name: BETWEEN.join(map(str, tokens)) for name, tokens in self.ids.items()}
        noted = {"ids": ids, "split": self.split, "columns": self.columns, "features": self.features}
        return {**noted, "hash": self.data_hash}


def identity_of(dataset: Any) -> Identity:
    """Return the identity of a dataset, or of a part of one; parts share it."""
    found: Identity | None = dataset.__dict__.get("identity")
    if found is None:
        found = dataset.identity = Identity()
    return found


def data_hash(dataset: Any) -> str:
    """Return the hash of all files that a dataset was read from, and of what was done to their content."""
    return with_files(dataset).data_hash


def with_files(dataset: Any) -> Identity:
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
        The dataset is loaded for a checkpoint that was trained on others.
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
