"""Values of settings that RecBole would pass over: each is one line before training."""

from __future__ import annotations

import math
from typing import Any

import pytest
from recbole.config import Config
from recbole.evaluator import metric_types
from recbole.utils import EvaluatorType, get_model
from test_checks import Settings, message

from recbole_mm.base.intervals import check_interval
from recbole_mm.configuration import valid_names as keys
from recbole_mm.configuration.recbole_settings import RANKING_METRICS, VALUE_METRICS
from recbole_mm.configuration.setting_checks import check_config


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"learner": "adma"},
            "learner is 'adma': it must be one of adam, adamw, sgd, adagrad, rmsprop, sparse_adam. "
            "Did you mean 'adam'?",
        ),
        ({"learning_rate": 0}, "learning_rate is 0: it must be a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: it must be a number above 0"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast': it must be a number above 0"),
        ({"learning_rate": True}, "learning_rate is True: it must be a number above 0"),
        ({"epochs": 0}, "epochs is 0: it must be a whole number of at least 1"),
        ({"epochs": 2.5}, "epochs is 2.5: it must be a whole number of at least 1"),
        ({"train_batch_size": -1}, "train_batch_size is -1: it must be a whole number of at least 1"),
        ({"eval_batch_size": 0}, "eval_batch_size is 0: it must be a whole number of at least 1"),
        ({"stopping_step": -1}, "stopping_step is -1: it must be a whole number of at least 0"),
        ({"topk": [10, 0]}, "topk is 0: it must be a whole number of at least 1"),
        ({"eval_step": 0}, "eval_step is 0: it must be a whole number of at least 1"),
        ({"eval_step": -1}, "eval_step is -1: it must be a whole number of at least 1"),
        ({"metric_decimal_place": -1}, "metric_decimal_place is -1: it must be a whole number between 1 and 15"),
        ({"metric_decimal_place": 400}, "metric_decimal_place is 400: it must be a whole number between 1 and 15"),
        ({"loss_decimal_place": 0}, "loss_decimal_place is 0: it must be a whole number between 1 and 15"),
        ({"worker": -1}, "worker is -1: it must be a whole number between 0 and 256"),
        ({"MAX_ITEM_LIST_LENGTH": 0}, "MAX_ITEM_LIST_LENGTH is 0: it must be a whole number of at least 1"),
        ({"seed": "abc"}, "seed is 'abc': it must be a whole number between 0 and 4294967295"),
        ({"use_gpu": "abc"}, "use_gpu is 'abc': it must be True or False"),
        ({"reproducibility": "abc"}, "reproducibility is 'abc': it must be True or False"),
        ({"reproducibility": None}, "reproducibility is None: it must be True or False"),
        ({"shuffle": 1}, "shuffle is 1: it must be True or False"),
        ({"normalize_all": "yes"}, "normalize_all is 'yes': it must be True or False"),
        ({"rm_dup_inter": False}, "rm_dup_inter is False: it must be one of first, last."),
        (
            {"state": "DEBUGG"},
            "state is 'DEBUGG': it must be one of debug, info, warning, error, critical. Did you mean 'debug'?",
        ),
        ({"load_col": "inter"}, "load_col is 'inter': it must be a mapping, such as {'inter': ['user_id', 'item_id']}"),
        ({"eval_args": {"ordre": "TO"}}, "eval_args: unknown key 'ordre'. Did you mean 'order'?"),
        (
            {"train_neg_sample_args": {"n": 1}},
            "train_neg_sample_args: unknown key 'n'. The keys are distribution, sample_num, alpha, dynamic, "
            "candidate_num.",
        ),
        (
            {"user_inter_num_interval": "abc"},
            "invalid interval 'abc' in user_inter_num_interval: write [5,inf) or (0,1], several as (0,1];[3,4), "
            "round brackets leaving out the end",
        ),
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
    assert message(check_config, Settings(given)) == expected


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"learner": "AdamW", "learning_rate": 1, "epochs": 1, "stopping_step": 0, "topk": 5},
        {"valid_metric": "mrr@20", "metrics": ["MRR", "Recall"], "topk": [10, 20]},
        {"valid_metric": "auc", "metrics": ["AUC"], "topk": [10]},
        {"valid_metric": "recall@10", "metrics": ["rEcALL", "ItemCoverage"], "topk": [10]},
        {"eval_step": 3, "metric_decimal_place": 15, "worker": 0, "state": "ERROR", "rm_dup_inter": "last"},
        {"normalize_all": None, "rm_dup_inter": None, "user_inter_num_interval": None, "load_col": None},
        {"user_inter_num_interval": "(0,1];[3,4)", "item_inter_num_interval": [5, 10], "use_gpu": False},
    ],
)
def test_good_settings_pass(given: dict[str, Any]) -> None:
    check_config(Settings(given))


@pytest.mark.parametrize("text", ["5", "5,10", "[5]", "[5;10]", "[5,10", "[a,b]", "[nan,3]", "", "[1,2,3]", "[0,1];"])
def test_what_recbole_reads_as_no_interval_is_refused(text: str) -> None:
    assert message(check_interval, "val_interval.age", text).startswith("invalid interval '")


@pytest.mark.parametrize("value", ["[0,inf)", "( -inf , 3.5]", "(0,1];[3,4)", "[5, 5]", (0, 1), [math.inf, math.inf]])
def test_what_recbole_reads_as_an_interval_passes(value: Any) -> None:
    check_interval("val_interval.age", value)


def test_an_interval_from_right_to_left_is_refused() -> None:
    assert message(check_interval, "item_inter_num_interval", "[0,1];[9,2]") == (
        "invalid interval '[9,2]' in item_inter_num_interval: its left end is above its right end"
    )


def test_loss_types_are_those_that_a_model_names() -> None:
    def of(model: str) -> list[str]:
        return keys.loss_types(get_model(model))

    assert of("SASRec") == ["BPR", "CE"]
    assert of("CORE") == ["CE"]
    assert of("CDAE") == ["BCE", "MSE"]
    assert set(of("MCCLK")) == {"bpr", "BPR", "bce", "BCE"}  # whatever the case
    assert set(of("CCL4Rec")) == {"BPR", "CE"}
    assert of("RepeatNet") == ["BPR", "CE"]  # which RecBole's Config alone reads


@pytest.mark.parametrize(("model", "reads"), [("BPR", False), ("MHCR", False), ("SASRec", True), ("RepeatNet", True)])
def test_a_loss_type_is_a_setting_of_the_models_that_read_it(model: str, reads: bool) -> None:
    assert ("loss_type" in keys.known_keys(get_model(model))) is reads


def test_a_loss_type_that_a_model_does_not_have_is_refused() -> None:
    def refused(model: str, **given: Any) -> str:
        return message(check_config, Config(model, "ml-100k", config_dict={"gpu_id": "", **given}))

    assert refused("SASRec", loss_type="foo") == "unknown loss_type 'foo': SASRec has BPR, CE."
    assert refused("SASRec", loss_type="bpr") == "unknown loss_type 'bpr': SASRec has BPR, CE. Did you mean 'BPR'?"


def test_a_direction_that_recbole_overwrites_is_refused() -> None:
    given = {"gpu_id": "", "valid_metric_bigger": False}
    assert message(check_config, Config("BPR", "ml-100k", config_dict=given)) == (
        "valid_metric_bigger is False: RecBole sets it to True for MRR@10; leave it out"
    )
    check_config(Config("BPR", "ml-100k", config_dict=given | {"valid_metric_bigger": True}))


def test_the_defaults_of_recbole_pass() -> None:
    for model in ("BPR", "SASRec", "FM", "KGAT", "CDAE"):
        check_config(Config(model, "ml-100k", config_dict={"gpu_id": ""}))


def test_the_metrics_are_those_of_recbole() -> None:
    assert {name.lower() for name in (*RANKING_METRICS, *VALUE_METRICS)} == set(metric_types)
    kinds = {name: metric_types[name.lower()] for name in (*RANKING_METRICS, *VALUE_METRICS)}
    assert {name for name, kind in kinds.items() if kind == EvaluatorType.VALUE} == set(VALUE_METRICS)
