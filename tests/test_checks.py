from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import recbole_mm

# isort: split
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender.bpr import BPR
from recbole.model.general_recommender.lightgcn import LightGCN
from recbole.utils import EvaluatorType, get_model, get_trainer, init_seed

from benchmarks import setting_names
from recbole_mm.base.errors import InputError
from recbole_mm.configuration import valid_names as keys
from recbole_mm.configuration.setting_checks import check_config
from recbole_mm.data.file_checks import check_files
from recbole_mm.recbole_bridge.own_names import MODELS
from recbole_mm.settings.names import properties_folder
from recbole_mm.training import data_checks


class Settings(dict[str, Any]):
    """Read like a RecBole Config: a setting that is absent is None."""

    def __missing__(self, key: str) -> None:
        return None


def message(check: Any, *arguments: Any) -> str:
    with pytest.raises(InputError) as refused:
        check(*arguments)
    text = str(refused.value)
    assert "\n" not in text
    return text


# Names of models and settings


def test_model_names_are_those_of_recbole_and_of_the_pack() -> None:
    names = keys.model_names()
    assert {"BPR", "LightGCN", "SASRec", "KGAT", "LightGBM", "Random", "MHCR"} <= set(names)
    assert names["MHCR"].parents[2] == Path(recbole_mm.__file__).parent
    assert "lightgbm" not in sys.modules


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MHCRR", "MHCR, "),
        ("bpr", "BPR, "),
        ("LightGNC", "LightGCN, "),
        ("zzzzqqqq", ""),
    ],
)
def test_an_unknown_model_is_refused_with_the_nearest(name: str, expected: str) -> None:
    text = message(keys.check_model, name)
    assert text.startswith(f"unknown model '{name}'; the nearest are {expected}")
    assert text.endswith(" (recbole-mm models lists all)")
    assert text.count(", ") == keys.NEAREST - 1


def test_every_listed_model_is_accepted() -> None:
    keys.check_model("MHCR")
    keys.check_model("BPR")


def test_properties_folder_exists() -> None:
    assert (properties_folder() / "dataset").is_dir()


def test_recbole_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys.importlib.util, "find_spec", lambda name: None)
    assert message(keys.recbole_folder) == ("RecBole is not installed: pip install --no-deps recbole==1.2.1")


def test_the_table_of_names_is_what_recboles_sources_give() -> None:
    assert setting_names.names() == keys.recbole_names(), "make it anew: python -m benchmarks.setting_names"


@pytest.mark.parametrize("model", MODELS)
def test_the_pack_reads_no_setting_that_it_does_not_know(model: str) -> None:
    files = {file for file in keys.PACK.rglob("*.py") if keys.PACK / "model" not in file.parents}
    yamls = [*(properties_folder() / "dataset").glob("*.yaml"), properties_folder() / f"model/{model}.yaml"]
    found = {key for file in yamls if file.is_file() for key in yaml.safe_load(file.read_text(encoding="utf-8"))}
    for file in files | {keys.model_names()[model]}:
        found |= keys.read_in(file.read_text(encoding="utf-8"))
    of_some = {"loss_type", "num_clusters", "train_stage"}  # models of RecBole, which the checks and shims read
    assert found - of_some <= keys.known_keys(get_model(model))


def test_no_source_is_read_to_know_the_settings_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    keys.recbole_names()
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("a file was read"))
    keys.check_model("MHCR")
    keys.check_keys(["knn_k"], get_model("MHCR"), "command line")
    keys.check_keys(["n_layers"], LightGCN, "command line")


@dataclass
class _Parameters:
    my_dataclass_parameter: int = 1


class _Model:
    parameter_class = _Parameters

    def __init__(self, config: Any) -> None:
        self.first = config["my_first_key"]
        self.second = config.get("my_second_key") if "my_third_key" in config else None


def test_known_keys_come_from_source_yaml_and_dataclass() -> None:
    known = keys.known_keys(_Model)
    of_recbole = {"learning_rate", "seed", "encoding", "nproc", "alias_of_item_id", "log_wandb"}
    of_the_pack = {
        "model",
        "dataset",
        "modalities",
        "normalize",
        "missing_modality",
    }
    of_the_model = {"my_dataclass_parameter", "my_first_key", "my_second_key", "my_third_key"}
    assert of_recbole | of_the_pack | of_the_model <= known
    assert known.isdisjoint({"resume", "config_files", "choice", "loguniform", "full", "learnig_rate", "key", "x"})


def test_known_keys_are_those_of_one_model() -> None:
    assert "n_layers" in keys.known_keys(LightGCN)
    assert "n_layers" not in keys.known_keys(BPR)


def test_an_unknown_key_is_refused_where_it_stands() -> None:
    keys.check_keys(["learning_rate", "embedding_size"], BPR, "config.yaml")
    assert message(keys.check_keys, ["seed", "learnig_rate"], BPR, "config.yaml") == (
        "config.yaml: unknown setting 'learnig_rate' for RecBole or BPR. Did you mean 'learning_rate'?"
    )
    assert message(keys.check_keys, ["qqqqzzzz"], BPR, "command line") == (
        "command line: unknown setting 'qqqqzzzz' for RecBole or BPR."
    )


# Catalogue, splits, scores


def test_topk_above_the_catalogue_is_refused() -> None:
    dataset = SimpleNamespace(item_num=16)  # with [PAD]
    assert message(data_checks.check_catalogue, Settings(topk=[5, 20], dataset="ml"), dataset) == (
        "topk asks for 20 items but 'ml' has 15 after filtering: lower topk to 15 or less"
    )
    data_checks.check_catalogue(Settings(topk=[15]), dataset)
    data_checks.check_catalogue(Settings(topk=[20], eval_type=EvaluatorType.VALUE), dataset)


def loader(n_rows: int) -> SimpleNamespace:
    return SimpleNamespace(_dataset=range(n_rows))


def test_an_empty_split_is_refused() -> None:
    assert message(data_checks.check_splits, loader(80), loader(0), loader(2)) == (
        "the valid split is empty (train 80, valid 0, test 2 interactions): "
        "raise its share in eval_args.split, or keep users with more interactions"
    )
    assert message(data_checks.check_splits, loader(80), loader(0), loader(0)).startswith(
        "the valid and test split is empty (train 80, valid 0, test 0 interactions)"
    )
    data_checks.check_splits(loader(1), loader(1), loader(1))


def test_nan_and_infinite_scores_are_refused() -> None:
    nan, inf = float("nan"), float("inf")
    assert message(data_checks.refuse_nan, torch.tensor([[nan, 1, -inf], [inf, nan, 0]]), "MHCR") == (
        "MHCR: 3 of 6 scores are NaN or infinite: lower learning_rate, and look for NaN or huge values in the features"
    )
    data_checks.refuse_nan(torch.tensor([[-inf, -inf], [-inf, 2]]), "MHCR")
    data_checks.refuse_nan(torch.full((2, 2), -inf), "MHCR")
    data_checks.refuse_nan(torch.empty(0, 3), "MHCR")


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """Return a function that makes RecBole's config, dataset, dataloaders and trainer of a model."""
    rng = random.Random(0)
    (tmp_path / "tiny").mkdir()
    pairs = [(user, item) for user in range(8) for item in rng.sample(range(12), 6)]
    rows = "".join(f"u{user}\ti{item}\t{time}\n" for time, (user, item) in enumerate(pairs))
    (tmp_path / "tiny" / "tiny.inter").write_text(f"user_id:token\titem_id:token\ttimestamp:float\n{rows}")

    def make(model: str, **given: Any) -> Any:
        usual = {
            "data_path": str(tmp_path),
            "use_gpu": False,
            "show_progress": False,
            "gpu_id": "",
            "epochs": 1,
        }
        config = Config(
            model=model, dataset="tiny", config_dict={**usual, "topk": [3], "valid_metric": "MRR@3"} | given
        )
        init_seed(config["seed"], True)
        dataset = create_dataset(config)
        loaders = data_preparation(config, dataset)
        network = get_model(model)(config, loaders[0].dataset)
        trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, network)
        return SimpleNamespace(config=config, dataset=dataset, loaders=loaders, trainer=trainer)

    return make


def test_a_good_run_of_recbole_passes_every_check(tiny: Any) -> None:
    run = tiny("BPR")
    check_config(run.config)
    check_files(run.config)
    data_checks.check_catalogue(run.config, run.dataset)
    data_checks.check_splits(*run.loaders)
    data_checks.check_scores(run.trainer, run.loaders[1])


@pytest.mark.parametrize("mode", ["full", "uni3"])
def test_check_scores_changes_nothing(tiny: Any, mode: str) -> None:
    run = tiny("LightGCN", eval_args={"mode": mode})
    model, valid = run.trainer.model, run.loaders[1]
    model.train()
    modes, forward = [], model.forward

    def noted() -> Any:
        modes.append(model.training)
        return forward()

    model.forward = noted
    before = random_states(valid)
    data_checks.check_scores(run.trainer, valid)
    assert modes == [False]
    assert model.training
    assert model.restore_user_e is None
    assert random_states(valid) == before


def random_states(loader: Any) -> list[Any]:
    numpy: Any = np.random.get_state(legacy=False)["state"]
    states = [torch.get_rng_state(), loader.generator.get_state(), numpy["key"]]
    return [random.getstate(), numpy["pos"], *(state.tolist() for state in states)]


@pytest.mark.parametrize(("model", "mode"), [("BPR", "full"), ("BPR", "uni3"), ("NeuMF", "full")])
def test_check_scores_refuses_a_model_that_gives_nan(tiny: Any, model: str, mode: str) -> None:
    run = tiny(model, eval_args={"mode": mode})
    with torch.no_grad():
        next(iter(run.trainer.model.parameters())).fill_(float("nan"))
    text = message(data_checks.check_scores, run.trainer, run.loaders[1])
    assert text.startswith(f"{model}: ")
    assert text.endswith(
        "scores are NaN or infinite: lower learning_rate, and look for NaN or huge values in the features"
    )
    assert run.trainer.model.training


@pytest.mark.usefixtures("tiny")
def test_the_default_data_of_recbole_passes() -> None:
    config = Config(model="FM", dataset="ml-100k", config_dict={"gpu_id": ""})  # loads .inter, .user and .item
    check_config(config)
    check_files(config)
    keys.check_keys(config.final_config_dict, config.model_class, "RecBole")


def test_check_scores_passes_over_models_that_only_fit_gives_scores(tiny: Any) -> None:
    run = tiny("Pop", train_neg_sample_args=None)
    data_checks.check_scores(run.trainer, run.loaders[1])


def test_check_scores_of_a_sequential_model(tiny: Any) -> None:
    columns = {"inter": ["user_id", "item_id", "timestamp"]}
    run = tiny("SASRec", MAX_ITEM_LIST_LENGTH=4, load_col=columns)
    check_files(run.config)
    data_checks.check_scores(run.trainer, run.loaders[1])


def test_the_splits_of_recbole_can_be_empty(tiny: Any) -> None:
    run = tiny("BPR", eval_args={"split": {"RS": [1, 0, 0]}})
    assert message(data_checks.check_splits, *run.loaders).startswith(
        "the valid and test split is empty (train 48, valid 0, test 0 interactions)"
    )
