"""The yaml of a dataset, into which a new modality is written."""

from __future__ import annotations

from pathlib import Path

import yaml

from recbole_mm.base.files import replace_text


def add_modality(file: Path, name: str, features: Path) -> bool:
    """Describe a modality in ``<dataset>.yaml``; return whether that was done.

    A file with comments, which would be lost, is left as it is, and so is one that says something else.
    """
    spec = {"file": features.name, "ids": features.with_suffix(".ids").name}
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = yaml.safe_load(text) or {}
    described = found.get("modalities") or {}
    if described.get(name) == spec:
        return True
    if "#" in text or name in described:
        return False
    found["modalities"] = described | {name: spec}
    replace_text(file, yaml.safe_dump(found, default_flow_style=None, sort_keys=False, allow_unicode=True, width=1000))
    return True
