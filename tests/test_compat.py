"""RecBole on today's libraries: each symptom of RecBole alone, and what becomes of it with recbole_mm."""

from __future__ import annotations

import inspect
import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import symptoms
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from new_process import python
from ray import tune

from recbole_mm.base.errors import InputError
from recbole_mm.recbole_bridge import stack, table

# isort: split
from recbole.config import Config
from recbole.data.utils import create_dataset
from recbole.model.loss import BPRLoss
from recbole.quick_start import load_data_and_model, quick_start, run_recbole
from recbole.utils import get_trainer

from recbole_mm.recbole_bridge.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow  # left out by `make quick`


Outcomes = dict[str, Any]
NAN = math.nan
PAD = -9223372036854775808


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcomes]:
    """Return the outcomes of RecBole `alone` and of RecBole imported before recbole_mm, `late`."""
    outputs = {
        mode: python(symptoms.__file__, mode, cwd=tmp_path_factory.mktemp(mode)).stdout for mode in ("alone", "late")
    }
    return {mode: json.loads(output.splitlines()[-1]) for mode, output in outputs.items()}


# What RecBole alone does (an exception's first words, or a wrong value), and what it does with recbole_mm.
SYMPTOMS = {
    "config": ("AttributeError: `np.float_` was removed", "BPR"),
    "names_in_numpy": (["complex", "float", "int", "object", "str", "unicode"], []),
    "metric_type": (["float64"], ["float"]),
    "coverage": (
        "AttributeError: 'int' object has no attribute 'cpu'",
        [["itemcoverage@3", "averagepopularity@3"]] * 2,
    ),
    "adjacency": (
        "AttributeError: 'dok_matrix' object has no attribute '_update'",
        [  # u1 and i2 have degree 2, u2 and i1 degree 1: 1 / sqrt(2 * 1) and 1 / sqrt(2 * 2)
            [0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0.70711, 0.5],
            [0, 0, 0, 0, 0, 0.70711],
            [0, 0, 0, 0, 0, 0],
            [0, 0.70711, 0, 0, 0, 0],
            [0, 0.5, 0.70711, 0, 0, 0],
        ],
    ),
    "missing_sequence": (
        "AttributeError: 'float' object has no attribute 'split'",
        {"tags": [[0, 0, 0], [1, 2, 0], [0, 0, 0], [2, 3, 4]]},
    ),
    "missing_float_sequence": (
        "AttributeError: 'float' object has no attribute 'split'",
        {"emb": [[0, 0], [1, 2], [0, 0], [3, 0]]},
    ),
    "only_missing_sequences": (
        "AttributeError: 'float' object has no attribute 'split'",
        {"year": [2, 1, 2, 3], "tags": [[], [], [], []]},
    ),
    "full_sequence": (
        "ValueError: Length of values (1) does not match",
        {"tags": [[0, 0, 0], [1, 2, 0], [3, 0, 0], [2, 1, 4]]},
    ),
    "normalised_sequence": (
        "ValueError: Length of values (1) does not match",
        {"emb": [[0, 0], [0, 0.25], [1, 0], [0.5, 0]]},
    ),
    "missing_values": (
        {"year": [NAN, 1990, NAN, 2000], "cat": [PAD, 1, 2, 0]},
        {"year": [1995, 1990, 1995, 2000], "cat": [0, 1, 2, 0]},
    ),
    "normalised_missing_values": (
        {"year": [NAN, NAN, NAN, NAN], "cat": [PAD, 1, 2, 0]},
        {"year": [0.5, 0, 0.5, 1], "cat": [0, 1, 2, 0]},
    ),
    "column_types": (["str", "float64", "str", "object"], ["object", "float64", "object", "object"]),
    "shares_memory": (True, False),
    "checkpoint": ("UnpicklingError: Weights only load failed", 4),
    "reload": ("UnpicklingError: Weights only load failed", True),
    "tune_report": ("TypeError: ", [["mrr@3", "recall@3"]]),
    "changed_file": ([40, 40], [40, 41]),
    "changed_split": ([24, 8, 8], [16, 8, 16]),
    "evil_caches": ([True, True], [False, False]),
    "command_line": (
        [True, None, [1, 2], 0.001, True, None, {"a": 1}, True, "word", 2, "(("],
        [False, "__import__('os').mkdir('ran')", [1, 2], 0.001, True, None, {"a": 1}, True, "word", "1+1", "(("],
    ),
    "sweep_file": ([True, {"a": [1, "x"]}], [False, {"a": [1, "x"]}]),
    "teacher": ([True, True], [False, True]),
    "anomaly_mode": (True, False),
}


def test_every_symptom_is_expected() -> None:
    assert list(SYMPTOMS) == [function.__name__ for function in symptoms.SYMPTOMS]


@pytest.mark.parametrize("function", symptoms.SYMPTOMS)
def test_symptom_is_cured(function: Any, tmp_path: Path) -> None:
    assert symptoms.outcome(function, tmp_path) == SYMPTOMS[function.__name__][1]


@pytest.mark.parametrize("name", SYMPTOMS)
def test_symptom_is_cured_where_recbole_was_imported_before(name: str, processes: dict[str, Outcomes]) -> None:
    assert processes["late"][name] == SYMPTOMS[name][1]


# pandas 2 has no symptom to cure
PANDAS_3 = {"missing_sequence", "missing_float_sequence", "only_missing_sequences", "full_sequence"} | {
    "normalised_sequence", "missing_values", "normalised_missing_values", "column_types", "shares_memory"
}  # fmt: skip


@pytest.mark.parametrize("name", SYMPTOMS)
def test_recbole_alone_has_the_symptom(name: str, processes: dict[str, Outcomes]) -> None:
    if name in PANDAS_3 and int(pd.__version__.split(".")[0]) < 3:
        pytest.skip("pandas 2")
    found, expected = processes["alone"][name], SYMPTOMS[name][0]
    if isinstance(expected, str):
        assert found.startswith(expected)
    elif isinstance(expected, dict):
        assert {field: pytest.approx(column, nan_ok=True) for field, column in expected.items()} == found
    else:
        assert found == expected


# Nobody but RecBole sees a shim


def test_the_libraries_stay_as_they_are() -> None:
    assert {"float", "int", "object", "str", "unicode", "float_"}.isdisjoint(vars(np))
    assert not hasattr(sp.dok_matrix, "_update")
    assert pd.read_csv.__module__.startswith("pandas")
    if int(pd.__version__.split(".")[0]) >= 3:
        assert pd.Series([[1, 2], [3]]).agg(len) == 2
    assert (torch.load.__module__, torch.save.__module__) == ("torch.serialization", "torch.serialization")
    assert torch.LongTensor([1]).dtype == torch.int64
    assert os.path.exists(__file__)
    assert eval("1 + 1") == 2


def test_a_second_apply_changes_nothing() -> None:
    before, load = list(sys.meta_path), quick_start.load_data_and_model
    table.apply()
    assert sys.meta_path == before
    assert quick_start.load_data_and_model is load


@pytest.mark.parametrize("model", ["NGCF", "SpectralCF", "GCMC"])
def test_other_models_with_a_dok_matrix_are_built(model: str, tmp_path: Path) -> None:
    trainer, (train, *_) = symptoms.make(tmp_path, model)
    assert torch.isfinite(trainer.model.calculate_loss(next(iter(train)))).all()


# Checkpoints


@pytest.fixture
def checkpoint(tmp_path: Path) -> Any:
    """Return a trainer, its checkpoint's path, and the test data."""
    trainer, (_, _, test) = symptoms.make(tmp_path)
    trainer._save_checkpoint(0, verbose=False, saved_model_file=tmp_path / "bpr.pth")
    return SimpleNamespace(trainer=trainer, file=tmp_path / "bpr.pth", test=test)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the keyword arguments of every torch.load; pickle's own loaders are out of order."""
    seen, load = [], torch.load

    def spy(file: Any, **arguments: Any) -> Any:
        seen.append(arguments)
        return load(file, **arguments)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("pickle was asked to load")

    monkeypatch.setattr(torch, "load", spy)
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    return seen


def test_a_checkpoint_is_read_with_the_weights_only_check(checkpoint: Any, loads: list[dict[str, Any]]) -> None:
    state = load_checkpoint(checkpoint.file, map_location="cpu")
    assert loads == [{"map_location": "cpu", "weights_only": True}]
    assert isinstance(state["config"], Config)
    assert state["config"].final_config_dict == checkpoint.trainer.config.final_config_dict
    weights = checkpoint.trainer.model.state_dict()
    assert state["state_dict"].keys() == weights.keys()
    assert all(torch.equal(state["state_dict"][name], weights[name]) for name in weights)


def test_recbole_reads_checkpoints_with_the_weights_only_check(checkpoint: Any, loads: list[dict[str, Any]]) -> None:
    checkpoint.trainer.resume_checkpoint(checkpoint.file)
    checkpoint.trainer.evaluate(checkpoint.test, model_file=checkpoint.file)
    assert [arguments["weights_only"] for arguments in loads] == [True, True]
    load_data_and_model(str(checkpoint.file))
    assert len(loads) == 3
    assert loads[2].get("weights_only") is not False


def admitted() -> list[Any]:
    """Return what torch.load admits now besides torch's own classes."""
    entries = torch.serialization.get_safe_globals()
    return [entry for entry in entries if not getattr(entry, "__module__", "").startswith("torch")]


def test_nothing_is_admitted_after_a_load(checkpoint: Any) -> None:
    load_checkpoint(checkpoint.file)
    load_data_and_model(str(checkpoint.file))
    assert admitted() == []


def test_what_the_user_admits_stays_admitted(checkpoint: Any) -> None:
    with torch.serialization.safe_globals([Config]):
        load_checkpoint(checkpoint.file)
        assert admitted() == [Config]


READERS = {
    "load_checkpoint": lambda file, trainer: load_checkpoint(file),
    "resume_checkpoint": lambda file, trainer: trainer.resume_checkpoint(file),
    "load_data_and_model": lambda file, trainer: load_data_and_model(str(file)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("place", ["config", "other_parameter", "extra"])
def test_a_checkpoint_that_would_run_code_is_refused(reader: str, place: str, checkpoint: Any, tmp_path: Path) -> None:
    state = torch.load(checkpoint.file, weights_only=True)
    torch.save({**state, place: symptoms.Attack(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(
        InputError, match=r"evil\.pth: it asks for \w+\.mkdir, which could run code, and was not opened"
    ):
        READERS[reader](tmp_path / "evil.pth", checkpoint.trainer)
    assert not (tmp_path / "ran").exists()
    assert admitted() == []
    torch.load(tmp_path / "evil.pth", weights_only=False)  # the attack is real
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "guest",
    [SimpleNamespace(), BPRLoss(), BPRLoss, subprocess.Popen, create_dataset, Path("x"), eval],
    ids=["object", "module", "RecBole's class", "class", "RecBole's function", "path", "function"],
)
def test_what_recbole_does_not_save_is_refused(guest: Any, tmp_path: Path) -> None:
    torch.save({"config": guest}, tmp_path / "guest.pth")
    with pytest.raises(InputError, match=r"guest\.pth: it asks for .*, which could run code, and was not opened"):
        load_checkpoint(tmp_path / "guest.pth")


def test_a_checkpoint_is_replaced_at_once(checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = checkpoint.file.read_bytes()

    write = Path.write_bytes

    def half(file: Path, content: bytes) -> None:
        write(file, content[: len(content) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", half)
    checkpoint.trainer.saved_model_file = str(checkpoint.file)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.trainer._save_checkpoint(0, verbose=False)
    assert checkpoint.file.read_bytes() == before
    assert [file.name for file in checkpoint.file.parent.glob("*.tmp")] == []


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("reader", READERS)
def test_a_checkpoint_of_recbole_alone_says_what_to_do(
    reader: str, protocol: int, checkpoint: Any, tmp_path: Path
) -> None:
    state = {**torch.load(checkpoint.file, weights_only=True), "config": checkpoint.trainer.config}
    torch.save(state, tmp_path / "old.pth", pickle_protocol=protocol)
    with pytest.raises(InputError, match=r"old\.pth: not readable without .* import recbole_mm before training"):
        READERS[reader](tmp_path / "old.pth", checkpoint.trainer)


@pytest.mark.parametrize("kind", ["pickle", "zip", "text"])
def test_what_is_no_checkpoint_is_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    attack = pickle.dumps(symptoms.Attack(tmp_path / "ran"))
    file.write_bytes({"pickle": attack, "zip": b"PK\x03\x04 cut off", "text": b"user_id"}[kind])
    with pytest.raises(InputError, match=r"x\.pth: not a checkpoint of RecBole"):
        load_checkpoint(file)
    assert not (tmp_path / "ran").exists()


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    from recbole.model.general_recommender import ldiffrec

    np.save(tmp_path / "item_emb.npy", np.array([symptoms.Attack(tmp_path / "ran")]), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        ldiffrec.np.load(tmp_path / "item_emb.npy", allow_pickle=True)
    assert not (tmp_path / "ran").exists()


# Ray


def test_tune_takes_one_dictionary_today() -> None:
    signature = inspect.signature(tune.report)
    signature.bind({"recall@10": 0.1})
    with pytest.raises(TypeError):
        signature.bind(**{"recall@10": 0.1})


def test_tune_report_is_changed_only_where_it_takes_no_keywords() -> None:
    received: list[Any] = []
    today: Any = SimpleNamespace(tune=SimpleNamespace(__name__="tune", report=received.append))
    stack.tune_report(today)
    today.tune.report(**{"recall@10": 0.1, "mrr@10": 0.2})
    assert received == [{"recall@10": 0.1, "mrr@10": 0.2}]

    old = SimpleNamespace(__name__="tune", report=lambda **metrics: received.append(metrics))
    module: Any = SimpleNamespace(tune=old)
    stack.tune_report(module)
    assert module.tune is old


# Settings

literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=25)
@given(literals)
def test_a_literal_becomes_its_value(value: Any) -> None:
    convert = Config._convert_config_dict
    assert convert(None, {"x": repr(value)}) == {"x": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[Recall,NDCG]", ["Recall", "NDCG"]),
        ("[ Recall , GAUC ]", ["Recall", "GAUC"]),
        ("[Recall@10]", ["Recall@10"]),
        ("[words, 3, None, 1e-3]", ["words", 3, None, 1e-3]),
        ("[2024-01-02]", ["2024-01-02"]),
        ("[a b]", "[a b]"),
        ("[a,]", "[a,]"),
        ("[a, [b]]", "[a, [b]]"),
    ],
)
def test_a_list_of_plain_words_is_a_list(text: str, value: Any) -> None:
    assert Config._convert_config_dict(None, {"x": text}) == {"x": value}


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(["print", "os", "().__class__", "[x for x in (1,)]", "(lambda: 1)()", "f'{1}'"]), literals)
def test_an_expression_stays_text(expression: str, value: Any) -> None:
    text = f"{expression} if True else {value!r}"
    assert Config._convert_config_dict(None, {"x": text}) == {"x": text}


# RecBole's own models on ml-100k: its last interactions, so that all six take seconds

SMALL = {
    "val_interval": {"timestamp": "[891000000,inf)"},
    "epochs": 2,
    "train_batch_size": 4096,
    "learning_rate": 0.01,
    "embedding_size": 8,
    "show_progress": False,
    "gpu_id": "",
}
MODELS: dict[str, dict[str, Any]] = {
    "BPR": {},
    "LightGCN": {"n_layers": 1},
    "NGCF": {"hidden_size_list": [8]},
    "SASRec": {
        "MAX_ITEM_LIST_LENGTH": 5,
        "hidden_size": 8,
        "inner_size": 8,
        "n_layers": 1,
        "n_heads": 1,
    },
    "FM": {},
    "CKE": {"kg_embedding_size": 8},
}


@pytest.mark.parametrize("model", MODELS)
def test_models_of_recbole_train_and_reload(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trainers = []

    class Recorder:
        def __init__(self, *names: Any) -> None:
            self.trainer_class = get_trainer(*names)

        def __call__(self, *given: Any) -> Any:
            trainers.append(self.trainer_class(*given))
            return trainers[-1]

    monkeypatch.setattr(quick_start, "get_trainer", Recorder)
    result = run_recbole(model=model, dataset="ml-100k", config_dict={**SMALL, **MODELS[model]})
    trained = trainers[0].model
    metrics = {**result["best_valid_result"], **result["test_result"]}
    assert "auc" in metrics if model == "FM" else "recall@10" in metrics
    assert all(type(value) is float and math.isfinite(value) for value in metrics.values())
    assert trainers[0].train_loss_dict[1] < trainers[0].train_loss_dict[0]

    config, reloaded, _, _, _, test = load_data_and_model(trainers[0].saved_model_file)
    score = "predict" if model == "FM" else "full_sort_predict"
    batch = next(iter(test))[0]
    trained.eval(), reloaded.eval()
    with torch.no_grad():
        scores = getattr(reloaded, score)(batch)
        assert torch.equal(scores, getattr(trained, score)(batch))
    assert scores.std() > 0
    again = get_trainer(config["MODEL_TYPE"], model)(config, reloaded)
    assert again.evaluate(test, load_best_model=False) == result["test_result"]


@pytest.mark.parametrize("model", ["EASE", "ItemKNN", "SLIMElastic"])
def test_item_item_models_keep_their_matrices_in_the_checkpoint(model: str) -> None:
    data = {"data_path": str(Path(__file__).parents[1] / "dataset"), "use_gpu": False, "show_progress": False}
    result = run_recbole(model=model, dataset="microvideo", config_dict=data)
    (file,) = Path("saved").glob("*.pth")
    config, reloaded, _, _, _, test = load_data_and_model(str(file))
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, reloaded)
    assert trainer.evaluate(test, load_best_model=False) == result["test_result"]
    assert result["test_result"]["recall@10"] > 0.2


def test_an_object_in_an_array_is_refused_like_any_other(tmp_path: Path) -> None:
    attack = np.array([symptoms.Attack(tmp_path / "ran")], dtype=object)
    torch.save({"other_parameter": {"matrix": attack}}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match=r"evil\.pth: it asks for \w+\.mkdir"):
        load_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
