"""The files that a run leaves: result.json, and the test metrics of every user."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recbole_mm.base.files import replace_text, replaced
from recbole_mm.base.plain import to_json

USERS_FILE = "test_users.npz"


def write_result(folder: str | os.PathLike[str], result: Mapping[str, Any]) -> Path:
    """Write or replace `result.json` in `folder`, sorted by key, and return its path."""
    text = json.dumps(to_json(result), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return replace_text(Path(folder) / "result.json", text + "\n")


def write_users(folder: str | os.PathLike[str], dataset: Any, by_user: Any) -> Path | None:
    """Write the test metrics by user into `test_users.npz`: `user`, ids as in the files, and metric -> (n_users,).

    Parameters
    ----------
    folder : path
    dataset : recbole.data.dataset.Dataset
        Knows the ids.
    by_user : tuple or None
        As `recbole_mm.training.groups.GroupEvaluator.by_user` has it; with None nothing is written.
    """
    if by_user is None:
        return None
    ids, values = by_user
    path = Path(folder) / USERS_FILE
    with replaced(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, user=dataset.id2token(dataset.uid_field, ids).astype(str), **values)
    return path


def read_users(folder: str | os.PathLike[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return what `write_users` wrote, users in ascending order of their ids as texts; none where it wrote nothing."""
    path = Path(folder) / USERS_FILE
    if not path.is_file():
        return np.empty(0, dtype=str), {}
    with np.load(path, allow_pickle=False) as found:
        order = np.argsort(found["user"])
        return found["user"][order], {name: found[name][order] for name in found if name != "user"}


def resolved_config(config: Any) -> dict[str, Any]:
    """Return all settings of a RecBole Config as plain values of JSON."""
    return {str(key): to_json(value) for key, value in config.final_config_dict.items()}
