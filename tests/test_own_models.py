"""RecBole's own models through the pack: they train, are loaded again, or say in a line what they need."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import symptoms
import torch
from training import train

from benchmarks import all_columns
from recbole_mm.base.errors import InputError
from recbole_mm.configuration.request import Request, configure
from recbole_mm.recbole_bridge import own_models
from recbole_mm.training.build import build_trainer
from recbole_mm.training.run import run

# isort: split
from recbole.config import Config
from recbole.model.knowledge_aware_recommender import KGAT
from recbole.quick_start import load_data_and_model, run_recbole
from recbole.trainer import hyper_tuning
from recbole.utils import InputType, get_model

pytestmark = pytest.mark.slow  # left out by `make quick`


SMALL: dict[str, Any] = {
    "embedding_size": 4,
    "hidden_size": 8,
    "inner_size": 8,
    "n_layers": 1,
    "n_heads": 1,
    "mlp_hidden_size": [8],
}
SMALL |= {"MAX_ITEM_LIST_LENGTH": 4, "n_memory": 4, "train_batch_size": 4096, "learning_rate": 0.01}
LATE = {"val_interval": {"timestamp": "[8000,inf)"}}


@pytest.fixture(scope="module")
def data_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return where the dataset with all columns lies."""
    return str(all_columns.write(tmp_path_factory.mktemp("data")).parent)


def asked(model: str, data_path: str, **settings: Any) -> Request:
    keys = {"data_path": data_path, "use_gpu": False, "epochs": 1, **settings}
    return Request(model=model, dataset=all_columns.NAME, settings=keys)


class TestCheckpoints:
    @pytest.mark.parametrize("model", ["SASRecF", "GRU4RecF", "FDSA", "DIN", "DIEN", "RippleNet"])
    def test_what_is_loaded_scores_as_what_was_saved(self, model: str, data_path: str, tmp_path: Path) -> None:
        done = train(model, all_columns.NAME, **{**SMALL, **LATE, "data_path": data_path, "epochs": 1})
        file, test = tmp_path / "saved.pth", done.loaders[2]
        done.trainer._save_checkpoint(0, verbose=False, saved_model_file=file)
        _, loaded, *_ = load_data_and_model(str(file))
        other = train(model, all_columns.NAME, **{**SMALL, **LATE, "data_path": data_path, "epochs": 0, "seed": 3})
        other.trainer.evaluate(test, model_file=file)

        batch = next(iter(test))[0]
        score = "predict" if model in ("DIN", "DIEN") else "full_sort_predict"
        with torch.no_grad():
            scores = [getattr(one.eval(), score)(batch) for one in (done.model, loaded, other.model)]
        assert scores[0].std() > 0
        assert torch.equal(scores[1], scores[0])
        assert torch.equal(scores[2], scores[0])

    def test_only_modules_with_saved_weights_are_left_out(self) -> None:
        part = torch.nn.Linear(2, 1)
        weights = {f"part.{name}": weight for name, weight in part.state_dict().items()}
        sets = defaultdict(list, {3: [torch.ones(1)]})
        other = {"part": part, "elsewhere": part, "sets": sets, "number": 5}
        kept = own_models.loadable({"state_dict": weights, "other_parameter": other})["other_parameter"]
        assert kept == {"elsewhere": part, "sets": {3: [torch.ones(1)]}, "number": 5}
        assert type(kept["sets"]) is dict
        assert other.keys() > kept.keys(), "the model's own is left alone"

    @pytest.mark.parametrize("state", [{"other_parameter": None}, {"weights": 1}, [1, 2]])
    def test_other_states_are_saved_as_they_are(self, state: Any) -> None:
        assert own_models.loadable(state) is state


class TestDefaults:
    def test_negatives_stay_on_where_the_class_says_what_it_takes(self, tmp_path: Path) -> None:
        symptoms.write(tmp_path, symptoms.ROWS)
        config = Config("SINE", "toy", config_dict={"data_path": str(tmp_path), "use_gpu": False})
        assert config["MODEL_INPUT_TYPE"] == InputType.PAIRWISE
        assert config["train_neg_sample_args"]["distribution"] == "uniform"
        config = Config("SASRec", "toy", config_dict={"data_path": str(tmp_path), "use_gpu": False})
        assert config["train_neg_sample_args"]["distribution"] == "none"

    def test_sine_trains_on_its_own(self, data_path: str) -> None:
        result = run(asked("SINE", data_path, **LATE, MAX_ITEM_LIST_LENGTH=4))
        assert result["status"] == "finished"
        assert all(math.isfinite(value) for value in result["test"].values())


class TestPopularity:
    @pytest.mark.parametrize("negatives", [None, {"distribution": "uniform", "sample_num": 2}])
    def test_interactions_are_counted_and_nothing_else(self, negatives: dict[str, Any] | None) -> None:
        done = train("Pop", epochs=1, train_neg_sample_args=negatives, train_batch_size=500)
        interactions = done.loaders[0]._dataset.inter_feat["item_id"]
        counts = torch.bincount(interactions, minlength=done.model.n_items)
        assert torch.equal(done.model.item_cnt[:, 0], counts)
        assert counts.max() > len(interactions) / 500  # more than there are batches
        assert done.model.max_cnt == counts.max()


class TestClusters:
    def test_more_than_users_are_refused_before_training(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"num_clusters is 1000, but 'toy' has 8 users and 10 items.*=8 or less"):
            symptoms.make(tmp_path, "NCL")

    def test_as_many_as_users_are_not(self, tmp_path: Path) -> None:
        trainer, _ = symptoms.make(tmp_path, "NCL", num_clusters=8)
        assert trainer.model.k == 8


class TestPretraining:
    KEYS: ClassVar[dict[str, Any]] = {
        **LATE,
        "MAX_ITEM_LIST_LENGTH": 4,
        "hidden_size": 8,
        "inner_size": 8,
        "save_step": 2,
        "epochs": 7,
    }

    def test_its_end_is_saved_tested_and_resumed(self, data_path: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING)
        result = run(asked("S3Rec", data_path, **self.KEYS, pretrain_epochs=3))
        assert (result["status"], result["epochs"]) == ("finished", 3)
        assert [file.name for file in sorted(Path(result["folder"]).glob("*.pth"))] == [
            f"S3Rec-{all_columns.NAME}-{n}.pth" for n in (2, 3)
        ]
        assert result["checkpoint"].endswith("-3.pth")
        (line,) = (record.message for record in caplog.records if "pretrain_epochs" in record.message)
        assert line.startswith("S3Rec: train_stage is 'pretrain', which takes pretrain_epochs=3 epochs")
        assert "epochs=7 is for train_stage 'finetune'" in line

        resumed = asked("S3Rec", data_path, **self.KEYS, pretrain_epochs=4)
        more = run(Request(resumed.model, resumed.dataset, (), resumed.settings, result["checkpoint"]))
        straight = run(asked("S3Rec", data_path, **self.KEYS, pretrain_epochs=4))
        assert [one["train_loss"] for one in more["history"]] == [one["train_loss"] for one in straight["history"]]
        assert more["test"] == straight["test"]

    def test_fine_tuning_takes_up_what_was_pretrained(self, data_path: str, caplog: pytest.LogCaptureFixture) -> None:
        first = run(asked("S3Rec", data_path, **self.KEYS, pretrain_epochs=1))
        caplog.clear()
        keys = {**self.KEYS, "epochs": 2, "train_stage": "finetune", "pre_model_path": first["checkpoint"]}
        result = run(asked("S3Rec", data_path, **keys))
        assert (result["status"], result["epochs"]) == ("finished", 2)
        assert "pretrain_epochs" not in caplog.text


def test_ksr_takes_the_vectors_of_relations(data_path: str) -> None:
    done = train("KSR", all_columns.NAME, **{**SMALL, **LATE, **all_columns.PRETRAINED, "data_path": data_path})
    assert done.losses[1] < done.losses[0]


def test_kgat_s_graph_is_the_sum_of_normalised_relations() -> None:
    heads, tails, relations = (torch.tensor(row) for row in ([0, 0, 0, 1, 0], [1, 2, 2, 0, 2], [1, 1, 2, 1, 1]))
    model = SimpleNamespace(all_hs=heads, all_ts=tails, all_rs=relations, matrix_size=torch.Size([3, 3]))
    expected = [[0, 1 / 3, 2 / 3 + 1], [1, 0, 0], [0, 0, 0]]
    assert KGAT.init_graph(model).to_dense().tolist() == [pytest.approx(row) for row in expected]


def test_an_exhaustive_search_draws_with_any_hyperopt() -> None:
    rng = hyper_tuning.np.random.RandomState(3)
    assert isinstance(rng, np.random.Generator)
    assert {int(rng.integers(2)) for _ in range(50)} == {int(rng.randint(2)) for _ in range(50)} == {0, 1}
    assert not isinstance(np.random.RandomState(3), np.random.Generator)


# Decision trees: neither library is among what the tests install


class Booster:
    """Both libraries' booster, which scores every row with the share of positive labels."""

    share = 0.5

    def __init__(self, *_: Any, model_file: str | None = None, **__: Any) -> None:
        if model_file:
            self.load_model(model_file)

    def save_model(self, file: str) -> None:
        Path(file).write_text(json.dumps(self.share))

    def load_model(self, file: str) -> None:
        self.share = json.loads(Path(file).read_text())

    def predict(self, data: Any) -> np.ndarray:
        return np.full(len(getattr(data, "data", data)), self.share)


class Table(SimpleNamespace):
    def get_label(self) -> Any:
        return self.label


def fit(params: dict[str, Any], data: Table, *_: Any, **__: Any) -> Booster:
    assert params["objective"].startswith("binary"), "RecBole's own defaults, which it does not find on Linux"
    booster = Booster()
    booster.share = float(np.mean(data.label))
    return booster


@pytest.fixture(params=["LightGBM", "XGBoost"])
def trees(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return a model whose library has a stand-in."""
    before = set(sys.modules)
    for name in ("lightgbm", "xgboost"):
        library: Any = ModuleType(name)
        library.Booster, library.train = Booster, fit
        library.Dataset = library.DMatrix = Table
        monkeypatch.setitem(sys.modules, name, library)
    yield request.param
    for name in set(sys.modules) - before:
        if name.startswith("recbole.model.exlib_recommender"):
            del sys.modules[name]


class TestTrees:
    def test_they_run(self, trees: str, data_path: str, caplog: pytest.LogCaptureFixture) -> None:
        result = run(asked(trees, data_path, threshold={"rating": 4}, epochs=2))
        assert result["status"] == "finished"
        assert result["n_parameters"] == 0
        assert [entry["epoch"] for entry in result["history"]] == ([0] if trees == "LightGBM" else [0, 1])
        assert ("fitted once, to lgb_num_boost_round=300 trees" in caplog.text) == (trees == "LightGBM")
        assert result["history"][-1]["valid"] == pytest.approx(result["valid"])
        assert result["test"]["auc"] == 0.5
        assert 0 < result["test"]["logloss"] < 1
        assert (Path(result["folder"]) / "curve.png").is_file()
        assert Path(result["checkpoint"]).is_file()

    def test_they_cannot_be_resumed_nor_tuned(self, trees: str, data_path: str) -> None:
        config = configure(asked(trees, data_path, threshold={"rating": 4}))
        trainer = build_trainer(config, get_model(trees)(config, None))
        with pytest.raises(InputError, match=r"saved\.pth: \w+ is trained all at once: it cannot be resumed"):
            trainer.resume_checkpoint("saved.pth")
        with pytest.raises(InputError, match="no epochs to report to a sweep"):
            trainer.fit(None, callback_fn=print)


class TestOneEpoch:
    """Models that are fitted once are validated whatever `eval_step` says: their checkpoint is the one to test."""

    @pytest.mark.parametrize("model", ["Pop", "ItemKNN"])
    def test_they_are_tested_where_others_skip_validations(self, model: str, data_path: str) -> None:
        result = run(asked(model, data_path, epochs=4, eval_step=2))
        assert [entry["epoch"] for entry in result["history"]] == [0]
        assert result["history"][0]["valid"] == pytest.approx(result["valid"])
        assert result["test"]["recall@10"] > 0

    def test_by_recboles_own_function(self, data_path: str) -> None:
        settings = asked("Pop", data_path, epochs=4, eval_step=2).settings
        found = run_recbole(model="Pop", dataset=all_columns.NAME, config_dict=settings)
        assert found["best_valid_score"] > 0
        assert found["test_result"]["recall@10"] > 0
