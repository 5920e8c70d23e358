"""A small problem, and what dense restatements of the models' equations on it have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from model_contract import StandInConfig, StandInDataset, all_scores, batch_of
from recbole.utils import get_model
from torch import Tensor

N_USERS, N_ITEMS, WIDTH, NEIGHBOURS = 4, 6, 3, 3
PAIRS = np.array([[0, 0], [0, 1], [0, 4], [1, 1], [1, 2], [2, 3], [2, 0], [3, 4]])  # item 5 has none
USER, ITEM, OTHER = BATCH = np.array([[0, 1, 0, 2, 3], [4, 1, 1, 3, 4], [5, 0, 3, 1, 2]])
MASKS = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 1, 0]], dtype=bool)
SIZES = {
    "embedding_size": WIDTH,
    "feature_size": 2,
    "knn_k": NEIGHBOURS,
    "n_ui_layers": 2,
    "n_layers": 2,
    "n_mm_layers": 2,
}

Weights = dict[str, Tensor]


def features() -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(N_ITEMS, dim, generator=generator) for dim in (4, 2, 3)]


def small(name: str, **settings: Any) -> Any:
    """Return a model whose parameters are all far from 0."""
    table = {f"m{m}": X for m, X in enumerate(features())}
    masks = {f"m{m}": mask for m, mask in enumerate(MASKS)}
    model = get_model(name)(StandInConfig(**SIZES | settings), StandInDataset(N_USERS, N_ITEMS, PAIRS, table, masks))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_()
    return model


def assert_agrees(model: Any, loss: Tensor, scores: Tensor) -> None:
    """Compare a model's loss, the gradient of every parameter, and its scores with those of a restatement."""
    names, weights = zip(*model.named_parameters(), strict=True)
    own = model.calculate_loss(batch_of(*BATCH))
    torch.testing.assert_close(own, loss)
    each = zip(
        names,
        torch.autograd.grad(own, weights, allow_unused=True),
        torch.autograd.grad(loss, weights, allow_unused=True),
        strict=True,
    )
    for name, ours, theirs in each:
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            torch.testing.assert_close(ours, theirs, msg=lambda text, name=name: f"{name}: {text}")
    torch.testing.assert_close(all_scores(model), scores.detach())


def normalised(matrix: Tensor) -> Tensor:
    degree = matrix.sum(1)
    scale = torch.where(degree > 0, degree.clamp_min(1e-300) ** -0.5, 0.0)
    return scale[:, None] * matrix * scale


def adjacency(pairs: np.ndarray = PAIRS) -> Tensor:
    R = torch.zeros(N_USERS, N_ITEMS)
    R[tuple(pairs.T)] = 1
    return normalised(
        torch.cat(
            [torch.cat([torch.zeros(N_USERS, N_USERS), R], 1), torch.cat([R.T, torch.zeros(N_ITEMS, N_ITEMS)], 1)]
        )
    )


def light_gcn(A: Tensor, x: Tensor, layers: int = 2) -> tuple[Tensor, Tensor]:
    mean = sum(torch.linalg.matrix_power(A, layer) @ x for layer in range(layers + 1)) / (layers + 1)
    return mean[:N_USERS], mean[N_USERS:]


def nearest(X: Tensor, real: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the cosines of items, and which are the nearest of each; an item without features has itself."""
    x = X / X.norm(dim=1, keepdim=True)
    cosine, mask = x @ x.T, torch.from_numpy(real)
    among = torch.where(mask[None], cosine, -9.0).topk(NEIGHBOURS).indices
    chosen = torch.zeros(N_ITEMS, N_ITEMS, dtype=torch.bool).scatter(1, among, True) & mask[:, None]
    chosen |= torch.diag(~mask)
    return cosine, chosen


def bpr(u: Tensor, items: Tensor) -> Tensor:
    return -torch.log(torch.sigmoid((u[USER] * (items[ITEM] - items[OTHER])).sum(1))).mean()


def half_squares(*rows: Tensor) -> Tensor:
    return sum((row**2).sum() for row in rows) / 2 / len(USER)


def linear(w: Weights, place: str, x: Tensor) -> Tensor:
    return x @ w[f"{place}.weight"].T + w.get(f"{place}.bias", torch.zeros(()))
