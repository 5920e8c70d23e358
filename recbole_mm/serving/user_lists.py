"""The items with the highest scores, user by user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recbole_mm.serving.scorer import Scorer
from recbole_mm.serving.user_items import UserItems

BLOCK = 128  # items, of which the largest score is found at once

Scores = Callable[[np.ndarray], Tensor]


@dataclass(frozen=True, slots=True)
class UserLists:
    """Lists of some users: rows of items, best first, -1 behind a list that is shorter, and their scores, (n, k)."""

    users: np.ndarray
    items: np.ndarray
    scores: np.ndarray


def lists_of(
    scorer: Scorer, users: np.ndarray, k: int, *, hide: UserItems | None, among: np.ndarray | None = None
) -> Iterator[UserLists]:
    """Yield the lists of users, some at a time.

    Parameters
    ----------
    users : int array (n,)
        Rows of known users.
    hide : UserItems or None
        Items that no list of their user has.
    among : bool array (n_items,) or None
        The items that lists may have.
    """
    yield from _lists(scorer.scores, (users, scorer.at_once), k, hide, among)


def lists_after(
    scorer: Scorer, histories: UserItems, k: int, *, hide: UserItems | None, among: np.ndarray | None = None
) -> Iterator[UserLists]:
    """Yield the lists after new histories, by their rows; see `lists_of`."""

    def scores(rows: np.ndarray) -> Tensor:
        return scorer.history_scores(histories, rows)

    yield from _lists(scores, (np.arange(len(histories)), scorer.at_once), k, hide, among)


def _lists(
    scores: Scores, asked: tuple[np.ndarray, int], k: int, hide: UserItems | None, among: np.ndarray | None
) -> Iterator[UserLists]:
    rows, at_once = asked
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        found = scores(some)
        if hide is not None:
            place, item = hide.pairs(some)
            found[torch.from_numpy(place), torch.from_numpy(item.astype(np.int64))] = -torch.inf
        if among is not None:
            found[:, torch.from_numpy(~among)] = -torch.inf
        values, items = top_scores(found, min(k, found.shape[1]))
        yield UserLists(some, items.masked_fill(values == -torch.inf, -1).numpy(), values.numpy())


def top_scores(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest of each row of scores (n, n_items), NaN as the least, and where they are, (n, k).

    They are in the k blocks of a row with the largest maxima, so that all but these are looked at once.
    """
    blocks = scores[:, : scores.shape[1] // BLOCK * BLOCK].unflatten(1, (-1, BLOCK))  # (n, n_blocks, BLOCK)
    if blocks.shape[1] <= k:
        top = scores.nan_to_num(-torch.inf, torch.inf, -torch.inf).topk(k, dim=1)
        return top.values, top.indices
    maxima = blocks.amax(dim=2)
    if maxima.isnan().any():
        return top_scores(scores.nan_to_num(-torch.inf, torch.inf, -torch.inf), k)
    first = maxima.topk(k, dim=1).indices.unsqueeze(2) * BLOCK  # (n, k, 1)
    rest = torch.arange(blocks.shape[1] * BLOCK, scores.shape[1]).expand(len(scores), -1)
    among = torch.cat([(first + torch.arange(BLOCK)).flatten(1), rest], dim=1)
    top = scores.gather(1, among).nan_to_num(-torch.inf, torch.inf, -torch.inf).topk(k, dim=1)
    return top.values, among.gather(1, top.indices)
