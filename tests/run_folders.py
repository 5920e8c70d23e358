"""What tests look at in the folder of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def result(folder: Path) -> dict[str, Any]:
    (file,) = folder.rglob("result.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def the_only(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found
