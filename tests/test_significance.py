"""Paired tests against ranks worked out by hand and against scipy, and Holm's correction."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from comparisons import difference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recbole_mm.comparison.significance import Paired, compare_paired, corrected, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)
MANY = st.integers(0, 99).map(lambda seed: np.random.default_rng(seed).integers(0, 5, (60, 2)).tolist())
PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=6) | MANY  # exact; approximate


def test_signed_ranks_by_hand() -> None:
    ours, theirs = np.array([2, 1, 6, 5, 7, 6.0]), np.array([1, 3, 3, 1, 7, 1.0])
    unequal, mean, wilcoxon, t = compare_paired(ours, theirs)  # 1, -2, 3, 4, 0, 5
    assert (unequal, mean) == (5, pytest.approx(11 / 6))
    assert wilcoxon.effect == pytest.approx((1 + 3 + 4 + 5 - 2) / 15)
    assert wilcoxon.p == pytest.approx(2 * 3 / 2**5)  # {}, {1}, {2}: three of 32 sets of ranks are at most 2 together
    spread = math.sqrt((55 - 6 * (11 / 6) ** 2) / 5)
    assert t.effect == pytest.approx(11 / 6 / spread)
    assert t.p == pytest.approx(2 * stats.t.sf(11 / 6 / spread * math.sqrt(6), df=5))


def test_equal_differences_share_their_ranks() -> None:
    wilcoxon = compare_paired(np.array([1, 0, 2, 2, 3.0]), np.array([0, 1, 0, 0, 0.0]))[2]
    assert wilcoxon.effect == pytest.approx((1.5 + 3.5 + 3.5 + 5 - 1.5) / 15)


def test_the_p_values_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(0.3, 1, 80), rng.normal(0, 1, 80)
    unequal, mean, wilcoxon, t = compare_paired(ours, theirs)
    assert (unequal, mean) == (80, pytest.approx(ours.mean() - theirs.mean()))
    assert wilcoxon.p == pytest.approx(stats.wilcoxon(ours, theirs).pvalue)
    assert t.p == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
    assert (wilcoxon.p_holm, t.p_holm) == (wilcoxon.p, t.p)
    assert 0 < wilcoxon.p < 0.05  # else nothing was tested
    zeros = np.zeros(7)
    with_zeros = compare_paired(np.append(ours, zeros), np.append(theirs, zeros))
    assert with_zeros[0] == 80
    assert with_zeros[2] == wilcoxon


@settings(max_examples=25, deadline=None)
@given(PAIRS)
def test_swapping_keeps_p_and_flips_the_effect(pairs: list[tuple[int, int]]) -> None:
    ours, theirs = np.array(pairs, dtype=np.float64).T
    unequal, mean, *tests = compare_paired(ours, theirs)
    again, other_mean, *swapped = compare_paired(theirs, ours)
    assert (again, other_mean) == (unequal, pytest.approx(-mean))
    for one, other in zip(tests, swapped, strict=True):
        assert other.p == pytest.approx(one.p)
        assert other.effect == pytest.approx(-one.effect)
        assert 0 <= one.p <= 1


def test_equal_pairs_are_no_difference() -> None:
    same = Paired(1.0, 1.0, 1.0, 0.0)
    assert compare_paired(np.arange(5.0), np.arange(5.0)) == (0, 0.0, same, same)


def test_the_same_values_in_another_order_are_equal() -> None:
    seeds = np.tile([0.1, 0.2, 0.3], (100, 1))
    ours, theirs = seeds.mean(axis=1), seeds[:, ::-1].mean(axis=1)
    assert (ours != theirs).all()  # by rounding, for every user in the same direction
    unequal, mean, wilcoxon, t = compare_paired(ours, theirs)
    assert (unequal, mean, wilcoxon.p, t.p) == (0, 0.0, 1.0, 1.0)


def test_the_same_difference_everywhere() -> None:
    *_, wilcoxon, t = compare_paired(np.full(6, 0.1), np.full(6, 0.3))
    assert (wilcoxon.p, wilcoxon.effect) == (pytest.approx(2 / 2**6), -1.0)
    assert (t.p, t.effect) == (0.0, -math.inf)


def test_fewer_than_six_pairs_cannot_be_significant() -> None:
    smallest = [compare_paired(np.arange(1.0, n + 1), np.zeros(n))[2].p for n in range(2, 7)]
    assert smallest == pytest.approx([0.5, 0.25, 0.125, 0.0625, 0.03125])


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.6, 0.5], [1.0, 1.0]),
        ([0.04], [0.04]),
        ([], []),
    ],
)
def test_holm_by_hand(p: list[float], expected: list[float]) -> None:
    assert holm(p) == pytest.approx(expected)


@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_properties(p: list[float], random: Random) -> None:
    found = holm(p)
    assert all(one <= more <= 1 for one, more in zip(p, found, strict=True))
    by_size = [found[place] for place in np.argsort(p, kind="stable")]
    assert by_size == sorted(by_size)
    order = list(range(len(p)))
    random.shuffle(order)
    assert holm([p[place] for place in order]) == [found[place] for place in order]


def test_false_discovery_rate_by_hand() -> None:
    """Of p in ascending order, m p / rank, and at most what the ones behind it have."""
    family = [difference(str(p), 0.1, wilcoxon=10 * p, t=10 * p) for p in (0.01, 0.04, 0.03, 0.005)]
    assert [one.t.q for one in corrected(family)] == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert corrected([]) == []


def test_each_test_is_corrected_by_itself() -> None:
    family = [difference("a", 0.1, wilcoxon=0.1, t=0.4), difference("b", 0.1, wilcoxon=0.2, t=0.3)]
    first, second = corrected(family)  # before it, 0.01 and 0.02, 0.04 and 0.03
    assert [first.wilcoxon.p_holm, second.wilcoxon.p_holm] == pytest.approx([0.02, 0.02])
    assert [first.t.p_holm, second.t.p_holm] == pytest.approx([0.06, 0.06])
    assert [first.t.q, second.t.q] == pytest.approx([0.04, 0.04])
    assert (first.label, first.wilcoxon.p, first.t.effect) == ("a", 0.01, 0.125)
