"""What a run leaves behind: a table of metrics, result.json, and the training curve."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tabulate import tabulate

from recbole_mm.base.files import replace_text, replaced
from recbole_mm.base.metrics import PRINTED, best_epoch
from recbole_mm.training.groups import title

MIB = 1 << 20
STATUS = Path("/proc/self/status")  # on Linux

USERS_FILE = "test_users.npz"
BLUE, ORANGE = "#1f5fa8", "#c8541b"


def metrics_table(valid: Mapping[str, float], test: Mapping[str, float], digits: int = PRINTED) -> str:
    """Return a text table with a row a metric and the columns valid and test; a missing value is blank."""
    rows = [(metric, valid.get(metric), test.get(metric)) for metric in dict.fromkeys((*valid, *test))]
    return tabulate(rows, headers=("metric", "valid", "test"), floatfmt=f".{digits}f")


def groups_table(groups: Mapping[str, Sequence[Mapping[str, Any]]], valid_metric: str, digits: int = PRINTED) -> str:
    """Return a text table of test metrics by group, those with the k of `valid_metric`, a row a group.

    Parameters
    ----------
    groups : mapping
        As `recbole_mm.training.groups.GroupEvaluator` has them.
    valid_metric : str
        Such as ``NDCG@10``.
    digits : int
        Behind the point.
    """
    at_k = "@" + valid_metric.partition("@")[2]
    of_all = dict.fromkeys(metric for kind in groups.values() for group in kind for metric in group["metrics"])
    metrics = [metric for metric in of_all if metric.endswith(at_k)]
    rows = []
    for kind, each in groups.items():
        for group in each:
            rows.append((f"{kind}: {title(group)}", group["evaluated"], *map(group["metrics"].get, metrics)))
    headers = ("test, by training interactions", "evaluated", *metrics)
    return tabulate(rows, headers=headers, floatfmt=f".{digits}f")


def duration(seconds: float) -> str:
    """Return a time in its two largest units, such as ``3 h 12 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def peak_memory() -> dict[str, float]:
    """Return the largest memory of this process so far in MiB: `ram`, and `cuda` where there is a GPU."""
    peak = {"ram": round(_peak_ram() / MIB, 1)}
    if torch.cuda.is_available():
        peak["cuda"] = round(torch.cuda.max_memory_allocated() / MIB, 1)
    return peak


def _peak_ram() -> int:
    """Return bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    status = STATUS.read_text(encoding="utf-8") if STATUS.is_file() else ""
    if found := re.search(r"VmHWM:\s*(\d+) kB", status):
        return int(found[1]) * 1024  # what getrusage says includes the process that started this one
    import resource  # noqa: PLC0415 (not on Windows)

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB


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


def read_history(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the epochs that `result.json` in `folder` tells of, none where there is no such file."""
    path = Path(folder) / "result.json"
    history: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["history"] if path.is_file() else []
    return history


def resolved_config(config: Any) -> dict[str, Any]:
    """Return all settings of a RecBole Config as plain values of JSON."""
    return {str(key): to_json(value) for key, value in config.final_config_dict.items()}


def to_json(value: Any) -> Any:
    """Return `value` in the types of JSON.

    Enums and classes become their names, numpy and torch numbers Python's, arrays, sequences and sets
    (sorted) lists, NaN and infinity None, and anything else its text.
    """
    if isinstance(value, Enum | type):
        return value.name if isinstance(value, Enum) else value.__name__
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(to_json(key)): to_json(item) for key, item in value.items()}
    return _sequence_to_json(value)


def _sequence_to_json(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return to_json(value.tolist())
    if isinstance(value, set | frozenset):
        return [to_json(item) for item in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return str(value)


def plot_curve(folder: str | os.PathLike[str], history: Sequence[Mapping[str, Any]], valid_metric: str) -> Path:
    """Draw the training loss and the validation metric by epoch into `curve.png` and return the path.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    history : sequence of mappings
        One an epoch, at least one: `epoch`, `train_loss`, and `valid_score`, which is None for an epoch
        without validation.
    valid_metric : str
        Such as ``NDCG@10``. It labels the lower axis, and tells whether the best score is the lowest.
    """
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    loss_axis, metric_axis = figure.subplots(2, 1, sharex=True)
    losses = {entry["epoch"]: entry["train_loss"] for entry in history}
    loss_axis.plot(list(losses), list(losses.values()), marker=".", color=BLUE)
    loss_axis.set_title("Training loss", loc="left")
    loss_axis.set_ylabel("loss")

    scores = {entry["epoch"]: entry["valid_score"] for entry in history if entry["valid_score"] is not None}
    metric_axis.plot(list(scores), list(scores.values()), marker=".", color=ORANGE)
    metric_axis.set_title(f"Validation {valid_metric}", loc="left")
    metric_axis.set_ylabel(valid_metric)
    metric_axis.set_xlabel("epoch")
    metric_axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))

    best = best_epoch(history, valid_metric)
    if best is not None:
        metric_axis.plot(best, scores[best], "o", markersize=9, markerfacecolor="none", color="black")
        metric_axis.set_title(f"best {scores[best]:.4f} in epoch {best}", loc="right", fontsize="medium")
    for axis in (loss_axis, metric_axis):
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        if best is not None:
            axis.axvline(best, color="grey", linestyle=":", linewidth=1)

    path = Path(folder) / "curve.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path
