"""What all libraries train on: the split of a size, as arrays and as RecBole's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import problem, real_data
from benchmarks.measuring import prepare
from benchmarks.problem import Size

GENERATED = {
    "small": Size(500, 300, 5_000, {}),
    "2m": Size(40_000, 20_000, 2_000_000, {}),
    "20m": Size(400_000, 60_000, 20_000_000, {}),
}
REAL = ("ml-100k", "baby")
HELD_OUT = 0.1  # of what is generated, in validation
WIDTH = 384  # of features that are drawn at random, where a dataset has none


@dataclass(frozen=True, slots=True)
class Split:
    """Pairs (n, 2) of user and item from 0; `features` (n_items, d) are `real` or drawn at random."""

    train: np.ndarray
    valid: np.ndarray
    n_users: int
    n_items: int
    features: np.ndarray
    real: bool


def split_of(size: str, scratch: Path, source: Path | None, seed: int) -> Split:
    """Return the split of a size: of RecBole's own ml-100k, of Amazon Baby in a folder, or of a generated set."""
    rng = np.random.default_rng(seed)
    if size in GENERATED:
        wanted = GENERATED[size]
        pairs = problem.draw_interactions(wanted, rng)
        n = int(HELD_OUT * len(pairs))
        return Split(pairs[n:], pairs[:n], wanted.users, wanted.items, _drawn(wanted.items, rng), real=False)
    if size == "baby":
        if source is None:
            raise ValueError("baby needs --source, the folder that holds amazon-baby")
        real_data.build(source, scratch, ["baby"])
        train, valid, n_users, n_items = _parts(prepare("BPR", "baby", data_path=str(scratch))[1])
        return Split(train, valid, n_users, n_items, _drawn(n_items, rng), real=False)
    loaders = prepare("VBPR", "ml-100k", seed=seed)[1]
    data = loaders[0]._dataset
    rows = [np.asarray(data.modality(name))[1:] for name in data.config["modalities"]]
    return Split(*_parts(loaders), np.concatenate(rows, axis=1, dtype=np.float32), real=True)


def _parts(loaders: Any) -> tuple[np.ndarray, np.ndarray, int, int]:
    parts = []
    for loader in loaders[:2]:
        data = loader._dataset
        parts.append(np.stack([data.inter_feat[name].numpy() - 1 for name in (data.uid_field, data.iid_field)], axis=1))
    return parts[0], parts[1], data.user_num - 1, data.item_num - 1


def _drawn(n_items: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((n_items, WIDTH), dtype=np.float32)


def write(split: Split, folder: Path, name: str, most_users: int, seed: int) -> np.ndarray:
    """Write the arrays into `folder` and RecBole's files into `folder/name`; return the users whose lists are wanted.

    Parameters
    ----------
    most_users : int
        So many of the users in validation get lists; 0 for all of them.
    """
    files = folder / name
    files.mkdir(parents=True)
    users = np.unique(split.valid[:, 0])
    if most_users and len(users) > most_users:
        users = np.sort(np.random.default_rng(seed).choice(users, most_users, replace=False))
    np.save(folder / "train.npy", split.train.astype(np.int32))
    np.save(folder / "users.npy", users)
    np.save(folder / "features.npy", split.features)
    np.save(files / "features.npy", split.features)
    for part, rows in (("train", split.train), ("valid", split.valid), ("test", split.valid[: problem.STAND_IN])):
        problem.write_ids(files / f"{name}.{part}.inter", "user_id:token\titem_id:token", rows)
    problem.write_ids(files / f"{name}.item", "item_id:token", np.arange(split.n_items))
    settings = {
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"inter": ["user_id", "item_id"], "item": ["item_id"]},
        "modalities": {"features": {"file": "features.npy"}},
    }
    (files / f"{name}.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return users
