"""Search spaces: two formats with the same meaning, nothing executed, messages that name the place and the cure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.utils import get_model

import recbole_mm  # noqa: F401 (its models)
from recbole_mm.base.errors import InputError
from recbole_mm.configuration.valid_names import known_keys, recbole_folder
from recbole_mm.settings.drawing import value_at
from recbole_mm.settings.names import properties_folder
from recbole_mm.settings.parameters import defaults, read_parameters
from recbole_mm.settings.space import Domain
from recbole_mm.settings.space_files import default_space, read_space
from recbole_mm.tuning.searching import ray_domain

SHIPPED = sorted((properties_folder() / "sweep").glob("*.yaml"))
MODELS = [
    *(
        "BM3",
        "BPR",
        "CCL4Rec",
        "FDSA",
        "FREEDOM",
        "GRU4Rec",
        "LATTICE",
        "LGMRec",
        "LightGCN",
        "MGCN",
        "MHCR",
        "MMHCL",
        "NGCF",
    ),
    *("NeuMF", "PGL", "SASRec", "SASRecF", "SEA", "SGL", "VBPR", "XSimGCL"),
]

YAML = """
learning_rate: {loguniform: [1.0e-4, 1.0e-2]}
dropout: {uniform: [0, 0.5]}
share: {quniform: [0.0, 1.0, 0.1]}
n_layers: {randint: [1, 4]}
embedding_size: {choice: [16, 32]}
learner: {choice: [adam, sgd]}
widths: {choice: [{image: 64}, null, [64, 64], true]}
"""
TEXT = f"""
# the same as RecBole has it
learning_rate loguniform {math.log(1e-4)!r},{math.log(1e-2)!r}
dropout uniform 0,0.5   # a comment

share quniform 0.0, 1.0, 0.1
n_layers randint 1,4
embedding_size choice [16,32]
learner choice ['adam', "sgd"]
widths choice [{{'image': 64}}, None, [64, 64], True]
"""
SPACE = {
    "learning_rate": Domain("loguniform", (1e-4, 1e-2)),
    "dropout": Domain("uniform", (0.0, 0.5)),
    "share": Domain("quniform", (0.0, 1.0, 0.1)),
    "n_layers": Domain("randint", (1, 4)),
    "embedding_size": Domain("choice", (16, 32)),
    "learner": Domain("choice", ("adam", "sgd")),
    "widths": Domain("choice", ({"image": 64}, None, [64, 64], True)),
}


def space_of(text: str, name: str = "mine.yaml") -> dict[str, Domain]:
    file = Path(name)
    file.write_text(text, encoding="utf-8")
    return read_space(file)


def refused(text: str, name: str = "mine.yaml") -> str:
    with pytest.raises(InputError) as caught:
        space_of(text, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_yaml() -> None:
    space = space_of(YAML)
    assert space == SPACE
    assert list(space) == list(SPACE)
    assert [type(value) for value in space["n_layers"].values] == [int, int]
    assert [type(value) for value in space["dropout"].values] == [float, float]


@pytest.mark.parametrize("name", ["hyper.test", "hyper.txt", "hyper"])
def test_recbole_text_gives_the_same_domains(name: str) -> None:
    space = space_of(TEXT, name)
    assert space["learning_rate"].values == pytest.approx((1e-4, 1e-2), rel=1e-14)
    assert space | {"learning_rate": SPACE["learning_rate"]} == SPACE


def test_loguniform_bounds_are_natural_logarithms_in_the_text() -> None:
    assert space_of("learning_rate loguniform -8,0", "hyper.test") == {
        "learning_rate": Domain("loguniform", (math.exp(-8), 1.0))
    }


def test_text_keeps_spaces_within_a_word_and_takes_tabs_between() -> None:
    assert space_of("name\tchoice  ['a  b']", "hyper.test") == {"name": Domain("choice", ("a  b",))}


numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
words = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
values = st.one_of(st.none(), st.booleans(), st.integers(-999, 999), numbers, words, st.lists(st.integers(0, 9)))


def both_formats(kind: str, given_: Any) -> tuple[dict[str, Domain], dict[str, Domain]]:
    text = ",".join(map(repr, given_)) if kind != "choice" else repr(given_)
    return space_of(yaml.safe_dump({"x": {kind: given_}})), space_of(f"x {kind} {text}", "hyper.test")


@settings(max_examples=50)
@given(st.lists(values, min_size=1, max_size=5))
def test_choices_are_the_same_in_both_formats(choices: list[Any]) -> None:
    from_yaml, from_text = both_formats("choice", choices)
    assert from_yaml == from_text == {"x": Domain("choice", tuple(choices))}


@given(numbers, numbers)
def test_bounds_are_the_same_in_both_formats(low: float, high: float) -> None:
    if low < high:
        assert both_formats("uniform", [low, high]) == ({"x": Domain("uniform", (low, high))},) * 2


@given(st.floats(-20, 20), st.floats(-20, 20))
def test_logarithms_come_back_from_the_text(low: float, high: float) -> None:
    if math.exp(low) < math.exp(high):
        space = space_of(f"x loguniform {low!r},{high!r}", "hyper.test")
        assert space == {"x": Domain("loguniform", (math.exp(low), math.exp(high)))}


@settings(max_examples=50)
@given(st.one_of(st.text(), st.text(st.sampled_from("x{}[]:,'\"0123456789 choiceunfrm#-\n"), max_size=40)))
def test_any_file_is_a_space_or_one_line(text: str) -> None:
    for name in ("any.yaml", "any.test"):
        Path(name).write_text(text, encoding="utf-8")
        try:
            space = read_space(Path(name))
        except InputError as error:
            message = str(error)
        else:
            message = name if space else ""
        assert message.startswith(name)
        assert "\n" not in message


@pytest.mark.parametrize(
    "line",
    [
        "x choice __import__('os').system('touch executed')",
        "x choice [__import__('os').system('touch executed')]",
        "x uniform __import__('os').system('touch executed'),1",
        "x choice (lambda: open('executed', 'w'))()",
        "x choice [open('executed', 'w')]",
    ],
)
def test_nothing_is_executed_in_text(line: str) -> None:
    assert refused(line, "hyper.test").startswith("hyper.test, line 1: ")
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    "text",
    [
        "x: {choice: !!python/object/apply:os.system ['touch executed']}",
        "x: {choice: [!!python/object/apply:os.system ['touch executed']]}",
    ],
)
def test_nothing_is_executed_in_yaml(text: str) -> None:
    assert refused(text).startswith("mine.yaml is not valid yaml: could not determine a constructor")
    assert not Path("executed").exists()


def test_what_looks_like_code_in_yaml_is_a_word() -> None:
    code = "__import__('os').system('touch executed')"
    assert space_of(f'x: {{choice: ["{code}"]}}') == {"x": Domain("choice", (code,))}
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.yaml must hold `setting: {kind: values}` lines"),
        ("- x", "mine.yaml must hold `setting: {kind: values}` lines"),
        ("{}", "mine.yaml: has no setting to search, such as learning_rate: {loguniform: [1.0e-4, 1.0e-2]}"),
        ("x: 5", "mine.yaml, x: write {kind: [values]}, such as {choice: [16, 32]}, not 5"),
        ("x: {choice: [1], uniform: [0, 1]}", "mine.yaml, x: write {kind: [values]}, such as {choice: [16, 32]}, not "
         "{'choice': [1], 'uniform': [0, 1]}"),
        ("x: {choise: [1]}", "mine.yaml, x: unknown distribution 'choise'; choose from choice, uniform, "
         "loguniform, quniform, randint. Did you mean 'choice'?"),
        ("x: {choice: 5}", "mine.yaml, x: choice needs a list [values], not 5"),
        ("x: {choice: []}", "mine.yaml, x: choice needs a list [values], not []"),
        ("x: {uniform: [1]}", "mine.yaml, x: uniform needs [low, high], not [1]"),
        ("x: {quniform: [0, 1]}", "mine.yaml, x: quniform needs [low, high, step], not [0, 1]"),
        ("x: {uniform: [1, 1]}", "mine.yaml, x: uniform needs low below high, not [1, 1]"),
        ("x: {loguniform: [0, 1]}", "mine.yaml, x: loguniform needs low above 0, not [0, 1]"),
        ("x: {quniform: [0, 1, 0]}", "mine.yaml, x: quniform needs a step above 0, not [0, 1, 0]"),
        ("x: {quniform: [0.001, 0.004, 0.005]}", "mine.yaml, x: quniform needs a multiple of step from low to high, "
         "not [0.001, 0.004, 0.005]"),
        ("x: {quniform: [1.0, 1.0e+300, 1.0e-300]}", "mine.yaml, x: quniform needs a multiple of step from low to "
         "high, not [1.0, 1e+300, 1e-300]"),
        ("x: {randint: [1, 2.5]}", "mine.yaml, x: randint needs whole numbers, not [1, 2.5]"),
        ("x: {uniform: [false, true]}", "mine.yaml, x: invalid number False"),
        ("x: {uniform: [0, .inf]}", "mine.yaml, x: invalid number inf"),
        ("x: {uniform: [0, .nan]}", "mine.yaml, x: invalid number nan"),
        ("x: {loguniform: [1e-4, 1.0]}", "mine.yaml, x: invalid number '1e-4': yaml wants a dot before the exponent, "
         "as in 1.0e-4"),
        ("x: {choice: [2020-99-99]}", "mine.yaml is not valid yaml: month must be in 1..12"),
    ],
)  # fmt: skip
def test_yaml_messages(text: str, message: str) -> None:
    assert refused(text) == message


def test_yaml_that_is_none_tells_the_line() -> None:
    message = refused("a: {choice: [1]}\nx: {choice: [1\n")
    assert message.startswith("mine.yaml is not valid yaml: ")
    assert "line 2" in message


def test_a_number_beyond_any_float_is_none() -> None:
    assert refused(f"x: {{uniform: [0, {10**400}]}}").endswith("000")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": has no setting to search, such as learning_rate: {loguniform: [1.0e-4, 1.0e-2]}"),
        ("x choice", ", line 1: write NAME KIND VALUES, such as learning_rate loguniform -8,0"),
        ("\n\nx choice [1]\nx choice [2]", ", line 4: duplicate setting x"),
        ("x choice [adam]", ", line 1: invalid values '[adam]': quote words, such as ['adam', 'sgd']"),
        ("x choice {[]: 1}", ", line 1: invalid values '{[]: 1}': quote words, such as ['adam', 'sgd']"),
        ("x uniforn 0,1", ", line 1: unknown distribution 'uniforn'; choose from choice, uniform, loguniform, "
         "quniform, randint. Did you mean 'uniform'?"),
        ("x uniform 0", ", line 1: uniform needs [low, high], not [0]"),
        ("x uniform 'a',1", ", line 1: invalid number 'a'"),
        ("x loguniform 'a',1", ", line 1: invalid number 'a'"),
        ("x loguniform 0,1000", ", line 1: bounds of loguniform are natural logarithms here, and e^1000 is not finite"),
    ],
)  # fmt: skip
def test_text_messages(text: str, message: str) -> None:
    assert refused(text, "hyper.test") == f"hyper.test{message}"


def test_a_file_that_cannot_be_read() -> None:
    with pytest.raises(InputError, match=r"^--space: gone\.yaml cannot be read \(.*No such file"):
        read_space(Path("gone.yaml"))
    Path("mine.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"^--space: mine\.yaml cannot be read \("):
        read_space(Path("mine.yaml"))


def test_sampled_and_gridded() -> None:
    layers = Domain("randint", (1, 3))
    assert {ray_domain(layers).sample() for _ in range(50)} == {1, 2, 3}
    assert layers.grid("n_layers") == [1, 2, 3]
    assert SPACE["learner"].grid("learner") == ["adam", "sgd"]
    assert ray_domain(SPACE["learner"]).categories == ["adam", "sgd"]
    rate = ray_domain(SPACE["learning_rate"])
    assert (rate.lower, rate.upper) == (1e-4, 1e-2)
    with pytest.raises(InputError, match=r"^--search=grid: lr is uniform, which has no grid: write it as choice"):
        Domain("uniform", (0.0, 1.0)).grid("lr")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ((0.001, 0.02, 0.005), [0.005, 0.01, 0.015, 0.02]),
        ((0.0, 0.55, 0.1), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        ((0.3, 0.7, 0.1), [0.3, 0.4, 0.5, 0.6, 0.7]),  # 0.3 / 0.1 is below 3, and 7 * 0.1 above 0.7
        ((0.006, 0.014, 0.005), [0.01]),
        ((-0.05, 0.25, 0.1), [0.0, 0.1, 0.2]),
        ((1, 10, 3), [3, 6, 9]),
        ((1, 3, 1), [1, 2, 3]),
    ],
)
def test_multiples_of_a_step_lie_within_the_ends(values: Any, found: list[Any]) -> None:
    domain = space_of(f"x: {{quniform: {list(values)}}}")["x"]
    assert domain.described() == {"quniform": list(values)}
    assert domain.ends() == (found[0], found[-1])
    sampled = ray_domain(domain).sample(size=500, random_state=1)
    assert sorted({round(value, 12) for value in sampled}) == found
    assert {value_at(domain, share / 500) for share in range(500)} == set(found)


def test_default_spaces() -> None:
    assert [file.stem for file in SHIPPED] == MODELS
    assert default_space("MHCR") == properties_folder() / "sweep" / "MHCR.yaml"
    assert default_space("Pop") is None


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_default_space_has_settings_that_its_model_knows_and_takes(file: Path) -> None:
    model, space = get_model(file.stem), read_space(file)
    assert 3 <= len(space) <= 9
    assert set(space) <= known_keys(model)
    declaration = getattr(model, "parameter_class", None)
    for name, domain in space.items() if declaration else ():
        for value in domain.values[:2] if domain.kind == "quniform" else domain.values:
            read_parameters(declaration, {name: value}, where=file.name)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_default_space_is_around_the_defaults(file: Path) -> None:
    recbole, pack = recbole_folder() / "properties", properties_folder()
    default = defaults(getattr(get_model(file.stem), "parameter_class", None) or Empty)
    for yaml_file in (recbole / "overall.yaml", *(each / "model" / file.name for each in (recbole, pack))):
        if yaml_file.is_file():
            default |= yaml.load(yaml_file.read_text(encoding="utf-8"), Loader=RecBoleNumbers)
    for name, domain in read_space(file).items():
        low_to_high = domain.kind != "choice" and domain.values[0] <= default[name] <= domain.values[1]
        assert low_to_high or default[name] in domain.values, name


@dataclass
class Empty:
    """Of a model that declares no parameters."""


class RecBoleNumbers(yaml.SafeLoader):
    """Takes 1e-5 for a number, as RecBole does."""


RecBoleNumbers.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[0-9.]+e[-+]?[0-9]+$"), list("0123456789")
)
