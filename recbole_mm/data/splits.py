"""Splits of a dataset by cold ids, histories or time, written as the benchmark files that RecBole reads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import replaced
from recbole_mm.data import coldstart
from recbole_mm.data.atomic import PARQUET, is_parquet
from recbole_mm.data.features import read_features
from recbole_mm.data.folder import SPLIT_NAMES, folder_of
from recbole_mm.data.interactions import Interactions
from recbole_mm.data.parquet_parts import write_parquet_parts


def assign(
    data: Interactions, config: Any, kind: str, amount: float, *, shares: tuple[float, float], seed: int
) -> np.ndarray:
    """Return the part (n,) of each interaction; see `recbole_mm.data.coldstart`.

    Parameters
    ----------
    data : Interactions
        All of the dataset.
    config : Config
        Names the modalities.
    kind : str
        ``cold_items``: a share of the items that have features are in validation or test alone, half of them in
        each; users who have interacted with no other are left out. ``cold_users``: the same of users, all of whose
        interactions are held out. ``min_history``: users are held out as far as they keep that many training
        interactions. ``time``: the last interactions of all users together are held out; who has none before them is
        left out.
    amount : float
        The share, or the number of interactions; of no use to ``time``.
    shares : two floats
        Of the other interactions of each user, for ``time`` of all, that are held out for validation and test.
    seed : int
        Of what is chosen at random.

    Raises
    ------
    InputError
        Times that order nothing, or none where they are needed, fewer than two items or users to choose from, or a
        part that is left empty.
    """
    _check_times(data, config["TIME_FIELD"])
    if kind == "time":
        if data.times is None:
            raise InputError(f"{data.files[0]} has no {config['TIME_FIELD']}: nothing can be split by time")
        return _filled(coldstart.without_cold(data.users, coldstart.by_time(data.times, shares)))
    history = int(amount) if kind == "min_history" else 1
    parts = coldstart.warm(data.users, data.times, shares, seed, history)
    if kind == "cold_items":
        with_features = _items_with_features(config)
        candidates = [place for place, item in enumerate(data.item_ids) if not with_features or item in with_features]
        parts = _cold("items with features and interactions", data.items, candidates, amount, seed, parts)
        parts = coldstart.without_cold(data.users, parts)
    elif kind == "cold_users":
        parts = _cold("users", data.users, range(len(data.user_ids)), amount, seed, parts)
    return _filled(parts)


def _filled(parts: np.ndarray) -> np.ndarray:
    """Refuse a part that is left empty."""
    counts = np.bincount(parts, minlength=len(SPLIT_NAMES))[: len(SPLIT_NAMES)]
    if not counts.all():
        empty = " and ".join(part for part, count in zip(SPLIT_NAMES, counts, strict=True) if not count)
        sizes = ", ".join(f"{part} {count}" for part, count in zip(SPLIT_NAMES, counts, strict=True))
        raise InputError(f"the {empty} part would be empty ({sizes} interactions): change the share or the history")
    return parts


def _check_times(data: Interactions, field: str) -> None:
    """Refuse a time that is missing, and one and the same for all: the last interactions are held out."""
    if data.times is None:
        return
    missing = np.flatnonzero(~np.isfinite(data.times))
    if len(missing):
        where = f"{data.files[data.file[missing[0]]]}, line {data.line[missing[0]]}"
        raise InputError(f"{where}: {field} is missing or not finite: correct it, or remove the line")
    if len(data.times) > 1 and (data.times == data.times[0]).all():
        raise InputError(
            f"{data.files[0].parent}: all {len(data.times)} interactions have the {field} {data.times[0]:g}: nothing "
            "can be ordered by time. Write real times, or remove the column: what is held out is then drawn at random"
        )


def _cold(what: str, ids: np.ndarray, candidates: Sequence[int], *rest: Any) -> np.ndarray:
    if len(candidates) < 2:
        raise InputError(f"{len(candidates)} {what} are too few to hold some out: at least 2 are needed")
    return coldstart.cold(ids, np.array(candidates, dtype=np.int64), *rest)


def _items_with_features(config: Any) -> set[str]:
    """Return the items that have features in any modality; none where the dataset has no modalities."""
    folder, specs = folder_of(config), config["modalities"] or {}
    return {item for name, spec in specs.items() for item in read_features(name, spec, folder).present()}


def write_split(data: Interactions, parts: np.ndarray, name: str, config: Any, overwrite: bool = False) -> Path:
    """Write `DATASET.NAME.train.inter`, `.valid.` and `.test.`, row by row as they stand in the files of the data.

    Of Parquet the parts are Parquet, too: `DATASET.NAME.train.inter.parquet`.

    Parameters
    ----------
    data, parts
        What `read_interactions` and `assign` returned.
    name : str
        Of the split; not that of the dataset, whose yaml would be replaced.
    config : Config
        Of the dataset.
    overwrite : bool
        Replace files of a split of this name.

    Returns
    -------
    Path
        `NAME.yaml` beside them, which has the setting that uses the split; it is written last.

    Raises
    ------
    InputError
        There is such a split already, or the name is taken by other settings.
    """
    folder, as_parquet = Path(config["data_path"]), is_parquet(data.files[0])
    settings, chosen = folder / f"{name}.yaml", {"benchmark_filename": [f"{name}.{part}" for part in SPLIT_NAMES]}
    if name == config["dataset"] or not _is_free(settings, chosen):
        raise InputError(f"{settings} is kept for other settings than a split: give another --name")
    texts = [folder / f"{config['dataset']}.{name}.{part}.inter" for part in SPLIT_NAMES]
    tables = [path.with_name(f"{path.name}{PARQUET}") for path in texts]
    targets, others = (tables, texts) if as_parquet else (texts, tables)
    there = [path.name for path in (*targets, *others, settings) if path.exists()]
    if there and not overwrite:
        raise InputError(
            f"{folder} has {', '.join(there)} already: give --overwrite to replace them, or another --name"
        )
    with ExitStack() as stack:  # what is entered first takes its place last
        stack.enter_context(replaced(settings)).write_text(yaml.safe_dump(chosen), encoding="utf-8")
        partial = [stack.enter_context(replaced(target)) for target in targets]
        if as_parquet:
            write_parquet_parts(data, parts, partial)
        else:
            _write_lines(data, parts, partial, config["encoding"] or "utf-8")
    for path in others:
        path.unlink(missing_ok=True)
    return settings


def _is_free(settings: Path, chosen: dict[str, list[str]]) -> bool:
    """Tell whether a yaml is not there, or is one that a split of this name wrote."""
    if not settings.exists():
        return True
    try:
        return bool(yaml.safe_load(settings.read_text(encoding="utf-8")) == chosen)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):  # a date such as 2020-99-99 is a ValueError
        return False


def _write_lines(data: Interactions, parts: np.ndarray, targets: Sequence[Path], encoding: str) -> None:
    with ExitStack() as stack:
        out = [stack.enter_context(path.open("w", encoding=encoding, newline="")) for path in targets]
        for stream in out:
            stream.write(f"{data.header}\n")
        for number, path in enumerate(data.files):
            part_of = dict(zip(data.line[data.file == number].tolist(), parts[data.file == number], strict=True))
            with path.open(encoding=encoding) as lines:
                for line, text in enumerate(tqdm(lines, desc=f"writing {path.name}", unit=" rows"), start=1):
                    part = part_of.get(line, coldstart.LEFT_OUT)
                    if part != coldstart.LEFT_OUT:
                        out[part].write(text.removesuffix("\n") + "\n")


def split_summary(data: Interactions, parts: np.ndarray) -> list[dict[str, Any]]:
    """Return for each part its interactions, users, items, and those of them that training does not have."""
    trained = {kind: np.unique(getattr(data, kind)[parts == coldstart.TRAIN]) for kind in ("users", "items")}
    rows = []
    for number, part in enumerate(SPLIT_NAMES):
        row: dict[str, Any] = {"part": part, "interactions": int((parts == number).sum())}
        for kind, known in trained.items():
            here = np.unique(getattr(data, kind)[parts == number])
            row |= {kind: len(here), f"cold {kind}": len(np.setdiff1d(here, known))}
        rows.append(row)
    return rows
