"""Parameters declared once: types, ranges, choices, and messages that name the key and the place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mm.base.errors import InputError
from recbole_mm.configuration.request import Request, configure
from recbole_mm.inspection.walk import inspect
from recbole_mm.settings.parameters import defaults, parameter, read_parameters
from recbole_mm.training.run import run


@dataclass(frozen=True, slots=True)
class Declared:
    size: int = parameter(64, "width of an embedding", low=1)
    rate: float = parameter(0.5, "share that is kept", low=0.0, high=1.0)
    frozen: bool = parameter(False, "keep the features")
    reading: str = parameter("paper", "which equation", choices=("paper", "released"))
    name: str = parameter("", "any word")
    slope: float = parameter(0.0, "any number", high=2.0)
    edges: list[int] = parameter([1, 10], "where groups begin", low=1)


def refused(**given_: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_parameters(Declared, given_, where="mine.yaml")
    return str(caught.value)


def test_defaults() -> None:
    expected = {
        "size": 64,
        "rate": 0.5,
        "frozen": False,
        "reading": "paper",
        "name": "",
        "slope": 0.0,
        "edges": [1, 10],
    }
    assert defaults(Declared) == expected
    assert read_parameters(Declared, {}) == Declared()


def test_none_means_the_default_and_unknown_keys_are_not_read() -> None:
    assert read_parameters(Declared, {"size": None, "rate": None, "epochs": "x"}) == Declared()


def test_given_values_win_and_those_that_look_empty_are_given() -> None:
    values = read_parameters(Declared, {"size": 1, "rate": 0.0, "frozen": True, "reading": "released", "name": "x"})
    assert values == Declared(1, 0.0, True, "released", "x")
    assert read_parameters(Declared, {"frozen": False, "name": ""}) == Declared()


def test_a_whole_number_is_a_number() -> None:
    rate = read_parameters(Declared, {"rate": 1}).rate
    assert rate == 1.0
    assert type(rate) is float


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("size", 1.0, "a whole number"),
        ("size", "64", "a whole number"),
        ("size", True, "a whole number"),
        ("size", [64], "a whole number"),
        ("edges", 5, "a list like [1, 10]"),
        ("edges", [], "a list like [1, 10]"),
        ("rate", "0.5", "a number"),
        ("rate", False, "a number"),
        ("frozen", 1, "true or false"),
        ("frozen", "yes", "true or false"),
        ("reading", 1, "text"),
        ("name", True, "text"),
    ],
)
def test_a_wrong_type_names_key_place_and_value(key: str, value: Any, kind: str) -> None:
    message = refused(**{key: value})
    assert message.startswith(f"mine.yaml: {key} must be {kind}, not {value!r} (")
    assert key == "edges" or f"default {getattr(Declared(), key)!r}" in message


def test_entries_of_a_list_are_checked_one_by_one() -> None:
    assert read_parameters(Declared, {"edges": [3]}).edges == [3]
    assert refused(edges=[1, "2"]).startswith("mine.yaml: edges must be a whole number, not '2'")
    assert refused(edges=[0, 2]).startswith("mine.yaml: edges must be at least 1, not 0")


@pytest.mark.parametrize(
    ("key", "value", "limits"),
    [
        ("size", 0, "at least 1"),
        ("rate", -0.01, "between 0.0 and 1.0"),
        ("rate", 1.01, "between 0.0 and 1.0"),
        ("rate", float("nan"), "between 0.0 and 1.0"),
        ("rate", float("inf"), "between 0.0 and 1.0"),
        ("slope", 2.5, "at most 2.0"),
    ],
)
def test_a_value_out_of_range_names_key_place_and_range(key: str, value: float, limits: str) -> None:
    message = refused(**{key: value})
    assert message.startswith(f"mine.yaml: {key} must be {limits}, not {value!r} (")


@pytest.mark.parametrize(("key", "value"), [("size", 1), ("rate", 0.0), ("rate", 1.0), ("slope", 2.0)])
def test_the_ends_of_a_range_belong_to_it(key: str, value: float) -> None:
    assert getattr(read_parameters(Declared, {key: value}), key) == value


def test_an_unknown_choice_names_the_choices_and_the_nearest() -> None:
    assert refused(reading="relased") == (
        "mine.yaml: reading must be one of paper, released, not 'relased'. Did you mean 'released'?"
    )
    assert refused(reading="x") == "mine.yaml: reading must be one of paper, released, not 'x'."


def test_without_a_place_the_configuration_is_named() -> None:
    with pytest.raises(InputError, match=r"^the configuration: size must be at least 1, not 0 "):
        read_parameters(Declared, {"size": 0})


@settings(deadline=None, max_examples=25)
@given(rate=st.floats(allow_nan=True, allow_infinity=True))
def test_only_numbers_within_the_range_get_through(rate: float) -> None:
    try:
        assert read_parameters(Declared, {"rate": rate}).rate == rate
        accepted = True
    except InputError:
        accepted = False
    assert accepted == (0 <= rate <= 1)


@dataclass(frozen=True, slots=True)
class ByModality:
    weights: dict[str, float] = parameter({"image": 0.5}, "weight of each modality", low=0.0)


def test_values_by_modality() -> None:
    assert read_parameters(ByModality, {"weights": {"image": 1, "text": 0.25}}).weights == {"image": 1.0, "text": 0.25}
    assert read_parameters(ByModality, {"weights": {}}).weights == {}
    assert read_parameters(ByModality, {}).weights == defaults(ByModality)["weights"] == {"image": 0.5}


def test_a_default_by_modality_is_nobody_s_to_change() -> None:
    read_parameters(ByModality, {}).weights["image"] = 3.0
    defaults(ByModality)["weights"]["text"] = 3.0
    assert read_parameters(ByModality, {}).weights == {"image": 0.5}


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"text": -1}, "mine.yaml, text: weights must be at least 0.0, not -1.0"),
        ({"text": "much"}, "mine.yaml, text: weights must be a number, not 'much'"),
        (0.5, "mine.yaml: weights must be a mapping"),
    ],
)
def test_values_by_modality_are_checked_one_by_one(given_: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_parameters(ByModality, {"weights": given_}, where="mine.yaml")
    assert message in str(caught.value)


@dataclass(frozen=True, slots=True)
class WordOrNumber:
    negatives: int | str = parameter("batch", "what it contrasts with", choices=("all", "batch"), low=1)


@pytest.mark.parametrize("value", ["all", "batch", 1, 512])
def test_a_word_or_a_number(value: int | str) -> None:
    assert read_parameters(WordOrNumber, {"negatives": value}).negatives == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "negatives must be at least 1, not 0"),
        ("bath", "negatives must be one of all, batch, not 'bath'. Did you mean 'batch'?"),
        (True, "negatives must be all, batch or a whole number, not True"),
        (1.5, "negatives must be all, batch or a whole number, not 1.5"),
        (["all"], "negatives must be all, batch or a whole number, not ['all']"),
    ],
)
def test_neither_that_word_nor_that_number(value: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_parameters(WordOrNumber, {"negatives": value}, where="mine.yaml")
    assert str(caught.value).startswith(f"mine.yaml: {message}")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("knn_k", 0, "knn_k must be at least 1, not 0"),
        ("tau", -3, "tau must be at least 1e-06, not -3.0"),
        ("hyper_num", "many", "hyper_num must be a whole number, not 'many'"),
    ],
)
@pytest.mark.parametrize("command", [configure, run, inspect])
def test_a_models_parameters_are_checked_before_its_data_are_looked_for(
    command: Any, key: str, value: object, message: str
) -> None:
    try:
        found = command(Request("MHCR", "toy", settings={"data_path": "nowhere", key: value}))
        text = "\n".join(problem.text for problem in found.problems.errors)  # inspect tells all at once
    except InputError as error:
        text = str(error)
        assert "nowhere" not in text
    assert f"the configuration: {message}" in text
