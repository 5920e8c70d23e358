"""What an inspection finds."""

from __future__ import annotations

from dataclasses import dataclass, field

from recbole_mm.extraction.card import Card
from recbole_mm.inspection.coconsumption import CoConsumption
from recbole_mm.inspection.feature_numbers import Features
from recbole_mm.inspection.problems import Problems
from recbole_mm.inspection.statistics import Counts, SplitCounts


@dataclass(slots=True)
class Modality:
    """What is known of a modality: of its file where that can be read, of the items where the dataset can.

    Attributes
    ----------
    covered : int or None
        Items of the dataset with a row of their own.
    co_consumption : CoConsumption or None
        Also None where too few items can be compared.
    card : Card or None
        How its file was made, where that is known.
    """

    source: str = ""
    features: Features | None = None
    covered: int | None = None
    co_consumption: CoConsumption | None = None
    card: Card | None = None


@dataclass(slots=True)
class Inspection:
    """Numbers and problems of a dataset; what could not be reached is None or empty."""

    dataset: str
    model: str
    problems: Problems = field(default_factory=Problems)
    interactions: Counts | None = None
    splits: tuple[SplitCounts, ...] = ()
    data_hash: str = ""
    modalities: dict[str, Modality] = field(default_factory=dict)
