"""The items of the highest scores and which of them are held out, without a matrix of users and items for it."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

CHUNK = 64  # items of which the highest score is looked at first
MANY_ITEMS = 1 << 15  # from here on that is faster than torch's selection
TOPK, ITEMS = "rec.topk", "rec.items"  # RecBole's names of what metrics need


def top_items(scores: Tensor, k: int) -> Tensor:
    """Return the items of the k highest scores of each row, (n, k): those of `torch.topk`, also where scores are equal.

    Among many items only those chunks are looked through whose highest score is among the k highest of the chunks.

    Parameters
    ----------
    scores : Tensor, shape (n, n_items)
        Of each item; without NaN.
    k : int
        At most the number of items.
    """
    n, n_items = scores.shape
    n_chunks = n_items // CHUNK
    if n_items < MANY_ITEMS or n_chunks <= k + 1 or not n:
        return torch.topk(scores, k, dim=-1).indices
    whole = n_chunks * CHUNK
    chunks = scores[:, :whole].view(n, n_chunks, CHUNK)
    best = torch.topk(chunks.amax(2), k + 1, sorted=False).indices  # (n, k + 1)
    items = (best[:, :, None] * CHUNK + torch.arange(CHUNK, device=scores.device)).flatten(1)
    if whole < n_items:
        items = torch.cat([items, torch.arange(whole, n_items, device=scores.device).expand(n, -1)], 1)
    values, place = torch.topk(scores.gather(1, items), k + 1, dim=-1)
    top = items.gather(1, place[:, :k])
    equal = (values[:, 1:] == values[:, :-1]).any(1)  # torch's choice among equal scores depends on all of them
    if equal.any():
        top[equal] = torch.topk(scores[equal], k, dim=-1).indices
    return top


def hits(top: Tensor, rows: Tensor, items: Tensor, n_items: int) -> tuple[Tensor, Tensor]:
    """Return which of the items (n, k) are held out, as 0 and 1, and how many are held out of each row (n, 1).

    Parameters
    ----------
    top : Tensor, shape (n, k)
        Items.
    rows, items : Tensor, shape (n_held_out,)
        Of what is held out; a pair may come twice.
    n_items : int
        Of the catalogue.
    """
    n = len(top)
    held_out = torch.unique(rows.to(top.device) * n_items + items.to(top.device))
    found = torch.isin(torch.arange(n, device=top.device)[:, None] * n_items + top, held_out)
    return found.long(), torch.bincount(held_out // n_items, minlength=n)[:, None]


def users_of_rows(users: Tensor, scores: Tensor) -> Tensor:
    """Return the user of each row of scores (n, n_items), from the users of the interactions that were evaluated.

    A sampled evaluation has the candidates of one user after those of another.
    """
    users = users.to(scores.device)
    return users if len(users) == len(scores) else users.unique_consecutive()


def appended(update: Any) -> Any:
    """Let rows be added to a tensor that has room for as many again; RecBole copies all rows for every batch."""

    @functools.wraps(update)
    def update_tensor(self: Any, name: str, value: Tensor) -> None:
        there = self._data_dict.get(name)
        if not isinstance(there, Tensor):
            update(self, name, value)
            return
        rooms: dict[str, tuple[Tensor, Tensor]] = self.__dict__.setdefault("rooms", {})
        rows, view = rooms.get(name, (there, None))
        n = len(there) + len(value)
        fits = view is there and n <= len(rows) and (rows.dtype, rows.shape[1:]) == (value.dtype, value.shape[1:])
        if not fits:
            kind = torch.promote_types(there.dtype, value.dtype)
            rows = torch.cat([there, value, there.new_empty((n, *there.shape[1:]), dtype=kind)])
        else:
            rows[len(there) : n] = value.detach()
        self._data_dict[name] = rows[:n]
        rooms[name] = rows, self._data_dict[name]

    return update_tensor


class _Without:
    """What metrics need, but for what is there already."""

    def __init__(self, register: Any, there: list[str]) -> None:
        self.register, self.there = register, there

    def need(self, key: str) -> bool:
        return key not in self.there and bool(self.register.need(key))


def without_matrices(collect: Any) -> Any:
    """Let the collector find what is held out among the top items alone; RecBole marks it in a matrix of all scores.

    The top items of the last batch stay in its attribute `last_top`, None where no metric needs them.
    """

    @functools.wraps(collect)
    def eval_batch_collect(self: Any, scores: Tensor, interaction: Any, rows: Tensor, items: Tensor) -> None:
        register = self.register
        there = [key for key in (ITEMS, TOPK) if register.need(key)]
        self.last_top = top_items(scores, max(self.topk)) if there else None
        if ITEMS in there:
            self.data_struct.update_tensor(ITEMS, self.last_top)
        if TOPK in there:
            result = torch.cat(hits(self.last_top, rows, items, scores.shape[1]), dim=1)
            self.data_struct.update_tensor(TOPK, result)
        self.register = _Without(register, there)
        try:
            collect(self, scores, interaction, rows, items)
        finally:
            self.register = register

    return eval_batch_collect
