"""VBPR, LATTICE, BM3, FREEDOM and MGCN against dense restatements of their papers' equations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dense import (
    BATCH,
    ITEM,
    MASKS,
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
    features,
    half_squares,
    light_gcn,
    linear,
    nearest,
    normalised,
    small,
)
from model_contract import all_scores, batch_of
from torch import Tensor
from torch.nn import functional as F

from recbole_mm.graphs import nearest as knn

pytestmark = pytest.mark.usefixtures("float64")


def test_vbpr() -> None:
    model = small("VBPR", reg_weight=0.1)
    w: Weights = dict(model.named_parameters())
    f = torch.cat(features(), 1)
    gamma_u, theta, gamma_i = (w[f"{name}.weight"] for name in ("user_factors", "user_taste", "item_factors"))
    beta, E, beta_f = w["item_bias.weight"][:, 0], w["feature_map.weight"], w["feature_bias.weight"][0]
    x = torch.stack(
        [
            torch.stack(
                [beta[i] + gamma_u[u] @ gamma_i[i] + theta[u] @ (E @ f[i]) + beta_f @ f[i] for i in range(N_ITEMS)]
            )
            for u in range(N_USERS)
        ]
    )
    ranking = -torch.log(torch.sigmoid(x[USER, ITEM] - x[USER, OTHER])).mean()
    used = gamma_u[USER], theta[USER], gamma_i[ITEM], gamma_i[OTHER], beta[ITEM], beta[OTHER]
    assert_agrees(model, ranking + 0.1 * half_squares(*used), x)


def lattice(model: Any, w: Weights) -> tuple[Tensor, Tensor]:
    """Return the final users and items."""
    alpha, share, item_graph = w["modality_weight"].softmax(0), model.p.lambda_coeff, torch.zeros(N_ITEMS, N_ITEMS)
    for m, (X, real) in enumerate(zip(features(), MASKS, strict=True)):
        graphs = []
        for Y in (X, linear(w, f"transforms.{m}", X)):
            cosine, chosen = nearest(Y, real)
            graphs.append(normalised(cosine.clamp_min(0) * chosen))
        item_graph = item_graph + alpha[m] * (share * graphs[0] + (1 - share) * graphs[1])
    h = item_graph @ item_graph @ w["item_embedding.weight"]
    users, items = light_gcn(adjacency(), torch.cat([w["user_embedding.weight"], w["item_embedding.weight"]]))
    return users, items + h / h.norm(dim=1, keepdim=True)


def test_lattice() -> None:
    model = small("LATTICE", lambda_coeff=0.4, reg_weight=0.1)
    w: Weights = dict(model.named_parameters())
    users, items = lattice(model, w)
    loss = bpr(users, items) + 0.1 * half_squares(users[USER], items[ITEM], items[OTHER])
    assert w["transforms.0.weight"].requires_grad
    assert_agrees(model, loss, users @ items.T)


def test_lattice_learns_its_graphs_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("LATTICE", lambda_coeff=0.4)
    transforms = list(model.transforms.parameters())
    made: list[Any] = []
    learn = model._learn
    monkeypatch.setattr(model, "_learn", lambda: made.append(1) or learn())
    for epoch in (1, 2):
        model.train()
        first = model.calculate_loss(batch_of(*BATCH))
        assert all(grad.abs().max() > 0 for grad in torch.autograd.grad(first, transforms))
        with torch.no_grad():
            for weight in transforms:
                weight.mul_(-0.5).add_(0.1)
        second = model.calculate_loss(batch_of(*BATCH))
        torch.testing.assert_close(second, first)
        second.backward()  # once more through what the epoch shares would fail if it kept a graph
        assert all(weight.grad is None for weight in transforms)
        assert len(made) == epoch
    users, items = lattice(model, dict(model.named_parameters()))
    torch.testing.assert_close(all_scores(model), (users @ items.T).detach())  # of the weights, not of the epoch
    assert len(made) == 3


def test_lattice_keeps_the_graphs_of_the_raw_features_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECBOLE_MM_CACHE", str(tmp_path))
    monkeypatch.setattr(knn, "CACHED_FROM", 1)
    model = small("LATTICE")
    kept = sorted(tmp_path.rglob("*"))
    assert len([file for file in kept if file.is_file()]) == len(MASKS)
    model.calculate_loss(batch_of(*BATCH))
    all_scores(model)
    assert sorted(tmp_path.rglob("*")) == kept


def some_dropped(x: Tensor, p: float) -> Tensor:
    assert p == 0.25
    assert not x.requires_grad, "a target carries a gradient"
    return x * (torch.arange(x.numel()).view_as(x) % 4 > 0) / (1 - p)


def test_bm3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "dropout", some_dropped)
    model = small("BM3", dropout=0.25, cl_weight=0.7, reg_weight=0.1)
    w: Weights = dict(model.named_parameters())
    users, items = light_gcn(adjacency(), torch.cat([w["user_embedding.weight"], w["item_embedding.weight"]]))
    items = items + w["item_embedding.weight"]

    def apart(a: Tensor, b: Tensor) -> Tensor:
        return 1 - a @ b / a.norm() / b.norm()

    def online(h: Tensor) -> Tensor:
        return linear(w, "predictor", h)

    target_u, target_i = (some_dropped(h.detach(), 0.25) for h in (users[USER], items[ITEM]))
    projected = [linear(w, f"projections.{m}", X)[ITEM] for m, X in enumerate(features())]
    targets = [some_dropped(h.detach(), 0.25) for h in projected]
    loss = torch.zeros(())
    for row, (u, i) in enumerate(zip(USER, ITEM, strict=True)):
        loss = loss + apart(online(users[u]), target_i[row]) + apart(online(items[i]), target_u[row])
        for m in range(3):
            if MASKS[m][i]:
                h = online(projected[m][row])
                loss = loss + 0.7 * (apart(h, target_i[row]) + apart(h, targets[m][row]))
    loss = loss / len(USER) + 0.1 * half_squares(users[USER], items[ITEM])
    assert_agrees(model, loss, online(users) @ online(items).T)


def test_bm3_drops_a_share_of_the_targets() -> None:
    model = small("BM3", dropout=0.3)
    online, target = model._views(torch.ones(200, WIDTH).requires_grad_())
    assert online.requires_grad
    assert not target.requires_grad
    assert set(target.flatten().tolist()) == {0.0, 1 / 0.7}
    assert 0.2 < (target == 0).double().mean() < 0.4


@pytest.mark.parametrize(("dropout", "kept"), [(0.0, list(range(8))), (0.5, [6, 0, 3, 5]), (1.0, [])])
def test_freedom(dropout: float, kept: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"m0": 0.2, "m1": 0.5, "m2": 0.3}
    model = small("FREEDOM", dropout=dropout, reg_weight=0.1, graph_weights=weights)
    edges = PAIRS[np.lexsort(PAIRS.T[::-1])]
    degree = [(edges[:, side] == number).sum() for side in (0, 1) for number in range(max(N_USERS, N_ITEMS))]
    probability = np.array([1 / np.sqrt(degree[u] * degree[max(N_USERS, N_ITEMS) + i]) for u, i in edges])

    def drawn(n: int, size: int, replace: bool, p: np.ndarray) -> np.ndarray:
        assert (n, size, replace) == (len(PAIRS), len(kept), False)
        np.testing.assert_allclose(p, probability / probability.sum())
        return np.array(kept, dtype=int)

    monkeypatch.setattr(np.random, "choice", drawn)
    w: Weights = dict(model.named_parameters())
    graphs = [normalised(nearest(X, real)[1].double()) for X, real in zip(features(), MASKS, strict=True)]
    item_graph = sum(weight * graph for weight, graph in zip(weights.values(), graphs, strict=True))
    start = torch.cat([w["user_embedding.weight"], w["item_embedding.weight"]])
    similar = item_graph @ item_graph @ w["item_embedding.weight"]
    users, items = light_gcn(adjacency(edges[kept]), start)
    loss = bpr(users, items + similar)
    for m, X in enumerate(features()):
        h = linear(w, f"projections.{m}", X)
        difference = (users[USER] * (h[ITEM] - h[OTHER])).sum(1)
        real = torch.from_numpy(MASKS[m][ITEM] & MASKS[m][OTHER])
        loss = loss - 0.1 * torch.log(torch.sigmoid(torch.where(real, difference, 0.0))).mean()
    users, items = light_gcn(adjacency(), start)
    assert_agrees(model, loss, users @ (items + similar).T)


def test_freedom_draws_other_edges_each_epoch() -> None:
    model = small("FREEDOM", dropout=0.5)
    drawn = []
    np.random.seed(0)
    for _epoch in range(20):
        model.train()
        model.calculate_loss(batch_of(*BATCH))
        graph = model.pruned
        model.calculate_loss(batch_of(*BATCH))
        assert model.pruned is graph  # one for all batches
        drawn.append(frozenset(map(tuple, graph(torch.eye(N_USERS + N_ITEMS))[:N_USERS, N_USERS:].nonzero().tolist())))
        model.eval()
        assert model.pruned is None
    assert {len(edges) for edges in drawn} == {4}
    assert len(set(drawn)) > 10
    assert set().union(*drawn) == set(map(tuple, PAIRS.tolist()))


def test_freedom_prefers_edges_of_low_degree() -> None:
    model = small("FREEDOM", dropout=0.75)
    np.random.seed(0)
    counts = np.zeros((N_USERS, N_ITEMS))
    for _draw in range(150):
        counts += (model._pruned()(torch.eye(N_USERS + N_ITEMS))[:N_USERS, N_USERS:] > 0).numpy()
    assert counts.sum() == 150 * 2
    assert counts[2, 3] > 1.2 * counts[0, 0]  # degrees 2 and 1, probability 0.20; degrees 3 and 2, probability 0.11
    assert counts[3, 4] > 1.2 * counts[0, 4]


@pytest.mark.parametrize("fusion", ["paper", "released"])
def test_mgcn(fusion: str) -> None:
    model = small("MGCN", cl_weight=0.5, temp=0.3, reg_weight=0.1, fusion=fusion)
    w: Weights = dict(model.named_parameters())
    A, ids = adjacency(), w["item_embedding.weight"]
    behaviour = torch.cat(light_gcn(A, torch.cat([w["user_embedding.weight"], ids])))
    modal = []
    for m, (X, real) in enumerate(zip(features(), MASKS, strict=True)):
        purified = ids * torch.sigmoid(linear(w, f"gates.{m}.0", linear(w, f"projections.{m}", X)))
        cosine, chosen = nearest(X, real)
        S = normalised(torch.where(chosen, cosine, 0.0))
        items = S @ S @ purified
        modal.append(torch.cat([A[:N_USERS, N_USERS:] @ items, items]))
    score = torch.cat([linear(w, "attention.2", torch.tanh(linear(w, "attention.0", E))) for E in modal], 1)  # (N, M)
    weight = score.exp() / score.exp().sum(1, keepdim=True)
    shared = sum(weight[:, m : m + 1] * E for m, E in enumerate(modal))
    specific = sum(
        torch.sigmoid(linear(w, f"preferences.{m}.0", behaviour)) * (E - shared) for m, E in enumerate(modal)
    )
    n = len(modal)
    fused = shared + specific / n if fusion == "paper" else (shared + specific) / (n + 1)
    final = behaviour + fused

    def contrast(nodes: np.ndarray) -> Tensor:
        a, b = (F.normalize(table[nodes], dim=1) for table in (fused, behaviour))
        logits = (a @ b.T / 0.3).exp()
        return -torch.log(logits.diag() / logits.sum(1)).mean()

    rows = final[USER], final[N_USERS + ITEM], final[N_USERS + OTHER]
    loss = (
        bpr(final[:N_USERS], final[N_USERS:])
        + 0.5 * (contrast(USER) + contrast(N_USERS + ITEM))
        + 0.1 * half_squares(*rows)
    )
    assert_agrees(model, loss, final[:N_USERS] @ final[N_USERS:].T)
