"""XSimGCL, MMHCL, PGL and LGMRec against dense restatements of their papers' equations."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
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
from model_contract import StandInConfig, StandInDataset, all_scores, batch_of
from recbole.utils import get_model
from torch import Tensor
from torch.nn import functional as F

from recbole_mm.base.errors import InputError
from recbole_mm.graphs.hypergraphs import SharedHyperedges, SharedItems
from recbole_mm.graphs.low_rank import LowRankAdjacency
from recbole_mm.model.parts import losses

pytestmark = pytest.mark.usefixtures("float64")


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)


def info_nce(a: Tensor, b: Tensor, temp: float) -> Tensor:
    logits = (unit(a) @ unit(b).T / temp).exp()
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


def dense_of(graph: Any, n: int) -> Tensor:
    return graph(torch.eye(n))


def test_users_by_the_items_they_share() -> None:
    R = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=np.float32)
    shared = R @ R.T - np.diag((R @ R.T).diagonal())
    assert shared.sum(1).tolist() == [3, 2, 1, 0, 0]  # the last two share none
    P = torch.tensor(shared / shared.sum(1, keepdims=True).clip(min=1)).double()
    torch.testing.assert_close(dense_of(SharedItems(sp.csr_array(R)), 5), P)


def test_nodes_by_the_hyperedges_they_share() -> None:
    H = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]], dtype=float)
    Q = normalised(torch.tensor(H @ H.T))
    torch.testing.assert_close(dense_of(SharedHyperedges(sp.csr_array(H)), 4), Q)


@pytest.mark.parametrize("nodes", ["all", "batch"])
def test_mmhcl(nodes: str) -> None:
    weights = {"user_cl_weight": 0.4, "item_cl_weight": 0.7, "reg_weight": 0.1}
    model = small("MMHCL", n_user_layers=3, n_item_layers=2, temp=0.5, contrast_nodes=nodes, **weights)
    w: Weights = dict(model.named_parameters())
    R = torch.zeros(N_USERS, N_ITEMS)
    R[tuple(PAIRS.T)] = 1
    shared = R @ R.T
    shared.fill_diagonal_(0)
    P = shared / shared.sum(1, keepdim=True)
    H = torch.cat([nearest(X, real)[1].double() for X, real in zip(features(), MASKS, strict=True)], 1)
    Q = normalised(H @ H.T)
    start = torch.cat([w["user_embedding.weight"], w["item_embedding.weight"]])
    light_users, light_items = light_gcn(adjacency(), start)
    hyper_users = unit(P @ P @ P @ w["user_hyper_embedding.weight"])
    hyper_items = unit(Q @ Q @ w["item_hyper_embedding.weight"])

    def contrast(light: Tensor, hyper: Tensor, batch: np.ndarray) -> Tensor:
        own = range(len(light)) if nodes == "all" else sorted(set(batch))
        terms = []
        for i in own:
            between = [torch.exp(unit(light)[i] @ hyper[j] / 0.5) for j in own]
            within = [torch.exp(unit(light)[i] @ unit(light)[j] / 0.5) for j in own if j != i]
            terms.append(-torch.log(torch.exp(unit(light)[i] @ hyper[i] / 0.5) / (sum(between) + sum(within))))
        return sum(terms) / len(terms)

    users, items = light_users + hyper_users, light_items + hyper_items
    loss = bpr(users, items) + 0.1 * half_squares(users[USER], items[ITEM], items[OTHER])
    loss = loss + 0.4 * contrast(light_users, hyper_users, USER) + 0.7 * contrast(light_items, hyper_items, ITEM)
    assert_agrees(model, loss, users @ items.T)


def test_mmhcl_computes_no_contrast_of_weight_0(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("MMHCL", user_cl_weight=0.0, item_cl_weight=0.0)
    monkeypatch.setattr(losses, "info_nce_among", lambda *_, **__: pytest.fail("a contrast was computed"))
    assert set(model.losses(batch_of(*BATCH))) == {"bpr", "reg"}


def dropped(x: Tensor, p: float, number: int) -> Tensor:
    return x * (torch.arange(x.numel()).view_as(x) % (3 + number) > 0) / (1 - p)


def low_rank(rank: int) -> Tensor:
    R_hat = adjacency()[:N_USERS, N_USERS:]
    P, s, Qt = torch.linalg.svd(R_hat, full_matrices=False)
    R_q = P[:, :rank] @ torch.diag(s[:rank]) @ Qt[:rank]
    zeros = [torch.zeros(n, n) for n in R_hat.shape]
    return torch.cat([torch.cat([zeros[0], R_q], 1), torch.cat([R_q.T, zeros[1]], 1)])


@pytest.mark.parametrize("principal", ["edges", "svd"])
def test_pgl(principal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, kept = count(), [6, 0, 3, 5]
    monkeypatch.setattr(F, "dropout", lambda x, p: dropped(x, p, next(numbers)))
    monkeypatch.setattr(np.random, "choice", lambda *_, **__: np.array(kept))
    weights = {"m0": 0.2, "m1": 0.5, "m2": 0.3}
    model = small(
        "PGL", principal=principal, edge_dropout=0.5, svd_rank=2, dropout=0.3, cl_weight=0.7, graph_weights=weights
    )
    w: Weights = dict(model.named_parameters())
    graphs = [normalised(nearest(X, real)[1].double()) for X, real in zip(features(), MASKS, strict=True)]
    S = sum(weight * graph for weight, graph in zip(weights.values(), graphs, strict=True))
    items_0 = torch.cat([unit(linear(w, f"projections.{m}", X)) for m, X in enumerate(features())], 1)
    users_0 = torch.cat([w[f"user_preferences.{m}"] for m in range(3)], 1)

    def final(A: Tensor) -> tuple[Tensor, Tensor]:
        users, items = light_gcn(A, torch.cat([users_0, items_0]))
        return users, items + S @ S @ items_0

    edges = PAIRS[np.lexsort(PAIRS.T[::-1])]
    users, items = final(low_rank(2) if principal == "svd" else adjacency(edges[kept]))
    u, i = users[np.unique(USER)], items[np.unique(ITEM)]
    contrast = info_nce(dropped(u, 0.3, 0), dropped(u, 0.3, 1), 0.2) + info_nce(
        dropped(i, 0.3, 2), dropped(i, 0.3, 3), 0.2
    )
    whole = final(adjacency())
    assert_agrees(model, bpr(users, items) + 0.7 * contrast, whole[0] @ whole[1].T)


def test_pgl_without_contrast_drops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "dropout", lambda *_: pytest.fail("a view was made"))
    assert set(small("PGL", cl_weight=0.0).losses(batch_of(*BATCH))) == {"bpr"}


def test_the_graph_of_the_largest_singular_values() -> None:
    R = sp.csr_array((np.ones(len(PAIRS)), tuple(PAIRS.T)), shape=(N_USERS, N_ITEMS))
    graph = LowRankAdjacency(R, 2)
    torch.testing.assert_close(dense_of(graph, N_USERS + N_ITEMS), low_rank(2))
    x = torch.randn(N_USERS + N_ITEMS, 3)
    (out,) = graph.propagate(x, [0.5, 0.0, 2.0])
    torch.testing.assert_close(out, 0.5 * x + 2 * low_rank(2) @ low_rank(2) @ x)
    assert LowRankAdjacency(R, 50).left.shape == (N_USERS, N_USERS - 1)
    assert not graph.state_dict()


def test_the_largest_singular_value_of_one_user() -> None:
    graph = LowRankAdjacency(sp.csr_array([[1.0, 0.0, 1.0, 1.0]]), 3)
    expected = torch.zeros(5, 5, dtype=graph.left.dtype)
    expected[0, [1, 3, 4]] = expected[[1, 3, 4], 0] = 3**-0.5
    torch.testing.assert_close(dense_of(graph, 5), expected)


def lgmrec(w: Weights, alpha: float, memberships: Any) -> tuple[Tensor, list[Tensor]]:
    """Return the final nodes, and those of each modality's hypergraph; `memberships` takes logits to rows of sum 1."""
    A = adjacency()
    R = (A[:N_USERS, N_USERS:] > 0).double()
    final = content = torch.cat(light_gcn(A, torch.cat([w["user_embedding.weight"], w["item_embedding.weight"]])))
    hyper = []
    for m, X in enumerate(features()):
        items = linear(w, f"projections.{m}", X)
        users = torch.stack([items[R[u] > 0].mean(0) for u in range(N_USERS)])
        final = final + unit(A @ A @ A @ torch.cat([users, items]))
        logits = X @ w[f"hyperedges.{m}"]
        H_I, H_U = memberships(logits), memberships(R @ logits)
        q = content[N_USERS:]
        hyper.append(torch.cat([H_U @ H_I.T @ H_I @ H_I.T @ q, H_I @ H_I.T @ H_I @ H_I.T @ q]))
    return final + alpha * unit(sum(hyper)), hyper


def test_lgmrec(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"n_mm_layers": 3, "n_hyper_layer": 2, "hyper_num": 3}
    model = small("LGMRec", tau=0.7, keep_rate=0.7, alpha=0.4, cl_weight=0.5, temp=0.6, reg_weight=0.1, **sizes)
    w: Weights = dict(model.named_parameters())
    draws = count()

    def delta(like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=torch.Generator().manual_seed(next(draws)))

    monkeypatch.setattr(torch, "rand_like", delta)
    monkeypatch.setattr(F, "dropout", lambda x, p: dropped(x, p, 0))

    def noisy(h: Tensor) -> Tensor:
        d = delta(h)
        logits = (d.log() - (1 - d).log() + h) / 0.7
        return dropped(logits.exp() / logits.exp().sum(1, keepdim=True), 1 - 0.7, 0)

    final, hyper = lgmrec(w, 0.4, noisy)
    draws = count()
    contrast = torch.zeros(())
    for batch, side in ((USER, slice(0, N_USERS)), (ITEM, slice(N_USERS, None))):
        for a, b in ((0, 1), (0, 2), (1, 2)):
            logits = (unit(hyper[a][side][batch]) @ unit(hyper[b][side]).T / 0.6).exp()
            contrast = contrast - torch.log(logits[range(len(batch)), batch] / logits.sum(1)).mean() / 3
    rows = final[USER], final[N_USERS + ITEM], final[N_USERS + OTHER]
    loss = bpr(final[:N_USERS], final[N_USERS:]) + 0.5 * contrast + 0.1 * half_squares(*rows)
    plain, _ = lgmrec(w, 0.4, lambda h: (h / 0.7).softmax(1))
    assert_agrees(model, loss, plain[:N_USERS] @ plain[N_USERS:].T)


def test_lgmrec_computes_no_part_of_weight_0(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("LGMRec", alpha=0.0, cl_weight=0.5, n_mm_layers=3)
    final, _ = lgmrec(dict(model.named_parameters()), 0.0, lambda h: h)
    torch.testing.assert_close(all_scores(model), (final[:N_USERS] @ final[N_USERS:].T).detach())
    assert set(small("LGMRec", cl_weight=0.0).losses(batch_of(*BATCH))) == {"bpr", "reg"}
    model = small("LGMRec", alpha=0.0, cl_weight=0.0)
    monkeypatch.setattr(model, "_hypergraph_nodes", lambda *_: pytest.fail("a hypergraph was computed"))
    assert set(model.losses(batch_of(*BATCH))) == {"bpr", "reg"}
    assert all_scores(model).isfinite().all()
