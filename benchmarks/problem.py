"""Datasets of the benchmarks: generated graphs of a named size, and interactions with times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pyarrow import csv

COMMITTED = Path(__file__).resolve().parents[1] / "dataset"

SKEW = 0.6  # exponent of the power laws of item popularity and of user activity
STAND_IN = 10  # rows of the training part that stand in for validation and test, which RecBole wants to exist


@dataclass(frozen=True, slots=True)
class Size:
    """How large a dataset is; `modalities` holds the width of each."""

    users: int
    items: int
    interactions: int
    modalities: dict[str, int]


SIZES = {
    "small": Size(500, 300, 5_000, {"image": 16, "text": 8}),
    "tiktok": Size(9_308, 6_710, 59_541, {"image": 128, "audio": 128}),
    "baby": Size(19_445, 7_050, 118_551, {"image": 4_096, "text": 384}),
    "elec": Size(192_403, 63_001, 1_251_418, {"image": 4_096, "text": 384}),
    "large": Size(1_000_000, 100_000, 20_000_000, {"image": 256, "text": 128}),
}


TIMED_ROWS = 1 << 22  # written at a time
TIMES = 1_500_000_000, 1_700_000_000  # seconds since 1970
BY_TIME = {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "TO", "group_by": "user", "mode": "full"}


def write(name: str, out: Path, size: Size | None = None, held_out: float = 0.0, seed: int = 2024) -> Path:
    """Write a graph into the folder `out/name`; return the folder.

    Parameters
    ----------
    name : str
        Of the dataset.
    out : path
        RecBole's `data_path`.
    size : Size, optional
        Of `SIZES` by its name where it is not given.
    held_out : float
        Share of the interactions in the validation part, and again in the test part; at 0 all are in the training part.
    seed : int
        The same seed gives the same dataset.
    """
    wanted, rng = size or SIZES[name], np.random.default_rng(seed)
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    pairs = draw_interactions(wanted, rng)
    n = int(held_out * len(pairs))
    parts = (pairs[2 * n :], pairs[:n], pairs[n : 2 * n]) if n else (pairs, pairs[:STAND_IN], pairs[:STAND_IN])
    for part, rows in zip(("train", "valid", "test"), parts, strict=True):
        write_ids(folder / f"{name}.{part}.inter", "user_id:token\titem_id:token", rows)
    write_ids(folder / f"{name}.item", "item_id:token", np.arange(wanted.items))
    for modality, dim in wanted.modalities.items():
        np.save(folder / f"{modality}.npy", rng.standard_normal((wanted.items, dim), dtype=np.float32))
    settings = {
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"inter": ["user_id", "item_id"], "item": ["item_id"]},
        "modalities": {modality: {"file": f"{modality}.npy"} for modality in wanted.modalities},
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return folder


def draw_interactions(size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return distinct pairs (interactions, 2) of user and item, from 0, in random order.

    A few users and items have many interactions, and every one has at least one.
    """
    activity, popularity = (_power_law(n, rng) for n in (size.users, size.items))
    items_of_all = np.arange(size.users) * size.items + rng.choice(size.items, size.users, p=popularity)
    users_of_all = rng.choice(size.users, size.items, p=activity) * size.items + np.arange(size.items)
    pairs = np.unique(np.concatenate([items_of_all, users_of_all]))  # a pair is user * items + item
    while (lacking := size.interactions - len(pairs)) > 0:
        drawn = rng.choice(size.users, lacking, p=activity) * size.items + rng.choice(size.items, lacking, p=popularity)
        pairs = np.concatenate([pairs, np.setdiff1d(drawn, pairs)])
    return np.stack(np.divmod(rng.permutation(pairs), size.items), axis=1)


def _power_law(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return odds (n,) that sum to 1, in random order."""
    weight = rng.permutation(np.arange(1, n + 1) ** -SKEW)
    odds: np.ndarray = weight / weight.sum()
    return odds


def write_timed(name: str, out: Path, size: Size, seed: int = 2024) -> None:
    """Write users, items and times into one file of the folder `out/name`, in no order, a block at a time.

    Users are drawn alike, items by their rank. RecBole is to split them user by user in the order of time.
    """
    rng, folder = np.random.default_rng(seed), out / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.inter").open("wb") as file:
        for start in range(0, size.interactions, TIMED_ROWS):
            n = min(TIMED_ROWS, size.interactions - start)
            items = (rng.random(n) ** 2 * size.items).astype(np.int64)
            columns = rng.integers(size.users, size=n), items, rng.integers(*TIMES, size=n)
            header = "user_id:token\titem_id:token\ttimestamp:float" if not start else ""
            _write_rows(file, header, np.stack(columns, axis=1))
    settings = {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "eval_args": BY_TIME}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def write_ids(file: Path, header: str, rows: np.ndarray) -> None:
    with file.open("wb") as out:
        _write_rows(out, header, rows)


def _write_rows(file: BinaryIO, header: str, rows: np.ndarray) -> None:
    columns = list(rows.reshape(len(rows), -1).T)
    table = pa.table(columns, names=[str(place) for place in range(len(columns))])
    file.write(f"{header}\n".encode() if header else b"")
    csv.write_csv(table, file, csv.WriteOptions(include_header=False, delimiter="\t"))


def as_parquet(folder: Path) -> None:
    """Put Parquet in the place of a folder's files of interactions, their ids as whole numbers."""
    for file in sorted(folder.glob("*.inter")):
        target = file.with_name(f"{file.name}.parquet")
        with (
            csv.open_csv(file, parse_options=csv.ParseOptions(delimiter="\t")) as batches,
            pq.ParquetWriter(target, batches.schema) as out,
        ):
            for batch in batches:
                out.write_batch(batch)
        file.unlink()
