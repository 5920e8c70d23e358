"""What an exported folder says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CARD = "export.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class ExportCard:
    """What an exported folder holds and where it is from.

    Attributes
    ----------
    format : int
        Of the folder.
    model, dataset, user_field, item_field, time_field : str
    users, items, dim, interactions : int
    sequential : bool
        Whether a user is a history; `length` is its longest.
    checked : float
        The largest difference between a dot product and the model's own score, of items that a user has not seen.
    checkpoint_sha256, data_hash : str
    metrics : mapping
        Of the run, where its result.json is beside the checkpoint.
    settings, environment : mapping
        All settings of the training; versions of the libraries that exported.
    made : str
        UTC.
    index, onnx : mapping
        How good the index is, and how exact the encoder; empty where there is none.
    """

    format: int
    model: str
    dataset: str
    user_field: str
    item_field: str
    users: int
    items: int
    dim: int
    interactions: int
    sequential: bool
    length: int
    checked: float
    checkpoint_sha256: str
    data_hash: str
    made: str
    time_field: str = "timestamp"  # of exports that do not tell
    metrics: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    index: Mapping[str, Any] = field(default_factory=dict)
    onnx: Mapping[str, Any] = field(default_factory=dict)
