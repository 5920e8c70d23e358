"""What lists are made from: scores of all items for some users, whatever they come from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Protocol

import numpy as np
from torch import Tensor

from recbole_mm.serving.user_items import UserItems


class Scorer(Protocol):
    """Users and items by the ids in the files, counted from 0, and scores of items for users.

    Attributes
    ----------
    name : str
        Of the model and the dataset, for messages.
    user_ids, item_ids : array of str
        Of each row.
    user_field, item_field, time_field : str
        The names of their columns, and of the one that interactions are ordered by.
    trained_items : int
        The first items, which the model was trained with. A history is read as far as it is of them.
    seen : UserItems
        All interactions of the data that the model was trained for.
    at_once : int
        Users whose scores are computed at a time.
    sequential : bool
        Whether scores depend on a history, which need not be that of a known user.
    """

    name: str
    user_ids: np.ndarray
    item_ids: np.ndarray
    user_field: str
    item_field: str
    time_field: str
    trained_items: int
    seen: UserItems
    at_once: int
    sequential: bool

    def scores(self, users: np.ndarray) -> Tensor:
        """Return the scores (n, n_items) of all items for rows of users (n,)."""

    def history_scores(self, histories: UserItems, rows: np.ndarray) -> Tensor:
        """Return the scores (n, n_items) after histories, of which these rows are asked; of a sequential model."""


class RowsById:
    """Rows of ids."""

    def __init__(self, ids: np.ndarray) -> None:
        self.ids = ids

    @cached_property
    def of(self) -> Mapping[str, int]:
        return {str(name): row for row, name in enumerate(self.ids)}

    def rows(self, names: list[str]) -> tuple[np.ndarray, list[str]]:
        """Return the rows of ids in their order, and those that are unknown."""
        found = [self.of.get(name, -1) for name in names]
        unknown = [name for name, row in zip(names, found, strict=True) if row < 0]
        return np.array([row for row in found if row >= 0], dtype=np.int64), unknown
