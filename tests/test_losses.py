"""Losses: exact values by hand, gradients, and what must not change them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from recbole_mm.model.parts import contrast
from recbole_mm.model.parts.contrast import log_normaliser
from recbole_mm.model.parts.losses import (
    CLUB,
    bpr,
    cross_modal_contrast,
    denoising_pull,
    hard_push,
    info_nce,
    info_nce_among,
    over_contrast,
    rank_contrast,
    squared_norm,
)

QUICK = settings(deadline=None, max_examples=25)
EYE = torch.eye(3, dtype=torch.float64)
SHIFTED = EYE[[1, 2, 0]]
e = math.exp


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


def unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(normal(*shape, seed=seed).detach(), dim=-1)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 0.0])
def test_unit_is_f_normalize(scale: float) -> None:
    x, weight = scale * normal(5, 3).detach(), normal(5, 3, seed=1).detach()
    found = []
    for normalise in (contrast.l2_normalize, F.normalize):
        rows = x.clone().requires_grad_()
        out = normalise(rows)
        (gradient,) = torch.autograd.grad((out * weight).sum(), rows)
        found.append((out, gradient))
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-10)


def test_bpr_by_hand() -> None:
    margins = torch.tensor([0.0, math.log(3.0), -math.log(3.0)], dtype=torch.float64)
    expected = (math.log(2) + math.log(4 / 3) + math.log(4)) / 3
    assert bpr(margins + 5, torch.full((3,), 5.0)).item() == pytest.approx(expected, rel=1e-12)


def test_bpr_of_huge_margins_is_finite() -> None:
    assert bpr(torch.tensor([-1e4]), torch.tensor([0.0])).item() == pytest.approx(1e4)
    assert bpr(torch.tensor([1e4]), torch.tensor([0.0])).item() == 0


def test_squared_norm_by_hand() -> None:
    users, items = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    assert squared_norm([users, items], batch_size=2).item() == 0.5 * (1 + 4 + 9 + 16) / 2
    # The last batch of an epoch is divided by the full batch size, so that a row always weighs the same.
    assert squared_norm([users], batch_size=10).item() == pytest.approx(0.25)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_info_nce_by_hand(temperature: float) -> None:
    high, low = e(1 / temperature), 1.0
    aligned = -math.log(high / (high + 2 * low))
    shifted = -math.log(low / (high + 2 * low))
    assert info_nce(EYE, 4 * EYE, temperature).item() == pytest.approx(aligned, rel=1e-12)
    assert info_nce(EYE, SHIFTED, temperature).item() == pytest.approx(shifted, rel=1e-12)


def test_info_nce_takes_its_negatives_from_the_positives_side() -> None:
    anchor = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    positive = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    expected = (-math.log(e(1) / (e(1) + 1)) - math.log(1 / (e(1) + 1))) / 2
    assert info_nce(anchor, positive, 1.0).item() == pytest.approx(expected, rel=1e-12)


def test_cross_modal_contrast_by_hand() -> None:
    """Two anchors in three modalities: pairs (1, 2), (1, 3), (2, 3), negatives the three unit vectors."""
    anchors = [EYE[[0, 1]], EYE[[0, 2]], EYE[[1, 2]]]
    far = 3 * (e(2) + 2)  # every anchor is one of the negatives and orthogonal to the other two
    first = -math.log((e(2) + 1 + 1) / far)
    second = -math.log((1 + 1 + e(2)) / far)
    loss = cross_modal_contrast(anchors, EYE, 0.5)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-12)


def test_cross_modal_contrast_of_one_modality_is_0() -> None:
    loss = cross_modal_contrast([EYE], EYE, 0.2)
    assert loss.item() == 0
    assert loss.dtype == EYE.dtype


def test_rank_contrast_by_hand() -> None:
    """Sorted ascending, rows 0 and 1 agree with their partner; the negative is the next row's partner."""
    a = torch.tensor([[2.0, 0.0], [0.0, 3.0], [0.0, -1.0]], dtype=torch.float64)  # (0,1), (0,1), (-1,0)
    b = torch.tensor([[0.0, 5.0], [1.0, 0.0], [0.0, -2.0]], dtype=torch.float64)  # (0,1), (0,1), (-1,0)
    one, other = e(1 / 0.5), 1.0
    first = -math.log(one / (one + one))
    second = -math.log(one / (one + other))
    loss = rank_contrast(a, b, torch.tensor([1, 2, 0]), 0.5)
    assert loss.item() == pytest.approx((first + 2 * second) / 3, rel=1e-12)


def test_rank_contrast_with_opposite_orders() -> None:
    a = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    b = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)  # (-1,0), (0,1): swapped partners
    loss = rank_contrast(a, b, torch.tensor([1, 0]), 0.1)
    assert loss.item() == pytest.approx(math.log(1 + e(10)), rel=1e-12)


PERMUTATION = torch.tensor([2, 0, 1, 4, 3])
PAST = torch.arange(5, 10)
COUNT = torch.tensor([1, 3, 2, 1, 5])
TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bpr": lambda a, b: bpr(a.sum(1), b.sum(1)),
    "squared_norm": lambda a, b: squared_norm([a, b], 4),
    "info_nce": lambda a, b: info_nce(a, b, 0.5),
    "info_nce with counts": lambda a, b: info_nce(a, b, 0.5, COUNT),
    "info_nce_among": lambda a, b: info_nce_among(a, b, torch.cat([b, a]), 0.5, count=COUNT, without=PAST),
    "cross_modal_contrast": lambda a, b: cross_modal_contrast([a, b], a[1:], 0.5),
    "cross_modal_contrast with counts": lambda a, b: cross_modal_contrast([a, b, a + b], b, 0.5, COUNT),
    "rank_contrast": lambda a, b: rank_contrast(a, b, PERMUTATION, 0.5),
}
DIRECTIONS = [name for name in TWO if "contrast" in name or "nce" in name]


@pytest.mark.parametrize("name", TWO)
def test_gradients(name: str) -> None:
    assert torch.autograd.gradcheck(TWO[name], (normal(5, 4, seed=1), normal(5, 4, seed=2)))


@pytest.mark.parametrize("name", DIRECTIONS)
def test_contrasts_see_directions_only(name: str) -> None:
    a, b = normal(5, 4, seed=1), normal(5, 4, seed=2)
    if "cross" in name:  # its negatives are rows of a and b as well, so one factor for all
        torch.testing.assert_close(TWO[name](7.0 * a, 7.0 * b), TWO[name](a, b))
    else:
        scale = torch.tensor([[1.0], [2.0], [0.1], [30.0], [5.0]], dtype=torch.float64)
        torch.testing.assert_close(TWO[name](scale * a, 3.0 * b), TWO[name](a, b))


@pytest.mark.parametrize("name", DIRECTIONS)
def test_zero_rows_give_numbers(name: str) -> None:
    a, b = (torch.zeros(5, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss = TWO[name](a, b)
    loss.backward()
    assert loss.isfinite()
    assert a.grad.isfinite().all()
    assert b.grad.isfinite().all()


def test_info_nce_among_the_positives_is_info_nce() -> None:
    a, b = normal(5, 4, seed=1), normal(5, 4, seed=2)
    torch.testing.assert_close(info_nce_among(a, b, b, 0.3), info_nce(a, b, 0.3))
    repeated = torch.arange(5).repeat_interleave(COUNT)
    torch.testing.assert_close(
        info_nce_among(a, b, b, 0.3, count=COUNT), info_nce_among(a[repeated], b[repeated], b, 0.3)
    )


def test_info_nce_without_the_anchor_itself_by_hand() -> None:
    """Cosines to the positives 1, 0 and 0.6, 0.8; of the anchors with each other 0.6."""
    a = torch.tensor([[2.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    b = torch.tensor([[1.0, 0.0], [0.0, 5.0]], dtype=torch.float64)
    t = 0.5
    first = -math.log(e(1 / t) / (e(1 / t) + 1 + e(0.6 / t)))
    second = -math.log(e(0.8 / t) / (e(0.6 / t) + e(0.8 / t) + e(0.6 / t)))
    loss = info_nce_among(a, b, torch.cat([b, a]), t, without=torch.tensor([2, 3]))
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-12)


def test_the_order_of_rows_and_of_modalities_is_free() -> None:
    a, b, c = (normal(5, 4, seed=seed) for seed in range(3))
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(info_nce(a[order], b[order], 0.3), info_nce(a, b, 0.3))
    shuffled = cross_modal_contrast([c[order], a[order], b[order]], c[order], 0.3)
    torch.testing.assert_close(shuffled, cross_modal_contrast([a, b, c], c, 0.3))


def test_rank_contrast_ignores_the_order_of_columns() -> None:
    a, b = normal(5, 4, seed=1), normal(5, 4, seed=2)
    shuffled = rank_contrast(a[:, [2, 0, 3, 1]], b[:, [1, 3, 0, 2]], PERMUTATION, 0.1)
    torch.testing.assert_close(shuffled, rank_contrast(a, b, PERMUTATION, 0.1))


@QUICK
@given(count=st.lists(st.integers(1, 6), min_size=1, max_size=7), seed=st.integers(0, 1000))
def test_counts_equal_repeated_rows(count: list[int], seed: int) -> None:
    """Value and gradient: a repeated row's gradient is the sum over its copies."""
    counts = torch.tensor(count)
    a, b, reference = (normal(n, 4, seed=seed + n_) for n_, n in enumerate((len(count), len(count), 5)))
    repeated = torch.arange(len(count)).repeat_interleave(counts)
    for loss, plain in (
        (info_nce(a, b, 0.2, counts), info_nce(a[repeated], b[repeated], 0.2)),
        (
            cross_modal_contrast([a, b], reference, 0.2, counts),
            cross_modal_contrast([a[repeated], b[repeated]], reference, 0.2),
        ),
    ):
        torch.testing.assert_close(loss, plain)
        torch.testing.assert_close(torch.autograd.grad(loss, [a, b]), torch.autograd.grad(plain, [a, b]))


@QUICK
@given(seed=st.integers(0, 1000), temperature=st.floats(0.02, 5))
def test_info_nce_is_least_for_aligned_rows(seed: int, temperature: float) -> None:
    a = normal(4, 6, seed=seed)
    aligned, against = info_nce(a, a, temperature), info_nce(a, -a, temperature)
    assert 0 <= aligned <= against


def test_solosimloss_of_three_items_by_hand() -> None:
    """Cosines 1, 0 | 0.6, 0.8 | -1, 0: the lengths of the rows do not matter."""
    text = torch.tensor([[2.0, 0.0], [0.6, 0.8], [-3.0, 0.0]], dtype=torch.float64)
    image = torch.tensor([[1.0, 0.0], [0.0, 5.0], [0.0, 1.0]], dtype=torch.float64)
    t = 0.5
    rows = (
        -math.log(e(1 / t) / (e(1 / t) + 1 + 1)),
        -math.log(e(0.8 / t) / (e(0.6 / t) + 2 * e(0.8 / t))),
        -math.log(1 / (e(-1 / t) + 1 + 1)),
    )
    assert info_nce(text, image, t).item() == pytest.approx(sum(rows) / 3, rel=1e-12)


@QUICK
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 9)),
    elements=st.integers(1, 60),
    least=st.integers(1, 3),
    counted=st.booleans(),
    apart=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_normaliser_in_chunks_equals_the_plain_one(
    shape: tuple[int, int, int], elements: int, least: int, counted: bool, apart: bool, seed: int
) -> None:
    n, n_anchors, m = shape
    a, b, weight = normal(n, n_anchors, 4, seed=seed), normal(m, 4, seed=seed + 1000), torch.rand(n).double()
    count = torch.arange(1, m + 1) if counted else None
    without = torch.randint(m, (n,)) if apart and m > 1 else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contrast, "CONTRAST_CHUNK_ELEMENTS", elements)
        patch.setattr(contrast, "LEAST_ROWS", least)
        chunked = log_normaliser(a, b, weight, count, without)
        ours = torch.autograd.grad(3 * chunked, (a, b))
    each = (a @ b.T).exp() * (1 if count is None else count)  # (n, anchors, m)
    if without is not None:
        each = each * (torch.arange(m) != without[:, None])[:, None]
    plain = weight @ each.sum((1, 2)).log()
    torch.testing.assert_close(chunked, plain, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(ours, torch.autograd.grad(3 * plain, (a, b)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_the_normaliser_holds_a_bounded_number_of_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            sizes.extend(x.numel() for x in (out if isinstance(out, tuple | list) else [out]) if isinstance(x, Tensor))
            return out

    anchor, positive = normal(300, 2), normal(300, 2, seed=1)
    for elements, rows in ((40 * 300, 40), (1200, contrast.LEAST_ROWS), (10**6, 300)):
        monkeypatch.setattr(contrast, "CONTRAST_CHUNK_ELEMENTS", elements)
        with Recorder():
            info_nce(anchor, positive, 0.2).backward()
        assert max(sizes) == rows * 300
        sizes.clear()


def test_the_normaliser_of_huge_logits_is_finite_and_keeps_its_precision_under_autocast() -> None:
    a, b = 1e3 * normal(5, 1, 4).detach().float(), normal(6, 4, seed=1).detach().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = log_normaliser(a, b, torch.ones(5))
    torch.testing.assert_close(found, (a[:, 0].double() @ b.double().T).logsumexp(1).sum().float())
    assert log_normaliser(a.bfloat16(), b.bfloat16(), torch.ones(5)).dtype == torch.float32


class TestCLUB:
    """The bound on Gaussian pairs, whose mutual information is -d/2 log(1 - rho^2)."""

    D, N = 4, 2000

    def pairs(self, rho: float, seed: int) -> tuple[Tensor, Tensor]:
        x, noise = normal(self.N, self.D, seed=seed).detach(), normal(self.N, self.D, seed=seed + 1).detach()
        return x, rho * x + math.sqrt(1 - rho**2) * noise

    def trained_bound(self, rho: float) -> float:
        torch.manual_seed(0)
        club = CLUB(self.D, self.D, hidden=16).double()
        optimizer = torch.optim.Adam(club.parameters(), lr=0.02)
        x, y = self.pairs(rho, seed=0)
        for _ in range(150):
            optimizer.zero_grad()
            (-club.log_likelihood(x, y)).backward()
            optimizer.step()
        x, y = self.pairs(rho, seed=7)  # samples that it has not seen
        with torch.no_grad():
            return club(x, y, torch.randperm(self.N)).item()

    def test_the_trained_bound_is_above_the_information_and_falls_with_the_correlation(self) -> None:
        bounds = {rho: self.trained_bound(rho) for rho in (0.0, 0.3, 0.5, 0.7)}
        for rho, bound in bounds.items():
            # CLUB of the true conditional: rho^2 / (1 - rho^2) a dimension.
            assert bound == pytest.approx(self.D * rho**2 / (1 - rho**2), rel=0.2, abs=0.1)
            if rho:
                assert bound > -self.D / 2 * math.log(1 - rho**2)
        assert sorted(bounds.values()) == list(bounds.values())

    def test_likelihood_and_bound_by_hand(self) -> None:
        club = CLUB(1, 2, hidden=1).double()
        with torch.no_grad():
            for weight in club.parameters():
                weight.zero_()
            club.mean[2].bias.copy_(torch.tensor([1.0, 0.0]))
            club.log_variance[2].bias.copy_(torch.tensor([0.0, math.atanh(math.log(2))]))  # variances 1 and 2
        x = torch.zeros(2, 1, dtype=torch.float64)
        y = torch.tensor([[1.0, 2.0], [3.0, 0.0]], dtype=torch.float64)
        log_r = [-0.5 * (0 + 4 / 2 + math.log(2)), -0.5 * (4 + 0 + math.log(2))]
        assert club.log_likelihood(x, y).item() == pytest.approx(sum(log_r) / 2)
        assert club(x, y, torch.tensor([1, 0])).item() == pytest.approx(0, abs=1e-12)
        assert club(x, y, torch.tensor([1, 1])).item() == pytest.approx((log_r[0] - log_r[1]) / 2)

    def test_its_gradient_reaches_samples_and_estimator(self) -> None:
        club = CLUB(3, 2, hidden=4).double()
        x, y = normal(6, 3), normal(6, 2, seed=1)
        club(x, y, torch.tensor([1, 2, 3, 4, 5, 0])).backward()
        assert all(tensor.grad is not None and tensor.grad.abs().max() > 0 for tensor in (x, y, *club.parameters()))


class TestPull:
    def test_equal_strengths_are_infonce_with_fixed_anchors(self) -> None:
        views, anchors = unit(4, 2, 3), unit(4, 3, seed=1).requires_grad_()
        found = denoising_pull(views, anchors, torch.full((4, 2), 0.5, dtype=torch.float64), 0.3)
        expected = sum(info_nce(views[:, v], anchors, 0.3) for v in range(2)) / 2
        torch.testing.assert_close(found, expected)
        views.requires_grad_()
        denoising_pull(views, anchors, torch.full((4, 2), 0.5, dtype=torch.float64), 0.3).backward()
        assert anchors.grad is None
        assert views.grad is not None

    def test_by_hand(self) -> None:
        anchors = torch.eye(2, dtype=torch.float64)
        views = torch.stack([anchors, anchors.flip(0)], dim=1)  # the first of the user, the second of the other one
        strength = torch.tensor([[0.75, 0.25]] * 2, dtype=torch.float64)
        near, far = -math.log(e(2) / (e(2) + 1)), -math.log(1 / (e(2) + 1))
        assert denoising_pull(views, anchors, strength, 0.5).item() == pytest.approx(0.75 * near + 0.25 * far)


class TestPush:
    def test_by_hand(self) -> None:
        near, far = torch.tensor([[0.5, 0.9]]), torch.tensor([[0.1, 0.7]])
        damage, strength = torch.tensor([[0.2, 1.0]]), torch.tensor([[0.4, 0.6]])
        found = hard_push(near, far, damage, strength, margin=0.5, temperature=0.2)
        gaps = 0.1 - 0.5 + 0.5 * 0.2, 0.7 - 0.5 + 0.5
        expected = 0.4 * math.log(1 + e(gaps[0] / 0.2)) + 0.6 * math.log(1 + e(gaps[1] / 0.2))
        assert found.item() == pytest.approx(expected, rel=1e-6)


class TestOverContrast:
    def test_by_hand(self) -> None:
        similarity, damage = torch.tensor([[0.0, 1.0, 3.0]]), torch.tensor([[0.1, 0.6, 0.6]])
        pairs = [0.5 * math.log(1 + e((c - 0.0 + 0.2 * 0.5) / 0.5)) for c in (1.0, 3.0)]
        assert over_contrast(similarity, damage, 0.2, 0.5).item() == pytest.approx(sum(pairs) / 2, rel=1e-6)

    def test_equal_damages_or_one_view_are_0(self) -> None:
        assert over_contrast(torch.rand(3, 2), torch.full((3, 2), 0.5), 0.2, 0.2) == 0
        assert over_contrast(torch.rand(3, 1), torch.rand(3, 1), 0.2, 0.2) == 0

    def test_the_better_view_is_drawn_nearer(self) -> None:
        similarity = torch.zeros(1, 2, requires_grad=True)
        over_contrast(similarity, torch.tensor([[0.1, 0.8]]), 0.0, 1.0).backward()
        assert similarity.grad is not None
        assert similarity.grad[0, 0] < 0 < similarity.grad[0, 1]


class TestNegatives:
    NODES = torch.tensor([3, 5, 6, 9, 10])

    def test_all_and_the_batch_s(self) -> None:
        assert contrast.negatives("all", self.NODES, torch.tensor([5])).tolist() == self.NODES.tolist()
        assert contrast.negatives("batch", self.NODES, torch.tensor([9, 4, 5, 9])).tolist() == [5, 9]
        assert contrast.negatives("batch", self.NODES, torch.tensor([4])).tolist() == []

    @pytest.mark.parametrize("n", [1, 3, 5, 8])
    def test_so_many_are_drawn_once_each_and_anew(self, n: int) -> None:
        torch.manual_seed(0)
        drawn = [contrast.negatives(n, self.NODES, torch.tensor([5])).tolist() for _ in range(200)]
        assert all(len(set(one)) == len(one) == min(n, 5) for one in drawn)
        assert {node for one in drawn for node in one} == set(self.NODES.tolist())
        counts = np.bincount(np.concatenate(drawn))[self.NODES.numpy()]
        assert counts.min() > 0.5 * counts.mean()

    def test_a_contrast_among_none_is_0(self) -> None:
        empty = torch.zeros(0, 4, requires_grad=True)
        value = info_nce(empty, empty, 0.2)
        value.backward()
        assert value == 0
