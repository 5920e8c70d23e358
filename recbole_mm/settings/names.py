"""Names that stand in for what the user does not name, and where settings lie; light, as help texts show them."""

from __future__ import annotations

from pathlib import Path

DEFAULT_MODEL, DEFAULT_DATASET = "MHCR", "ml-100k"
DATA_PATH = "dataset/"  # where datasets are looked for

PACK = Path(__file__).resolve().parents[1]


def properties_folder() -> Path:
    """Return the folder of the pack's yaml files."""
    return PACK / "properties"


def dataset_yaml(dataset: str, data_path: str | None) -> Path:
    """Return where a dataset's own settings stand, `<data_path>/<dataset>/<dataset>.yaml`, if it has any."""
    return Path(data_path or DATA_PATH) / dataset / f"{dataset}.yaml"
