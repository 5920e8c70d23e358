"""Noise that is put into histories: a slice of another user's, or items drawn from the behaviours of all."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_mm.base.randomness import gumbel

LEAST, MOST = 0.1, 0.5  # share of a history that is planted to teach trust, drawn between these


def positions(keys: Tensor, counts: Tensor, real: Tensor) -> Tensor:
    """Return which positions (B, L) are the `counts` (B,) of a history with the largest keys (B, L).

    Parameters
    ----------
    keys : Tensor, shape (B, L)
        Finite.
    counts : int Tensor, shape (B,)
        At most as many as are real.
    real : bool Tensor, shape (B, L)
        Which positions can be chosen.
    """
    rank = keys.masked_fill(~real, -torch.inf).argsort(1, descending=True).argsort(1)
    return (rank < counts.unsqueeze(1)) & real


def plant_slices(history: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Replace consecutive behaviours by consecutive ones of another history: a burst of another user's taste.

    Parameters
    ----------
    history : int Tensor, shape (B, L)
        Internal ids, 0 behind a history's end.
    counts : int Tensor, shape (B,)
        Behaviours to replace, at most the length of the history; of a shorter other history as many as it has.

    Returns
    -------
    tuple of Tensor, each (B, L)
        The histories, and where something was planted.
    """
    n, size = history.shape
    if n < 2:
        return history, torch.zeros_like(history, dtype=torch.bool)
    shift = int(torch.randint(1, n, ()))
    other = history.roll(shift, 0)
    length, length_there = ((table > 0).sum(1) for table in (history, other))
    counts = torch.minimum(counts, length_there)
    here, there = (
        (torch.rand(n, device=history.device) * (ends - counts + 1)).long().minimum(ends - counts)
        for ends in (length, length_there)
    )
    place = torch.arange(size, device=history.device)
    planted = (place >= here.unsqueeze(1)) & (place < (here + counts).unsqueeze(1))
    source = (place + (there - here).unsqueeze(1)).clamp(0, size - 1)
    return torch.where(planted, other.gather(1, source), history), planted


def plant_items(history: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Replace behaviours at random places by behaviours drawn from all histories: clicks on what is popular.

    Parameters, results: as of `plant_slices`.
    """
    real = history > 0
    planted = positions(gumbel(history.shape, torch.empty(0, device=history.device)), counts, real)
    everything = history[real]
    if not len(everything):
        return history, planted
    drawn = everything[torch.randint(len(everything), history.shape, device=history.device)]
    return torch.where(planted, drawn, history), planted


def plant(history: Tensor) -> tuple[Tensor, Tensor]:
    """Plant slices in every second history and items in the others, a share of each that is drawn.

    Results: as of `plant_slices`; a behaviour that was replaced by the same item is not counted as planted.
    """
    length = (history > 0).sum(1)
    share = LEAST + (MOST - LEAST) * torch.rand(len(history), device=history.device)
    counts = (share * length + 0.5).long()
    second = (torch.arange(len(history), device=history.device) % 2 == 0).unsqueeze(1)
    both = zip(plant_slices(history, counts), plant_items(history, counts), strict=True)
    noisy, planted = (torch.where(second, slices, items) for slices, items in both)
    return noisy, planted & (noisy != history)
