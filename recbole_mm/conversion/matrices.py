"""The layout of DiffMM and MMSSL: a user x item matrix for each part of the split, as pickle or as json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recbole_mm.base.errors import InputError, number_of
from recbole_mm.conversion.feature_files import look_all
from recbole_mm.conversion.folders import files_in
from recbole_mm.conversion.source import FeatureFile, Source, Stream
from recbole_mm.conversion.sparse import read_matrix
from recbole_mm.data.folder import SPLIT_NAMES

_NAMES = {"train": ("trnMat", "train_mat"), "valid": ("valMat", "valid_mat", "val_mat"), "test": ("tstMat", "test_mat")}
_JSON = {"train": ("train.json",), "valid": ("val.json", "valid.json"), "test": ("test.json",)}
_ROWS = 1 << 17

NumberPairs = tuple[np.ndarray, np.ndarray]  # users and items, as numbers


def read(folder: Path) -> Source:
    """Describe a folder of DiffMM's or MMSSL's; an `InputError` says what it lacks."""
    pickled = {part: (*(f"{name}.pkl" for name in names), *names) for part, names in _NAMES.items()}

    def found(names: Mapping[str, tuple[str, ...]]) -> int:
        return sum(bool(files_in(folder, *names[part])) for part in SPLIT_NAMES)

    forms = sorted((pickled, _JSON), key=found, reverse=True)
    names = forms[0]  # MMSSL has json files and one matrix
    files = {part: _only(folder, part, names[part]) for part in SPLIT_NAMES}
    features = look_all(files_in(folder, "*_feat.npy"))
    pairs: dict[str, NumberPairs] = {}
    for part, file in files.items():
        if names is _JSON:
            pairs[part] = _read_json(file)
        else:
            users, items, shape = read_matrix(file)
            _check_items(file, shape[1], features)
            pairs[part] = users, items
    return Source(folder, ["user_id", "item_id"], _batches(pairs), True, features)


def _only(folder: Path, part: str, names: tuple[str, ...]) -> Path:
    found = files_in(folder, *names)
    if len(found) != 1:
        problem = f"the {part} part is {', '.join(path.name for path in found)}" if found else f"no {part} part"
        raise InputError(f"{folder}: {problem}; one file of {', '.join(names)} is needed")
    return found[0]


def _check_items(file: Path, items: int, features: list[FeatureFile]) -> None:
    for feature in features:
        if feature.ids is None and feature.n_rows != items:
            raise InputError(
                f"{feature.file} has {number_of(feature.n_rows, 'row')} but {file} has {number_of(items, 'column')}, "
                "an item each"
            )


def _batches(pairs: dict[str, NumberPairs]) -> Stream:
    for part, (users, items) in pairs.items():
        for start in range(0, len(users), _ROWS):
            columns = [pa.array(numbers[start : start + _ROWS]).cast(pa.string()) for numbers in (users, items)]
            yield part, pa.RecordBatch.from_arrays(columns, names=["user_id", "item_id"])


def _read_json(file: Path) -> NumberPairs:
    """Return the pairs of a json file in its order."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read as json ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f'{file}: must hold {{"user": [item, ...]}}, but holds {type(content).__name__}')
    users: list[int] = []
    items: list[int] = []
    for user, row in content.items():
        _check_row(file, user, row)
        users += [int(user)] * len(row)
        items += row
    return np.array(users, dtype=np.int64), np.array(items, dtype=np.int64)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("duplicate user")
    return found


def _check_row(file: Path, user: str, row: Any) -> None:
    if not re.fullmatch("0|[1-9][0-9]{0,8}", user):
        raise InputError(f"{file}: user '{user[:80]}' is not a whole number from 0: number the users")
    if not isinstance(row, list):
        raise InputError(f"{file}, user {user}: items must be a list, not {type(row).__name__}")
    for item in row:
        if type(item) is not int or not 0 <= item < 2**31:
            raise InputError(
                f"{file}, user {user}: item {str(item)[:80]!r} is not a whole number from 0: number the items"
            )
