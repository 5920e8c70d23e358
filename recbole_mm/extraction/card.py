"""The card of a feature file: how it was made, beside it in ``<file>.card.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recbole_mm.base.files import replace_text


@dataclass(frozen=True, slots=True)
class Card:
    """How the features of a modality were made.

    Attributes
    ----------
    modality, source, encoder, weights, weights_sha256, preprocessing : str
    versions : dict
        Library -> version.
    made : str
        Date and time, UTC.
    items : int
        Of the dataset.
    rows, dim : int
        Of the file.
    missing : dict
        Reason -> number of items without a row.
    """

    modality: str
    source: str
    encoder: str
    weights: str
    weights_sha256: str
    preprocessing: str
    made: str
    items: int
    rows: int
    dim: int
    versions: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)

    def line(self) -> str:
        """Return it in one line."""
        weights = f" with {self.weights} ({self.weights_sha256[:12]})" if self.weights else ""
        libraries = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        parts = f"{self.encoder}{weights} of {self.source}, {self.preprocessing}", libraries, self.made[:10]
        return "; ".join(part for part in parts if part)


def card_file(features: Path) -> Path:
    return features.with_name(f"{features.name}.card.json")


def write_card(features: Path, card: Card) -> None:
    replace_text(card_file(features), json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n")


def read_card(features: Path) -> Card | None:
    """Return the card of a feature file, or None where there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads(card_file(features).read_text(encoding="utf-8"))
        return Card(**found)
    except (OSError, ValueError, TypeError):
        return None
