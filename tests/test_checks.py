from __future__ import annotations

import io
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import recbole_mm  # noqa: F401  (makes RecBole importable)

# isort: split
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender.bpr import BPR
from recbole.model.general_recommender.lightgcn import LightGCN
from recbole.utils import EvaluatorType, ModelType, get_model, get_trainer, init_seed

from recbole_mm import checks, keys
from recbole_mm.errors import InputError


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
    assert names["MHCR"].parent.parent.parent == Path(keys.__file__).parent
    assert "lightgbm" not in sys.modules


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MHCRR", "'MHCRR' is no model. Did you mean 'MHCR'?"),
        ("bpr", "'bpr' is no model. Did you mean 'BPR'?"),
        ("LightGNC", "'LightGNC' is no model. Did you mean 'LightGCN'?"),
    ],
)
def test_an_unknown_model_is_refused_with_the_nearest(name: str, expected: str) -> None:
    assert message(keys.check_model, name) == expected


def test_a_model_name_near_nothing_is_refused_with_all_names() -> None:
    text = message(keys.check_model, "zzzzqqqq")
    assert text.startswith("'zzzzqqqq' is no model. The models are ADMMSLIM, AFM, ")
    assert text.endswith(", xDeepFM, XGBoost.")


def test_every_listed_model_is_accepted() -> None:
    keys.check_model("MHCR")
    keys.check_model("BPR")


@pytest.mark.parametrize("installed", [True, False])
def test_properties_folder_of_a_package_and_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    monkeypatch.setattr(keys, "PACK", tmp_path / "recbole_mm")
    folder = tmp_path / ("recbole_mm/properties" if installed else "properties")
    folder.mkdir(parents=True)
    (tmp_path / "properties").mkdir(exist_ok=True)
    assert keys.properties_folder() == folder


def test_properties_folder_exists() -> None:
    assert (keys.properties_folder() / "dataset").is_dir()


def test_recbole_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys.importlib.util, "find_spec", lambda name: None)
    assert message(keys.recbole_folder) == ("RecBole is not installed: pip install --no-deps recbole==1.2.1")


@dataclass
class _Parameters:
    my_dataclass_parameter: int = 1


class _Model:
    parameters = _Parameters

    def __init__(self, config: Any) -> None:
        self.first = config["my_first_key"]
        self.second = config.get("my_second_key") if "my_third_key" in config else None


def test_known_keys_come_from_source_yaml_and_dataclass() -> None:
    known = keys.known_keys(_Model)
    of_recbole = {"learning_rate", "seed", "encoding", "nproc", "alias_of_item_id", "log_wandb"}
    of_the_pack = {
        "model",
        "dataset",
        "config_files",
        "modalities",
        "normalize",
        "missing_modality",
        "resume",
    }
    of_the_model = {"my_dataclass_parameter", "my_first_key", "my_second_key", "my_third_key"}
    assert of_recbole | of_the_pack | of_the_model <= known
    assert known.isdisjoint({"choice", "loguniform", "full", "learnig_rate", "key", "x"})


def test_known_keys_are_those_of_one_model() -> None:
    assert "n_layers" in keys.known_keys(LightGCN)
    assert "n_layers" not in keys.known_keys(BPR)


def test_an_unknown_key_is_refused_where_it_stands() -> None:
    keys.check_keys(["learning_rate", "embedding_size"], BPR, "config.yaml")
    assert message(keys.check_keys, ["seed", "learnig_rate"], BPR, "config.yaml") == (
        "config.yaml: 'learnig_rate' is no setting of RecBole or BPR. Did you mean 'learning_rate'?"
    )
    assert message(keys.check_keys, ["qqqqzzzz"], BPR, "command line") == (
        "command line: 'qqqqzzzz' is no setting of RecBole or BPR."
    )


# Settings


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"learner": "adma"},
            "learner 'adma' is none of adam, adamw, sgd, adagrad, rmsprop, sparse_adam. Did you mean 'adam'?",
        ),
        ({"learning_rate": 0}, "learning_rate is 0: it must be a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: it must be a number above 0"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast': it must be a number above 0"),
        ({"learning_rate": True}, "learning_rate is True: it must be a number above 0"),
        ({"epochs": 0}, "epochs is 0: it must be a whole number of at least 1"),
        ({"epochs": 2.5}, "epochs is 2.5: it must be a whole number of at least 1"),
        ({"train_batch_size": -1}, "train_batch_size is -1: it must be a whole number of at least 1"),
        ({"eval_batch_size": 0}, "eval_batch_size is 0: it must be a whole number of at least 1"),
        ({"stopping_step": 0}, "stopping_step is 0: it must be a whole number of at least 1"),
        ({"topk": [10, 0]}, "topk is 0: it must be a whole number of at least 1"),
        (
            {"valid_metric": "MRR@20", "metrics": ["Recall", "MRR"], "topk": [10]},
            "valid_metric is MRR@20 but topk is [10]: add 20 to topk or validate with MRR@10",
        ),
        (
            {"valid_metric": "MRR@10", "metrics": ["Recall", "NDCG"], "topk": 10},
            "valid_metric is MRR@10 but metrics is [Recall, NDCG]: add MRR to metrics.",
        ),
        (
            {"valid_metric": "Recal@10", "metrics": "Recall", "topk": 10},
            "valid_metric is Recal@10 but metrics is [Recall]: add Recal to metrics. Did you mean 'Recall'?",
        ),
        (
            {"valid_metric": "MRR", "metrics": ["MRR"], "topk": [5]},
            "valid_metric is MRR but MRR needs a k: write MRR@5",
        ),
        (
            {"valid_metric": "AUC@10", "metrics": ["AUC"], "topk": [10]},
            "valid_metric is AUC@10 but AUC has no k: write AUC",
        ),
    ],
)
def test_a_setting_that_cannot_work_is_refused(given: dict[str, Any], expected: str) -> None:
    assert message(checks.check_config, Settings(given)) == expected


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"learner": "AdamW", "learning_rate": 1, "epochs": 1, "topk": 5},
        {"valid_metric": "mrr@20", "metrics": ["MRR", "Recall"], "topk": [10, 20]},
        {"valid_metric": "auc", "metrics": ["AUC"], "topk": [10]},
    ],
)
def test_good_settings_pass(given: dict[str, Any]) -> None:
    checks.check_config(Settings(given))


# Atomic files

INTER = "user_id:token\titem_id:token\trating:float\n1\t5\t3.5\n2\t6\t4\n"


def folder(tmp_path: Path, files: dict[str, str], **given: Any) -> Settings:
    """Write `ml.<suffix>` files, and return the settings that read them."""
    path = tmp_path / "ml"
    path.mkdir()
    for suffix, text in files.items():
        (path / f"ml.{suffix}").write_text(text, encoding="utf-8")
    usual = {
        "data_path": str(path),
        "dataset": "ml",
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "field_separator": "\t",
        "seq_separator": " ",
        "filter_inter_by_user_or_item": True,
    }
    return Settings({**usual, **given})


def refusal(config: Settings) -> str:
    """Return the message without the folder."""
    return message(checks.check_files, config).replace(config["data_path"], "DIR")


@pytest.mark.parametrize(
    ("files", "given"),
    [
        ({"inter": INTER}, {}),
        ({"inter": INTER.removesuffix("\n")}, {"load_col": {"inter": ["user_id", "item_id"]}}),
        ({"inter": INTER + "\n  \n3\t7\tNA\n4\t8\t\n"}, {}),
        ({"inter": INTER.replace("\t", ",")}, {"field_separator": ","}),
        ({"inter": INTER.replace("\t", "::")}, {"field_separator": "::"}),
        ({"inter": INTER + '"a ""b"""\t"tab\there"\t1\nmid"dle\t7\t2\n'}, {}),
        ({"inter": INTER.replace("3.5", "text")}, {"load_col": {"inter": ["user_id", "item_id"]}}),
        ({"inter": INTER.replace("3.5", "text")}, {"unload_col": {"inter": ["rating"]}}),
        ({"inter": INTER, "item": "broken"}, {"load_col": {"inter": "*"}}),
        ({"inter": INTER, "item": "item_id:token\tx:float_seq\n5\t1 2  3\n6\t\n7\tnan\n"}, {}),
        ({"train.inter": INTER, "test.inter": INTER}, {"benchmark_filename": ["train", "test"]}),
        ({"inter": INTER, "item": "item_id:token\n8\n"}, {"filter_inter_by_user_or_item": False}),
        ({"inter": INTER, "emb": "iid:token\temb:float_seq\n5\t1 2\n"}, {"additional_feat_suffix": "emb"}),
        ({"inter": "a:token\tb:float\nx\t1\n"}, {"USER_ID_FIELD": None, "ITEM_ID_FIELD": None}),
    ],
)
def test_good_files_pass(tmp_path: Path, files: dict[str, str], given: dict[str, Any]) -> None:
    checks.check_files(folder(tmp_path, files, **given))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    config = Settings(data_path=str(tmp_path / "absent"), dataset="absent")
    assert message(checks.check_files, config) == (
        f"{tmp_path / 'absent'}: the folder of dataset 'absent' does not exist: make it or set data_path"
    )


@pytest.mark.parametrize(
    ("files", "given", "expected"),
    [
        (
            {"b.inter": INTER, "a.inter": INTER},
            {},
            "DIR/ml.inter does not exist; the folder has ml.a.inter, ml.b.inter",
        ),
        ({"item": "item_id:token\n5\n"}, {}, "DIR/ml.inter does not exist; the folder has no .inter file"),
        (
            {"train.inter": INTER},
            {"benchmark_filename": ["train", "test"]},
            "DIR/ml.test.inter does not exist; the folder has ml.train.inter",
        ),
        (
            {"inter": INTER},
            {"additional_feat_suffix": ["emb"]},
            "DIR/ml.emb does not exist, but the settings ask for its features",
        ),
        (
            {"inter": INTER, "kg": "head_id:token\n1\n"},
            {"MODEL_TYPE": ModelType.KNOWLEDGE},
            "DIR/ml.link does not exist, but the settings ask for its features",
        ),
        (
            {"inter": INTER},
            {"load_col": {"item": ["item_id"]}},
            "load_col has no 'inter': list there the columns to load of DIR/ml.inter",
        ),
    ],
)
def test_a_missing_file_is_refused(tmp_path: Path, files: dict[str, str], given: dict[str, Any], expected: str) -> None:
    assert refusal(folder(tmp_path, files, **given)) == expected


COLUMNS = "the columns are user_id, item_id, rating"


@pytest.mark.parametrize(
    ("head", "given", "expected"),
    [
        ("user_id\titem_id:token", {}, "'user_id' has no type, write user_id:token"),
        (
            "user_id:tokn\titem_id:token",
            {},
            "'user_id:tokn' has no type of token, token_seq, float, float_seq. Did you mean 'token'?",
        ),
        (
            "user_id:token,item_id:token",
            {},
            'looks comma-separated: set field_separator: "," or convert it to tabs',
        ),
        ("user_id,item_id", {}, 'looks comma-separated: set field_separator: "," or convert it to tabs'),
        (
            "user_id:token\titem_id:token",
            {"field_separator": ","},
            'looks tab-separated: set field_separator: "\\t" or convert it to commas',
        ),
        ("", {}, "no header, such as user_id:token\titem_id:token"),
        ("\ufeffuser_id:token\titem_id:token", {}, "starts with a byte-order mark: set encoding: utf-8-sig"),
        ("user_id:token\tuser_id:token", {}, "'user_id' is there twice"),
        (
            "user:token\titem_id:token",
            {},
            "no column 'user_id'; the columns are user, item_id. Did you mean 'user'?",
        ),
        ("user_id:token\tid:token", {}, "no column 'item_id'; the columns are user_id, id."),
        ("user_id:float\titem_id:token", {}, "'user_id:float' holds ids, write user_id:token"),
        (
            "user_id:token\titem_id:token\trating:float",
            {"load_col": {"inter": ["user_id", "item_id", "ratings"]}},
            f"no column for load_col.inter, 'ratings'; {COLUMNS}. Did you mean 'rating'?",
        ),
    ],
)
def test_a_header_that_recbole_cannot_read_is_refused(
    tmp_path: Path, head: str, given: dict[str, Any], expected: str
) -> None:
    config = folder(tmp_path, {"inter": f"{head}\n1\t2\t3\n"}, **given)
    assert refusal(config) == f"DIR/ml.inter, line 1: {expected}"


@pytest.mark.parametrize(
    "given", [{"load_col": {"inter": ["item_id", "rating"]}}, {"unload_col": {"inter": ["user_id"]}}]
)
def test_an_id_column_that_is_not_loaded_is_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    assert refusal(folder(tmp_path, {"inter": INTER}, **given)) == (
        "load_col and unload_col leave out 'user_id' of DIR/ml.inter: it must be loaded"
    )


@pytest.mark.parametrize(
    "given",
    [
        {"MODEL_TYPE": ModelType.SEQUENTIAL},
        {"eval_args": {"order": "TO"}},
    ],
)
def test_a_time_that_the_split_needs_is_asked_for(tmp_path: Path, given: dict[str, Any]) -> None:
    text = INTER.replace("rating", "timestamp")
    columns = {"inter": ["user_id", "item_id"]}
    config = folder(tmp_path, {"inter": text}, TIME_FIELD="timestamp", load_col=columns, **given)
    assert refusal(config) == ("load_col and unload_col leave out 'timestamp' of DIR/ml.inter: it must be loaded")
    config["load_col"] = None
    checks.check_files(config)
    config["TIME_FIELD"] = "zzz"
    assert refusal(config) == ("DIR/ml.inter, line 1: no column 'zzz'; the columns are user_id, item_id, timestamp.")


def test_columns_that_only_recbole_asks_for_may_be_absent(tmp_path: Path) -> None:
    class WithDefaults(Settings):
        internal_config_dict: dict[str, Any]

    config = WithDefaults(folder(tmp_path, {"inter": INTER}))
    config["load_col"] = {"inter": ["user_id", "item_id", "timestamp"]}
    config.internal_config_dict = {"load_col": config["load_col"]}
    checks.check_files(config)
    config.internal_config_dict = {"load_col": None}
    assert refusal(config) == (f"DIR/ml.inter, line 1: no column for load_col.inter, 'timestamp'; {COLUMNS}.")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("1\t2", "line 5: 2 fields, but the header has 3"),
        ("1\t2\t3\t4\t5", "line 5: 5 fields, but the header has 3"),
        (
            "NA\t2\t3",
            "line 5: user_id 'NA' would be read as missing and dropped: rename it, e.g. 'id_NA'",
        ),
        (
            "1\t\t3",
            "line 5: item_id '' would be read as missing and dropped: fill it in or remove the line",
        ),
        ("1\t2\tgood", "line 5: rating has 'good', which is no number"),
        ('1\t"2\t3', 'line 5: a quote (") at the start of a field is never closed: remove it'),
        ('1\t"2"b\t3', "line 5: '\t' expected after '\"': remove the quotes (\")"),
    ],
)
@pytest.mark.parametrize("n_more", [0, 3000])  # the second needs many blocks
def test_a_row_that_recbole_misreads_is_refused(tmp_path: Path, row: str, expected: str, n_more: int) -> None:
    good = "1\t5\t3.5\n"
    text = INTER + "\n" + f"{row}\n" + good * n_more
    assert refusal(folder(tmp_path, {"inter": text})) == f"DIR/ml.inter, {expected}"
    late = INTER + good * n_more + "\n" + f"{row}\n"
    (tmp_path / "ml" / "ml.inter").write_text(late)
    config = Settings(folder_of(tmp_path))
    assert refusal(config) == f"DIR/ml.inter, {expected.replace('line 5', f'line {5 + n_more}')}"


def folder_of(tmp_path: Path) -> Settings:
    """Return the settings of files that are there already."""
    return Settings(data_path=str(tmp_path / "ml"), dataset="ml", USER_ID_FIELD="user_id", ITEM_ID_FIELD="item_id")


@pytest.mark.parametrize("value", ["0.1 x 0.3", "NA 1"])
def test_text_in_a_float_list_is_refused(tmp_path: Path, value: str) -> None:
    files = {"inter": INTER, "item": f"item_id:token\tx:float_seq\n5\t1 2\n6\t{value}\n"}
    word = "x" if "x" in value else "NA"
    assert refusal(folder(tmp_path, files)) == f"DIR/ml.item, line 3: x has '{word}', which is no number"


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    head = INTER.splitlines()[0]
    assert refusal(folder(tmp_path, {"inter": head})) == "DIR/ml.inter: has a header but no rows"


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    config = folder(tmp_path, {"inter": INTER})
    (tmp_path / "ml" / "ml.inter").write_bytes(INTER.encode() + "é\t5\t1\n".encode("latin-1"))
    assert refusal(config) == ("DIR/ml.inter: is not utf-8 (invalid continuation byte): set encoding to what it is")
    config["encoding"] = "latin-1"
    checks.check_files(config)


@pytest.mark.parametrize(
    ("suffix", "text", "expected"),
    [
        (
            "item",
            "item_id:token\nz9\nz8\n",
            "DIR: ml.inter and ml.item share no item_id, so every interaction would be filtered out: "
            "ml.inter has '5', ml.item has 'z8'",
        ),
        (
            "user",
            "user_id:token\nu1\n",
            "DIR: ml.inter and ml.user share no user_id, so every interaction would be filtered out: "
            "ml.inter has '1', ml.user has 'u1'",
        ),
    ],
)
def test_features_of_no_known_id_are_refused(tmp_path: Path, suffix: str, text: str, expected: str) -> None:
    assert refusal(folder(tmp_path, {"inter": INTER, suffix: text})) == expected


def test_missing_values_are_those_of_pandas() -> None:
    words = [*sorted(checks.MISSING), "NAN", "none", "Null", "-", "0", "na", "N.A.", "?", "inf"]
    text = "id\tx\n" + "".join(f"{word}\t1\n" for word in words)
    read = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, engine="python")
    assert [word in checks.MISSING for word in words] == list(read["id"].isna())


field = st.text(st.sampled_from('ab"1 ,'), min_size=1, max_size=4).filter(
    lambda text: text.strip() and not text.startswith(" ")
)


@settings(deadline=None, max_examples=25)
@given(rows=st.lists(st.tuples(field, field), min_size=1, max_size=5))
def test_rows_are_split_as_pandas_does(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("rows") / "ml.inter"
    path.write_text("a\tb\n" + "".join("\t".join(row) + "\n" for row in rows))
    config = Settings(field_separator="\t")
    try:
        ours = [row for _, block in checks._blocks(path, config) for row in block]
    except InputError as error:
        assert "remove" in str(error)  # noqa: PT017
        return
    if any(len(row) != 2 for row in ours):
        return  # refused for its length
    read = pd.read_csv(path, sep="\t", dtype=object, engine="python", keep_default_na=False)
    assert ours == read.to_numpy().tolist()


# Catalogue, splits, scores


def test_topk_above_the_catalogue_is_refused() -> None:
    dataset = SimpleNamespace(item_num=16)  # with [PAD]
    assert message(checks.check_catalogue, Settings(topk=[5, 20], dataset="ml"), dataset) == (
        "topk asks for 20 items but 'ml' has 15 after filtering: lower topk to 15 or less"
    )
    checks.check_catalogue(Settings(topk=[15]), dataset)
    checks.check_catalogue(Settings(topk=[20], eval_type=EvaluatorType.VALUE), dataset)


def loader(n_rows: int) -> SimpleNamespace:
    return SimpleNamespace(_dataset=range(n_rows))


def test_an_empty_split_is_refused() -> None:
    assert message(checks.check_splits, loader(80), loader(0), loader(2)) == (
        "the valid split is empty (train 80, valid 0, test 2 interactions): "
        "raise its share in eval_args.split, or keep users with more interactions"
    )
    assert message(checks.check_splits, loader(80), loader(0), loader(0)).startswith(
        "the valid and test split is empty (train 80, valid 0, test 0 interactions)"
    )
    checks.check_splits(loader(1), loader(1), loader(1))


def test_nan_and_infinite_scores_are_refused() -> None:
    nan, inf = float("nan"), float("inf")
    assert message(checks.refuse_nan, torch.tensor([[nan, 1, -inf], [inf, nan, 0]]), "MHCR") == (
        "MHCR: 3 of 6 scores are NaN or infinite: lower learning_rate, and look for NaN or huge values in the features"
    )
    checks.refuse_nan(torch.tensor([[-inf, -inf], [-inf, 2]]), "MHCR")
    checks.refuse_nan(torch.full((2, 2), -inf), "MHCR")
    checks.refuse_nan(torch.empty(0, 3), "MHCR")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes RecBole's config, data set, dataloaders and trainer of a model."""
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # as RecBole's Config does, but undone after the test
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
    checks.check_config(run.config)
    checks.check_files(run.config)
    checks.check_catalogue(run.config, run.dataset)
    checks.check_splits(*run.loaders)
    checks.check_scores(run.trainer, run.loaders[1])


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
    checks.check_scores(run.trainer, valid)
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
    text = message(checks.check_scores, run.trainer, run.loaders[1])
    assert text.startswith(f"{model}: ")
    assert text.endswith(
        "scores are NaN or infinite: lower learning_rate, and look for NaN or huge values in the features"
    )
    assert run.trainer.model.training


@pytest.mark.usefixtures("tiny")
def test_the_default_data_of_recbole_passes() -> None:
    config = Config(model="FM", dataset="ml-100k", config_dict={"gpu_id": ""})  # loads .inter, .user and .item
    checks.check_config(config)
    checks.check_files(config)
    keys.check_keys(config.final_config_dict, config.model_class, "RecBole")


def test_check_scores_passes_over_models_that_only_fit_gives_scores(tiny: Any) -> None:
    run = tiny("Pop", train_neg_sample_args=None)
    checks.check_scores(run.trainer, run.loaders[1])


def test_check_scores_of_a_sequential_model(tiny: Any) -> None:
    columns = {"inter": ["user_id", "item_id", "timestamp"]}
    run = tiny("SASRec", train_neg_sample_args=None, MAX_ITEM_LIST_LENGTH=4, load_col=columns)
    checks.check_files(run.config)
    checks.check_scores(run.trainer, run.loaders[1])


def test_the_splits_of_recbole_can_be_empty(tiny: Any) -> None:
    run = tiny("BPR", eval_args={"split": {"RS": [1, 0, 0]}})
    assert message(checks.check_splits, *run.loaders).startswith(
        "the valid and test split is empty (train 48, valid 0, test 0 interactions)"
    )
