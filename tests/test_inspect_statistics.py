"""Exact numbers of an inspection, on cases small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recbole_mm.data.feature_table import FeatureTable
from recbole_mm.inspection import coconsumption
from recbole_mm.inspection.coconsumption import CoConsumption, co_consumption, share_a_user
from recbole_mm.inspection.feature_numbers import features, number_type
from recbole_mm.inspection.statistics import (
    Distribution,
    Pairs,
    SplitCounts,
    at_least,
    distribution,
    interactions,
    leaked,
    repeated,
    split_sizes,
)


def pairs(*of: tuple[int, int]) -> Pairs:
    users, items = np.array(of, dtype=np.int64).reshape(-1, 2).T
    return Pairs(users, items)


TRAIN = pairs((1, 1), (1, 2), (2, 2), (3, 2))


def test_counts_and_density() -> None:
    found = interactions(pairs((1, 1), (1, 2), (2, 2), (1, 2)), n_users=3, n_items=4)
    assert found.n == 4
    assert found.per_user.tolist() == [3, 1, 0]
    assert found.per_item.tolist() == [1, 3, 0, 0]
    assert found.density == 4 / 12
    assert interactions(pairs(), 0, 0).density == 0


def test_distribution() -> None:
    assert distribution(np.array([4, 1, 3, 2])) == Distribution(1, 1.75, 2.5, 3.25, 4, 2.5)
    assert distribution(np.array([7])) == Distribution(7, 7, 7, 7, 7, 7)


def test_share_with_at_least_as_many() -> None:
    values, shares = at_least(np.array([0, 1, 5, 1, 2, 0]))
    assert values.tolist() == [1, 2, 5]
    assert shares.tolist() == [1, 0.5, 0.25]
    assert [part.tolist() for part in at_least(np.zeros(3, dtype=int))] == [[], []]


def test_cold_users_and_items_of_each_split() -> None:
    valid = pairs((1, 3), (2, 3), (4, 1), (4, 2))  # item 3 and user 4 are cold
    test = pairs((3, 1), (1, 1))
    assert split_sizes({"train": TRAIN, "valid": valid, "test": test, "none": pairs()}) == (
        SplitCounts("train", 4, 3, 2, 0, 0.0, 0, 0.0),
        SplitCounts("valid", 4, 3, 3, 1, 0.5, 1, 0.5),
        SplitCounts("test", 2, 2, 1, 0, 0.0, 0, 0.0),
        SplitCounts("none", 0, 0, 0, 0, 0.0, 0, 0.0),
    )


def test_repeats_and_leaks_by_place() -> None:
    assert repeated(pairs((1, 2), (2, 1), (1, 2), (1, 1), (1, 2))).tolist() == [2, 4]
    assert repeated(pairs()).tolist() == []
    assert leaked(TRAIN, pairs((2, 1), (3, 2), (1, 1))).tolist() == [1, 2]  # (2, 1) is not (1, 2)


ROWS = np.array(
    [[3, 4, 0, 1], [0, 0, 0, 0], [3, 4, 0, 1], [1, 0, 0, 1], [-0.0, 0, 0, 0], [3, 4, 0, 1], [1, -0.0, 0, 1]]
)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_features_in_blocks_of_any_size(size: int) -> None:
    starts = range(0, len(ROWS), size)
    found = features(
        ((np.arange(start, 7)[:size], ROWS[start : start + size].astype(np.float32)) for start in starts), "float16"
    )
    assert found is not None
    assert (found.rows, found.dim, found.dtype) == (7, 4, "float16")
    five, one = 26**0.5, 2**0.5
    assert found.norms.tolist() == [five, 0, five, one, 0, five, one]
    assert found.zeros.tolist() == [1, 4]
    assert found.copies.tolist() == [[2, 0], [5, 0], [6, 3]]
    assert found.constant_columns.tolist() == [2]


def test_features_of_few_rows() -> None:
    found = features(iter([(np.array([0]), np.array([[2, 0]]))]), "int64")
    assert found is not None
    assert found.norms.tolist() == [2]
    assert found.copies.shape == (0, 2)
    assert not len(found.constant_columns)
    assert features(iter([]), "") is None


def test_rows_keep_their_numbers_where_some_are_missing() -> None:
    table = FeatureTable(
        "x", list("abcde"), 2, lambda: iter([(np.array([1, 3, 4]), np.array([[1, 2], [0, 0], [1, 2]]))])
    )
    found = features(table.blocks(), number_type(table))
    assert found is not None
    assert (found.rows, found.dtype, found.zeros.tolist(), found.copies.tolist()) == (3, "int64", [3], [[4, 1]])


USERS = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0]]))


@pytest.mark.parametrize("read_at_a_time", [1, 3, 1000])
def test_pairs_that_share_a_user(read_at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coconsumption, "INTERACTIONS_AT_A_TIME", read_at_a_time)
    first, second = np.array([0, 0, 0, 0, 1, 2, 3]), np.array([1, 2, 3, 4, 4, 4, 3])
    assert share_a_user(USERS, first, second).tolist() == [True, False, False, True, False, True, False]


def groups(n_groups: int, size: int) -> tuple[torch.Tensor, torch.Tensor, Pairs]:
    """Return features, mask and interactions of items in groups: one user and one direction a group."""
    items = np.arange(1, n_groups * size + 1)
    group = (items - 1) // size
    angle = torch.from_numpy(group * 0.7 + (items % size) * 1e-3)
    features = torch.stack([angle.cos(), angle.sin()], dim=1).float()
    padding = torch.zeros(1, 2)
    return torch.cat([padding, features]), torch.tensor([False] + [True] * len(items)), Pairs(group + 1, items)


def test_all_others_as_neighbours_are_counted_by_hand() -> None:
    features, real, train = groups(2, 3)
    found = co_consumption(features, real, train, seed=0)  # of 5 other items, 2 are of the same group
    assert found is not None
    assert (found.items, found.k, found.edges, found.neighbours) == (6, 5, 30, 0.4)


def test_neighbours_of_the_own_group_against_random_pairs() -> None:
    features, real, train = groups(4, 25)
    found = co_consumption(features, real, train, seed=1)
    assert found is not None
    assert (found.items, found.k, found.edges, found.neighbours) == (100, 10, 1000, 1.0)
    assert found.random == pytest.approx(24 / 99, abs=0.04)
    assert found.ratio == 1 / found.random
    assert found == co_consumption(features, real, train, seed=1)
    assert found != co_consumption(features, real, train, seed=2)


def test_only_items_with_users_and_features_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    features, real, train = groups(2, 5)
    real[1] = False
    features[2] = 0
    train = Pairs(train.users[:-1], train.items[:-1])  # item 10 has no user
    monkeypatch.setattr(coconsumption, "QUERIES", 4)
    monkeypatch.setattr(coconsumption, "NEIGHBOURS", 2)
    found = co_consumption(features, real, train, seed=0)
    assert found is not None
    assert (found.items, found.k, found.edges, found.neighbours) == (7, 2, 8, 1.0)
    assert co_consumption(features, torch.zeros_like(real), train, seed=0) is None


def test_equal_rows_do_not_displace_the_item_itself() -> None:
    features = torch.ones(30, 2)  # which neighbours are found is arbitrary, the item itself never counts
    train = Pairs(np.arange(1, 30), np.arange(1, 30))
    found = co_consumption(features, torch.ones(30, dtype=torch.bool), train, seed=0)
    assert found is not None
    assert (found.neighbours, found.random, found.ratio) == (0.0, 0.0, float("inf"))


def test_ratios() -> None:
    found = CoConsumption(items=10, k=1, edges=10, neighbours=0.75, random=0.5)
    assert (found.ratio, found.odds_ratio) == (1.5, 3.0)
    assert CoConsumption(10, 1, 10, 1.0, 0.5).odds_ratio == float("inf")
