"""Values of settings that cannot work, refused before anything is loaded.

RecBole meets these mistakes late, with another message, or passes over the setting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

from recbole.utils import InputType

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.base.intervals import check_interval
from recbole_mm.configuration.valid_names import loss_types
from recbole_mm.data.atomic import as_list

LEARNERS = ("adam", "adamw", "sgd", "adagrad", "rmsprop", "sparse_adam")
METRICS_WITHOUT_K = ("auc", "gauc", "logloss", "mae", "rmse")
WHOLE_NUMBERS: dict[str, tuple[int, float]] = {  # the least and the most
    "epochs": (1, math.inf),
    "train_batch_size": (1, math.inf),
    "eval_batch_size": (1, math.inf),
    "eval_step": (1, math.inf),
    "stopping_step": (0, math.inf),
    "topk": (1, math.inf),
    "metric_decimal_place": (1, 15),
    "loss_decimal_place": (1, 15),
    "worker": (0, math.inf),
    "MAX_ITEM_LIST_LENGTH": (1, math.inf),
    "seed": (0, 2**32 - 1),
    "shuffle_features": (0, 2**32 - 1),
}
BOOLEANS = (
    *("use_gpu", "reproducibility", "show_progress", "save_dataset", "save_dataloaders", "log_wandb", "shuffle"),
    *("require_pow", "enable_amp", "enable_scaler", "repeatable", "kg_reverse_r", "filter_inter_by_user_or_item"),
    *("normalize_all", "multimodal_dataset"),
)
CHOICES = {"rm_dup_inter": ("first", "last"), "state": ("debug", "info", "warning", "error", "critical")}
INTERVALS = tuple(f"{name}_num_interval" for name in ("user_inter", "item_inter", "entity_kg", "relation_kg"))
MAPPINGS = {  # with an example
    "load_col": "{'inter': ['user_id', 'item_id']}",
    "unload_col": "{'inter': ['rating']}",
    "val_interval": "{'rating': '[3,inf)'}",
}
UNSET = (
    "normalize_all",
    "rm_dup_inter",
    "shuffle_features",
    "state",
    *INTERVALS,
    *MAPPINGS,
)  # None is a value of these
PARTS_OF = {
    "eval_args": ("split", "group_by", "order", "mode"),
    "train_neg_sample_args": ("distribution", "sample_num", "alpha", "dynamic", "candidate_num"),
}


def check_config(config: Any) -> None:
    """Refuse values that RecBole would replace, pass over or trip over.

    Parameters
    ----------
    config : Config
        Only settings that are present are checked.

    Raises
    ------
    InputError
        One line naming the setting.
    """
    learner = config["learner"]
    if learner is not None and str(learner).lower() not in LEARNERS:
        hint = nearest(str(learner), LEARNERS)
        raise InputError(f"unknown learner '{learner}'; choose from {', '.join(LEARNERS)}.{hint}")
    rate = config["learning_rate"]
    if rate is not None and not (_is_number(rate) and 0 < rate < math.inf):
        raise InputError(f"learning_rate is {rate!r}: it must be a number above 0")
    _check_kinds(config)
    _check_loss_type(config)
    _check_direction(config)
    if config["valid_metric"] is not None and config["metrics"] is not None:
        _check_valid_metric(config["valid_metric"], as_list(config["metrics"]), as_list(config["topk"]))
    drawn = config["train_neg_sample_args"] or {}
    if config["MODEL_INPUT_TYPE"] == InputType.PAIRWISE and drawn.get("distribution") == "none":
        raise InputError(
            f"{config['model']} compares pairs of items and train_neg_sample_args is None: "
            "set --train_neg_sample_args=\"{'distribution': 'uniform', 'sample_num': 1}\""
        )


def _check_kinds(config: Any) -> None:
    """Check the values that are of one kind, one after the other."""
    for name in getattr(config, "final_config_dict", config):
        value = config[name]
        for names, check in VALUE_CHECKS:
            if name in names and not (value is None and name in UNSET):
                check(name, value)


def _check_whole_number(name: str, value: object) -> None:
    least, most = WHOLE_NUMBERS[name]
    for one in value if name == "topk" and isinstance(value, list | tuple) else [value]:
        if not isinstance(one, int) or isinstance(one, bool) or not least <= one <= most:
            limits = f"of at least {least}" if most == math.inf else f"between {least} and {most}"
            raise InputError(f"{name} is {one!r}: it must be a whole number {limits}")


def _check_boolean(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise InputError(f"{name} is {value!r}: it must be True or False")


def _check_choice(name: str, value: object) -> None:
    if str(value).lower() not in CHOICES[name]:
        hint = nearest(str(value), CHOICES[name])
        raise InputError(f"{name} is {value!r}: it must be one of {', '.join(CHOICES[name])}.{hint}")


def _check_mapping(name: str, value: object) -> None:
    if not isinstance(value, dict):
        raise InputError(f"{name} is {value!r}: it must be a mapping, such as {MAPPINGS[name]}")


def _check_parts(name: str, value: Any) -> None:
    for part in value or ():
        if part not in PARTS_OF[name]:
            raise InputError(f"{name}: unknown key '{part}'.{nearest(str(part), PARTS_OF[name])}")


VALUE_CHECKS: tuple[tuple[Collection[str], Callable[[str, Any], None]], ...] = (
    (WHOLE_NUMBERS, _check_whole_number),
    (BOOLEANS, _check_boolean),
    (CHOICES, _check_choice),
    (INTERVALS, check_interval),
    (MAPPINGS, _check_mapping),
    (PARTS_OF, _check_parts),
)


def _check_loss_type(config: Any) -> None:
    """Check the value for a model that reads it; `recbole_mm.configuration.valid_names` refuses it for the others."""
    model = getattr(config, "model_class", None)
    choices = loss_types(model) if model and config["loss_type"] is not None else ()
    if choices and config["loss_type"] not in choices:
        hint = nearest(str(config["loss_type"]), choices)
        raise InputError(
            f"unknown loss_type '{config['loss_type']}': {config['model']} has {', '.join(choices)}.{hint}"
        )


def _check_direction(config: Any) -> None:
    """Refuse a direction that RecBole would overwrite with that of the validation metric."""
    given = getattr(config, "external_config_dict", {}).get("valid_metric_bigger")
    if given is not None and given != config["valid_metric_bigger"]:
        raise InputError(
            f"valid_metric_bigger is {given!r}: RecBole sets it to {config['valid_metric_bigger']} for "
            f"{config['valid_metric']}; leave it out"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_valid_metric(valid_metric: str, metrics: Sequence[str], topk: Sequence[int]) -> None:
    name, _, k = valid_metric.partition("@")
    if name.lower() not in (metric.lower() for metric in metrics):
        raise InputError(
            f"valid_metric is {valid_metric} but metrics is [{', '.join(metrics)}]: "
            f"add {name} to metrics.{nearest(name, metrics)}"
        )
    if name.lower() in METRICS_WITHOUT_K:
        if k:
            raise InputError(f"valid_metric is {valid_metric} but {name} has no k: write {name}")
    elif not k.isdecimal():
        example = topk[0] if topk else 10
        raise InputError(f"valid_metric is {valid_metric} but {name} needs a k: write {name}@{example}")
    elif topk and int(k) not in topk:
        raise InputError(
            f"valid_metric is {valid_metric} but topk is {list(topk)}: "
            f"add {k} to topk or validate with {name}@{topk[0]}"
        )
