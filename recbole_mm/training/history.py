"""The epochs of a run: read back from result.json, and the best of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole.evaluator import smaller_metrics


def read_history(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the epochs that `result.json` in `folder` tells of, none where there is no such file."""
    path = Path(folder) / "result.json"
    history: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["history"] if path.is_file() else []
    return history


def best_epoch(history: Sequence[Mapping[str, Any]], valid_metric: str) -> int | None:
    """Return the epoch with the best `valid_score`, None where no epoch has one.

    Among equal scores the last one is the best, as for RecBole's early stopping.
    """
    scored = [entry for entry in reversed(history) if entry["valid_score"] is not None]
    if not scored:
        return None
    sign = -1 if valid_metric.partition("@")[0].lower() in smaller_metrics else 1
    return int(max(scored, key=lambda entry: sign * entry["valid_score"])["epoch"])
