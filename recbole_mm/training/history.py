"""The epochs of a run, read back from result.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def read_history(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the epochs that `result.json` in `folder` tells of, none where there is no such file."""
    path = Path(folder) / "result.json"
    history: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["history"] if path.is_file() else []
    return history
