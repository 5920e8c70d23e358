"""Recall and NDCG of lists, the same for all libraries."""

from __future__ import annotations

import numpy as np


def quality(lists: np.ndarray, users: np.ndarray, held_out: np.ndarray, top: int) -> dict[str, float]:
    """Return the means over users of Recall and NDCG at `top`.

    Parameters
    ----------
    lists : int array (n_users, at least top)
        The items of each of `users`, best first, -1 for none.
    users : int array (n_users,)
        In increasing order, each with something held out.
    held_out : int array (n, 2)
        Distinct pairs of user and item; those of other users do not count.
    """
    row = np.searchsorted(users, held_out[:, 0]).clip(max=len(users) - 1)
    mine = users[row] == held_out[:, 0]
    row, item = row[mine], held_out[mine, 1]
    counts = np.bincount(row, minlength=len(users))
    if not counts.all():
        raise ValueError("a user has nothing held out")
    n_items = int(max(lists.max(), item.max())) + 1
    wanted = np.unique(row * n_items + item)
    asked = np.arange(len(users))[:, None] * n_items + lists[:, :top]
    hits = np.isin(asked, wanted) & (lists[:, :top] >= 0)
    gains = 1 / np.log2(np.arange(top) + 2)
    best = np.concatenate([[0.0], np.cumsum(gains)])[counts.clip(max=top)]
    return {
        f"recall@{top}": float((hits.sum(axis=1) / counts).mean()),
        f"ndcg@{top}": float((hits @ gains / best).mean()),
    }


def mistakes(lists: np.ndarray, users: np.ndarray, train: np.ndarray, n_items: int) -> list[str]:
    """Return what is wrong with lists, whatever they recommend: items of training, repeated ones, unknown ones."""
    found = []
    here = lists >= 0
    if lists.max() >= n_items or lists.min() < -1:
        found.append("items that do not exist")
    pairs = (users[:, None] * n_items + lists)[here]
    if len(np.unique(pairs)) < len(pairs):
        found.append("an item twice for a user")
    if np.isin(pairs, train[:, 0].astype(np.int64) * n_items + train[:, 1]).any():
        found.append("items that the user has had in training")
    return found
