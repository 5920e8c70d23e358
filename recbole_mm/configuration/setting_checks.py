"""Settings that cannot work, refused before anything is loaded: wrong values, and values that contradict each other.

RecBole meets these mistakes late, with another message, or passes over the setting.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from recbole.utils import InputType

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.configuration.recbole_settings import METRICS_WITHOUT_K, SETTING_TABLE, check_values
from recbole_mm.configuration.valid_names import loss_types
from recbole_mm.data.atomic import as_list
from recbole_mm.settings.default_kinds import kind_of_default
from recbole_mm.settings.parameters import defaults

# What RecBole's transforms of histories read from the configuration.
READ_BY_TRANSFORM = {"mask_itemseq": "mask_ratio", "crop_itemseq": "eta", "reorder_itemseq": "beta"}


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
    check_values(getattr(config, "final_config_dict", config))
    _check_by_defaults(config)
    _check_loss_type(config)
    _check_direction(config)
    _check_transform(config)
    _check_aliases(config)
    if config["valid_metric"] is not None and config["metrics"] is not None:
        _check_valid_metric(config["valid_metric"], as_list(config["metrics"]), as_list(config["topk"]))
    drawn = config["train_neg_sample_args"] or {}
    if config["MODEL_INPUT_TYPE"] == InputType.PAIRWISE and drawn.get("distribution") == "none":
        raise InputError(
            f"{config['model']} compares pairs of items and train_neg_sample_args is None: "
            "set --train_neg_sample_args=\"{'distribution': 'uniform', 'sample_num': 1}\""
        )
    if config["log_wandb"] and importlib.util.find_spec("wandb") is None:
        raise InputError("log_wandb is True and wandb is not installed: pip install wandb, or leave it out")


def _check_by_defaults(config: Any) -> None:
    """Refuse values of RecBole's models, which declare nothing, that are of another kind than RecBole's default."""
    declaration = getattr(getattr(config, "model_class", None), "parameter_class", None)
    declared = defaults(declaration) if declaration else {}
    by_default = getattr(config, "internal_config_dict", {})
    for name, value in getattr(config, "external_config_dict", {}).items():
        if name in by_default and name not in SETTING_TABLE and name not in declared:
            kind = kind_of_default(name, by_default[name])
            if kind is not None:
                kind.check(name, value)


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


def _check_transform(config: Any) -> None:
    """Refuse a transform of histories where there are none, or nothing says how."""
    transform, kind = config["transform"], getattr(config["MODEL_TYPE"], "name", None)
    if transform is not None and kind is not None and kind != "SEQUENTIAL":
        raise InputError(f"transform is {transform!r}: it is for models of histories; leave it out")
    read = READ_BY_TRANSFORM.get(transform)
    if read is not None and config[read] is None:
        raise InputError(f"transform is {transform!r} and {read} has no value: set it to a share, such as 0.2")


def _check_aliases(config: Any) -> None:
    """Refuse columns that are to share ids with others and are not loaded."""
    if not isinstance(config["load_col"], dict):
        return
    loaded = {name for names in config["load_col"].values() for name in as_list(names)}
    for name in ("user", "item", "entity", "relation"):
        for column in as_list(config[f"alias_of_{name}_id"]):
            if column not in loaded:
                raise InputError(
                    f"alias_of_{name}_id: '{column}' is not in load_col: add it there.{nearest(column, loaded)}"
                )


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
