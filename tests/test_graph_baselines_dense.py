"""XSimGCL against a dense restatement of its paper's equations."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from dense import (
    BATCH,
    ITEM,
    N_ITEMS,
    N_USERS,
    OTHER,
    PAIRS,
    USER,
    WIDTH,
    Weights,
    adjacency,
    assert_agrees,
    bpr,
    half_squares,
    small,
)
from model_contract import StandInConfig, StandInDataset, all_scores, batch_of
from recbole.utils import get_model
from torch import Tensor

from recbole_mm.base.errors import InputError

pytestmark = pytest.mark.usefixtures("float64")


def cosines(a: Tensor, b: Tensor) -> Tensor:
    return (a / a.norm(dim=1, keepdim=True).clamp_min(1e-12)) @ (b / b.norm(dim=1, keepdim=True).clamp_min(1e-12)).T


def info_nce(a: Tensor, b: Tensor, temp: float) -> Tensor:
    logits = (cosines(a, b) / temp).exp()
    return -torch.log(logits.diag() / logits.sum(1)).mean()


def fixed_noise(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let `torch.rand_like` return known numbers in turn; the function is for the restatement."""

    def of(number: int) -> Tensor:
        return torch.rand(N_USERS + N_ITEMS, WIDTH, generator=torch.Generator().manual_seed(number))

    numbers = count()
    monkeypatch.setattr(torch, "rand_like", lambda _: of(next(numbers)))
    return of


@pytest.mark.parametrize("layer", [1, 3])
def test_xsimgcl(layer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("XSimGCL", n_layers=3, contrast_layer=layer, eps=0.3, cl_weight=0.7, temp=0.4, reg_weight=0.1)
    noise = fixed_noise(monkeypatch)
    w: Weights = dict(model.named_parameters())
    start = torch.cat([w["user_embedding.weight"], w["item_embedding.weight"]])
    A, h, layers = adjacency(), start, []
    for number in range(3):
        h = A @ h
        drawn = noise(number)
        h = h + 0.3 * drawn / drawn.norm(dim=1, keepdim=True) * h.sign()
        layers.append(h)
    final = sum(layers) / 3
    users, items = final[:N_USERS], final[N_USERS:]
    contrast = sum(
        info_nce(final[nodes], layers[layer - 1][nodes], 0.4) for nodes in (np.unique(USER), np.unique(N_USERS + ITEM))
    )
    loss = bpr(users, items) + 0.7 * contrast + 0.1 * half_squares(users[USER], items[ITEM], items[OTHER])
    clean = (A @ start + A @ A @ start + A @ A @ A @ start) / 3
    assert_agrees(model, loss, clean[:N_USERS] @ clean[N_USERS:].T)


def test_xsimgcl_noise_is_of_its_length_and_in_the_layers_direction() -> None:
    model = small("XSimGCL", n_layers=1, contrast_layer=1)
    clean, noised = model.forward()[0], model.forward(0.25)[0]
    difference = noised - clean
    real = clean.norm(dim=1) > 0
    torch.testing.assert_close(difference[real].norm(dim=1), torch.full((int(real.sum()),), 0.25))
    assert (difference * clean >= 0).all()
    assert not torch.equal(model.forward(0.25)[0], noised)
    assert (difference[~real] == 0).all()


def test_xsimgcl_without_contrast_and_noise_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("XSimGCL", eps=0.0, cl_weight=0.0)
    monkeypatch.setattr(torch, "rand_like", lambda _: pytest.fail("noise was drawn"))
    assert set(model.losses(batch_of(*BATCH))) == {"bpr", "reg"}


def test_xsimgcl_needs_no_modalities() -> None:
    data = StandInDataset(N_USERS, N_ITEMS, PAIRS, {})
    model = get_model("XSimGCL")(StandInConfig(embedding_size=WIDTH), data)
    assert all_scores(model).shape == (N_USERS, N_ITEMS)
    with pytest.raises(InputError, match="cold_items is neighbours and the dataset has no modalities"):
        get_model("XSimGCL")(StandInConfig(cold_items="neighbours"), data)


def test_the_contrasted_layer_is_one_of_the_layers() -> None:
    with pytest.raises(InputError, match=r"^contrast_layer 3 must be at most n_layers 2$"):
        small("XSimGCL", contrast_layer=3)
