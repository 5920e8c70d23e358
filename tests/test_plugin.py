"""`import recbole_mm` is enough: RecBole's own functions find the pack's models, datasets and properties."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import recbole.data.dataset
import symptoms
from new_process import python
from recbole.config import Config
from recbole.data import create_dataset
from recbole.utils import get_model

from recbole_mm.data.dataset import MultimodalDataset
from recbole_mm.model.general_recommender.mhcr import MHCR, MHCRParameters
from recbole_mm.recbole_bridge import plugin

pytestmark = pytest.mark.slow  # left out by `make quick`


# A user's program; it prints what it found as json.
PROGRAM = """
import json, math, sys
before = sorted(name for name in sys.modules if name.startswith("recbole"))
import recbole_mm
import torch
from recbole.data.interaction import Interaction
from recbole.quick_start import load_data_and_model, run, run_recbole
from recbole.utils.case_study import full_sort_topk

small = {"val_interval": {"timestamp": "[891000000,inf)"}, "epochs": 1, "embedding_size": 8, "hyper_num": 4}
small |= {"n_ui_layers": 1, "n_hyper_layer": 1, "train_batch_size": 4096, "show_progress": False, "gpu_id": ""}
first = run_recbole(model="MHCR", dataset="ml-100k", config_dict={**small, "checkpoint_dir": "first"})
second = run("MHCR", "ml-100k", config_dict={**small, "checkpoint_dir": "second"})

from pathlib import Path
(file,) = Path("first").glob("*.pth")
config, model, dataset, train, valid, test = load_data_and_model(str(file))
users = [1, 2, 30]
scores, ids = full_sort_topk(users, model, test, k=10)

every = model.full_sort_predict(Interaction({"user_id": torch.tensor(users)})).view(len(users), -1).tolist()
by_hand = []
for user, row in zip(users, every):
    seen = {0}  # [PAD]
    for part in (train.dataset.inter_feat, valid.dataset.inter_feat):
        seen.update(part["item_id"][part["user_id"] == user].tolist())
    by_hand.append(sorted(set(range(len(row))) - seen, key=lambda item: -row[item])[:10])

print()
print(json.dumps({
    "before": before,
    "first": first,
    "second": second,
    "files": [len(list(Path(folder).iterdir())) for folder in ("first", "second")],
    "model": f"{type(model).__module__}.{type(model).__name__}",
    "dataset": type(dataset).__name__,
    "modalities": dataset.modality_names,
    "ids": ids.tolist(),
    "by hand": by_hand,
    "scores": [[row[item] for item in own] for row, own in zip(every, by_hand)],
    "topk scores": scores.tolist(),
}))
"""

WITHOUT_RECBOLE = """
import sys

class Hidden:
    def __init__(self, finders):
        self.finders = finders

    def find_spec(self, name, path=None, target=None):
        specs = (finder.find_spec(name, path, target) for finder in self.finders if name != "recbole")
        return next((spec for spec in specs if spec), None)

sys.meta_path[:] = [Hidden(list(sys.meta_path))]
import recbole_mm
"""


def test_a_user_needs_the_import_only() -> None:
    process = python("-c", PROGRAM)
    assert process.returncode == 0, process.stderr[-2000:]
    found = json.loads(process.stdout.splitlines()[-1])
    assert found["before"] == []
    assert found["first"] == found["second"]
    assert found["first"]["test_result"].keys() >= {"recall@10", "ndcg@10"}
    assert found["files"] == [1, 1]
    assert found["model"] == "recbole_mm.model.general_recommender.mhcr.MHCR"
    assert found["dataset"] == "MultimodalDataset"
    assert found["modalities"] == ["title", "genre", "knowledge"]
    assert found["ids"] == found["by hand"]
    assert found["topk scores"] == [pytest.approx(row) for row in found["scores"]]


def test_without_recbole_one_line_says_what_to_do() -> None:
    process = python("-c", WITHOUT_RECBOLE)
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1] == (
        "ImportError: recbole-mm needs RecBole; install it with: pip install --no-deps recbole==1.2.1"
    )
    assert "During handling" not in process.stderr


def test_recbole_finds_the_model_under_its_own_name() -> None:
    assert get_model("MHCR") is MHCR
    module = importlib.import_module("recbole.model.general_recommender.mhcr")
    assert module is sys.modules["recbole_mm.model.general_recommender.mhcr"]
    package = importlib.import_module("recbole.model.general_recommender")
    assert package.mhcr is module
    assert package.MHCR is MHCR


def test_every_model_of_the_pack_has_a_data_set() -> None:
    for model in plugin.MODELS:
        assert get_model(model).__module__.startswith("recbole_mm.model.")
        assert issubclass(getattr(recbole.data.dataset, f"{model}Dataset"), MultimodalDataset)


def test_create_dataset_makes_a_multimodal_one_for_the_pack_only(tmp_path: Path) -> None:
    symptoms.write(tmp_path, symptoms.ROWS)
    items = sorted({item for _, item in symptoms.ROWS})
    rows = "".join(f"{item}\t{number} 1\n" for number, item in enumerate(items))
    (tmp_path / "toy" / "toy.text").write_text("item_id:token\temb:float_seq\n" + rows)
    modalities = {"text": {"file": "toy.text"}}
    assert type(symptoms.load(tmp_path, "MHCR", modalities=modalities)) is MultimodalDataset
    assert type(symptoms.load(tmp_path, "BPR", modalities=modalities)) is recbole.data.dataset.Dataset


def state() -> dict[str, Any]:
    package = importlib.import_module("recbole.model.general_recommender")
    methods = {name: vars(Config)[name] for name in ("_update_internal_config_dict", "_get_final_config_dict")}
    modules = {name: module for name, module in sys.modules.items() if name.startswith("recbole")}
    return methods | modules | vars(recbole.data.dataset) | vars(package)


def test_a_second_register_changes_nothing() -> None:
    before = state()
    plugin.register()
    after = state()
    assert before.keys() == after.keys()
    assert all(after[name] is value for name, value in before.items())


# Properties: overall < model < dataset < model on dataset < the dataset's own folder < user

LEVELS = (
    "overall.yaml",
    "model/MHCR.yaml",
    "dataset/toy.yaml",
    "model/MHCR-toy.yaml",
    "toy/toy.yaml",
    "user.yaml",
    "user",
)


@pytest.fixture
def properties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of properties, of the pack and of the dataset `toy`; level n sets the keys n, n + 1, ..."""
    monkeypatch.setattr(plugin, "properties_folder", lambda: tmp_path)
    for level, name in enumerate(LEVELS[:-1]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        lines = [f"key{key}: {name}\n" for key in range(level, len(LEVELS))]
        (tmp_path / name).write_text("".join(lines))
    return tmp_path


def test_later_levels_win(properties: Path) -> None:
    last = len(LEVELS) - 1
    given = {"data_path": str(properties), f"key{last}": "user", "gpu_id": ""}
    config = Config("MHCR", "toy", [str(properties / "user.yaml")], given)
    assert [config[f"key{level}"] for level in range(last + 1)] == list(LEVELS)


def test_the_levels_of_recbole_and_of_the_pack_interleave(properties: Path) -> None:
    defaults = Config("MHCR", "toy", config_dict={"data_path": str(properties), "gpu_id": ""})
    assert (defaults["learning_rate"], defaults["n_ui_layers"], defaults["NEG_PREFIX"]) == (
        0.001,
        MHCRParameters().n_ui_layers,
        "neg_",
    )
    (properties / "overall.yaml").write_text("learning_rate: 0.5\nn_ui_layers: 50\nNEG_PREFIX: x_\nseed: 5\n")
    (properties / "model" / "MHCR.yaml").write_text("n_ui_layers: 60\nseed: 6\n")
    (properties / "dataset" / "toy.yaml").write_text("NEG_PREFIX: y_\nseed: 8\n")
    for name in ("model/MHCR-toy.yaml", "toy/toy.yaml"):
        (properties / name).unlink()
    config = Config("MHCR", "toy", config_dict={"data_path": str(properties), "gpu_id": ""})
    assert config["learning_rate"] == 0.5  # over RecBole's overall.yaml
    assert config["n_ui_layers"] == 60  # over the declaration of the parameter, and over overall.yaml
    assert config["NEG_PREFIX"] == "y_"  # over RecBole's sample.yaml, which is over overall.yaml
    assert config["seed"] == 8
    assert Config("BPR", "toy", config_dict={"data_path": str(properties), "gpu_id": ""})["n_ui_layers"] == 50


def test_models_of_recbole_keep_their_properties(properties: Path) -> None:
    (properties / "overall.yaml").write_text("embedding_size: 3\nn_layers: 3\n")
    config = Config("LightGCN", "toy", config_dict={"data_path": str(properties), "gpu_id": ""})
    assert (config["embedding_size"], config["n_layers"]) == (64, 2)


def test_the_properties_of_ml100k_are_found() -> None:
    config = Config("MHCR", "ml-100k", config_dict={"gpu_id": ""})
    assert list(config["modalities"]) == ["title", "genre", "knowledge"]


@pytest.mark.parametrize("data_path", ["data", None])
def test_the_yaml_in_a_data_set_s_folder(data_path: str | None) -> None:
    folder = Path(data_path or "dataset", "toy")
    folder.mkdir(parents=True)
    (folder / "toy.yaml").write_text("seed: 8\n")
    given = {"data_path": data_path} if data_path else {}
    assert plugin.dataset_yaml("toy", data_path) == folder / "toy.yaml"
    assert Config("BPR", "toy", config_dict={**given, "gpu_id": ""})["seed"] == 8
    assert Config("BPR", "other", config_dict={**given, "gpu_id": ""})["seed"] == 2020


# Pickled caches


def test_pickled_caches_are_off_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    symptoms.write(tmp_path, symptoms.ROWS)
    asked: dict[str, Any] = {
        "save_dataset": True,
        "dataset_save_path": "a.pth",
        "save_dataloaders": True,
        "dataloaders_save_path": "b",
    }
    config = symptoms.configuration(tmp_path, **asked)
    assert {key: config[key] for key in asked} == {
        "save_dataset": False,
        "dataset_save_path": None,
        "save_dataloaders": False,
        "dataloaders_save_path": None,
    }
    (record,) = (record for record in caplog.records if "ignored" in record.message)
    assert record.levelname == "WARNING"
    assert record.message.startswith(
        "save_dataset, dataset_save_path, save_dataloaders, dataloaders_save_path: ignored"
    )
    create_dataset(config)
    assert list(tmp_path.rglob("*.pth")) == []


def test_nothing_is_said_where_no_cache_is_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = symptoms.configuration(tmp_path, save_dataset=False)
    assert config["save_dataset"] is False
    assert "ignored" not in caplog.text
