"""The data of a sweep: prepared once, shared by all trials, and without the test split."""

from __future__ import annotations

import copy
from typing import Any

from recbole.config import Config
from recbole.data.interaction import cat_interactions

from recbole_mm.data.identity import identity_of
from recbole_mm.training.build import load_dataset, split_dataset


class Shared:
    """A dataset, split, without its test split.

    Attributes
    ----------
    whole : Dataset
        All interactions but those for test; the samplers ask it for the popularity of items.
    train, valid : Dataset
        The parts.
    """

    def __init__(self, dataset: Any) -> None:
        self.train, self.valid, _ = dataset.build()
        self.whole = dataset.copy(cat_interactions([self.train.inter_feat, self.valid.inter_feat]))

    def loaders(self, config: Config) -> tuple[Any, Any]:
        """Return RecBole's loaders of training and validation; in place of the test split it has validation's."""
        parts = [copy.copy(part) for part in (self.train, self.valid, self.valid)]
        whole = copy.copy(self.whole)
        for part in (whole, *parts):
            part.config = config
        whole.build = lambda: parts
        config.identity = identity_of(whole)
        train, valid, _ = split_dataset(config, whole)
        return train, valid


def prepare(config: Config) -> Shared:
    """Load and split the data of a configuration; the test split is dropped here."""
    return Shared(load_dataset(config))
