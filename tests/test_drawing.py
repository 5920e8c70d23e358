"""Draws from search spaces: within them, all different, and the same whatever else is drawn."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_space import SHIPPED

from recbole_mm.settings.drawing import draws, value_at
from recbole_mm.settings.space import Domain
from recbole_mm.settings.space_files import read_space

SPACE = {
    "learning_rate": Domain("loguniform", (1e-4, 1e-2)),
    "dropout": Domain("uniform", (0.0, 0.5)),
    "n_layers": Domain("randint", (1, 4)),
    "learner": Domain("choice", ("adam", "sgd")),
}


@pytest.mark.parametrize(
    ("domain", "share", "value"),
    [
        (Domain("choice", (0.0, "a", None, [1])), 0.0, 0.0),
        (Domain("choice", (0.0, "a", None, [1])), 0.5, None),
        (Domain("choice", (0.0, "a", None, [1])), 0.999, [1]),
        (Domain("randint", (1, 4)), 0.0, 1),
        (Domain("randint", (1, 4)), 0.999, 4),
        (Domain("uniform", (0.0, 0.5)), 0.246912, 0.1235),
        (Domain("loguniform", (1e-4, 1e-2)), 0.5, 1e-3),
        (Domain("quniform", (0.0, 0.5, 0.1)), 0.0, 0.0),
        (Domain("quniform", (0.0, 0.5, 0.1)), 0.51, 0.3),
        (Domain("quniform", (0.0, 0.5, 0.1)), 0.999, 0.5),
        (Domain("quniform", (16, 64, 16)), 0.999, 64),
    ],
)
def test_the_value_at_a_share(domain: Domain, share: float, value: Any) -> None:
    found = value_at(domain, share)
    assert found == value
    assert type(found) is type(value)


@given(st.floats(1e-6, 1e3), st.floats(1.001, 1e3), st.floats(0, 1, exclude_max=True))
def test_a_number_stays_within_its_bounds(low: float, factor: float, share: float) -> None:
    for kind in ("uniform", "loguniform"):
        assert low <= value_at(Domain(kind, (low, low * factor)), share) <= low * factor


def test_what_is_drawn_does_not_change_with_the_number_or_the_other_settings() -> None:
    eight = draws(SPACE, 8, "2020 BPR", {})
    assert draws(SPACE, 3, "2020 BPR", {}) == eight[:3]
    assert draws(SPACE, 8, "2021 BPR", {}) != eight
    two = {name: SPACE[name] for name in ("learning_rate", "dropout")}
    assert draws(two, 8, "2020 BPR", {}) == [{name: one[name] for name in two} for one in eight]


def test_all_are_different_and_none_is_the_first() -> None:
    small = {"a": Domain("choice", (1, 2, 3)), "b": Domain("choice", (0.0, None))}
    found = draws(small, 100, "1", {"a": 2, "b": None})
    assert len(found) == 5  # all there are
    assert sorted((one["a"], str(one["b"])) for one in found) == [
        (1, "0.0"), (1, "None"), (2, "0.0"), (3, "0.0"), (3, "None"),
    ]  # fmt: skip
    assert draws(small, 2, "1", {"a": 2, "b": None}) == found[:2]
    assert draws(small, 0, "1", {}) == draws({}, 3, "1", {}) == []


def test_a_range_is_drawn_from_evenly() -> None:
    rates = [math.log10(one["learning_rate"]) for one in draws(SPACE, 400, "1", {})]
    assert sum(rate < -3 for rate in rates) == pytest.approx(200, abs=40)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_weights_of_parts_can_be_off(file: Path) -> None:
    weights = ("weight", "alpha", "cl_loss", "ureg", "weight_decay", "embloss_weight", "alpha_contrast")
    for name, domain in read_space(file).items():
        if name.endswith(weights):
            assert 0.0 in domain.values, name
