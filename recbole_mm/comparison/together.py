"""Which models can stand in one table: those that share one evaluation protocol."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import recbole.data.dataset
from recbole.config import Config
from recbole.utils import ModelType, init_seed

from recbole_mm.base.errors import InputError
from recbole_mm.base.plain import to_json
from recbole_mm.configuration.valid_names import data_keys
from recbole_mm.data.cache import Digests, digests_of
from recbole_mm.data.file_checks import check_files
from recbole_mm.data.identity import data_hash
from recbole_mm.recbole_bridge.whole_histories import trains_whole
from recbole_mm.settings.execution import Ranked
from recbole_mm.settings.parameters import read_config
from recbole_mm.training.build import load_dataset, split_dataset
from recbole_mm.training.protocol import held_out

LEAVE_ONE_OUT = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"}
MIXED = {"eval_args": LEAVE_ONE_OUT, "exclude_seen": True, "ask_users_once": True}  # unless the user has them otherwise
SHARED = ("benchmark_filename", "eval_args", "metrics", "topk", "valid_metric", "metric_decimal_place")
UNRANKED = (ModelType.DECISIONTREE,)


def is_mixed(types: Iterable[ModelType]) -> bool:
    """Tell whether some models are sequential, by their types, and some are not."""
    return len({model_type == ModelType.SEQUENTIAL for model_type in types}) == 2


def check_alike(configs: Mapping[str, Config]) -> None:
    """Refuse settings under which the rows of one dataset could not be compared.

    Parameters
    ----------
    configs : mapping
        By row.

    Raises
    ------
    InputError
        Saying which rows, and why.
    """
    for label, config in configs.items():
        if config["MODEL_TYPE"] in UNRANKED:
            raise InputError(f"{label} ranks no items: it cannot be compared with models that do")
        trains_whole(config)  # or is refused, before any row is trained
        mode = config["eval_args"]["mode"]
        if set(mode.values() if isinstance(mode, dict) else [mode]) != {"full"}:
            raise InputError(
                f"eval_args of {label} has mode {mode}: which items are drawn then depends on what a model has drawn "
                "before, so that no two models rank the same items; compare with mode full"
            )
    if is_mixed(config["MODEL_TYPE"] for config in configs.values()):
        _check_mixed(configs)
    (first, reference), *others = configs.items()
    for label, config in others:
        for key in SHARED:
            if config[key] != reference[key] and not (key == "eval_args" and config["benchmark_filename"]):
                raise InputError(
                    f"{first} and {label} cannot be compared: {key} is {reference[key]} for one and {config[key]} for "
                    f"the other; give all the same, by --{key}"
                )


def _check_mixed(configs: Mapping[str, Config]) -> None:
    """Refuse a mixture of sequential and other models that do not share training and test interactions."""
    sequential = [label for label, config in configs.items() if config["MODEL_TYPE"] == ModelType.SEQUENTIAL]
    for label, config in configs.items():
        args = config["eval_args"]
        if not config["benchmark_filename"] and not ({"LS", "TS"} & set(args["split"]) and args["order"] == "TO"):
            other = next(name for name in configs if name not in sequential)
            raise InputError(
                f"{sequential[0]} is sequential and {other} is not: they are compared on each user's last "
                f"interactions, and eval_args of {label} is split {args['split']}, order {args['order']}; leave "
                f"eval_args out, or set it to {LEAVE_ONE_OUT}"
            )
    for label in sequential:
        if not read_config(Ranked, configs[label]).exclude_seen:
            raise InputError(
                f"exclude_seen is false: {label} would rank seen items, and the models that are not sequential "
                "would not; leave it out"
            )


def load_alike(configs: Mapping[str, Config]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the hash of the files that each row reads, and the test interactions, which are the same for all rows.

    Rows that load and split the data alike share a loading, the check of the files before it, and their digests.

    Raises
    ------
    InputError
        Files or data that cannot be used, or rows whose test interactions differ.
    """
    loaded: dict[str, tuple[str, str, dict[str, Any]]] = {}
    digests: dict[str, Digests] = {}
    hashes: dict[str, str] = {}
    for label, config in configs.items():
        way = _loading(config)
        if way not in loaded:
            check_files(config)
            init_seed(config["seed"], config["reproducibility"])
            dataset = load_dataset(config)
            loaded[way] = label, data_hash(dataset), held_out(*split_dataset(config, dataset)[1:])
            digests[way] = digests_of(config)
        digests_of(config).known.update(digests[way].known)
        hashes[label] = loaded[way][1]
    (first, _, found), *others = loaded.values()
    for label, _, other in others:
        refuse_other(first, found, label, other)
    return hashes, found


def _loading(config: Config) -> str:
    """Return what tells whether two models get the same data, split alike."""
    kind = getattr(recbole.data.dataset, f"{config['model']}Dataset", config["MODEL_TYPE"])  # as create_dataset chooses
    settings = {key: config[key] for key in sorted(data_keys() - {"model"})}
    return json.dumps(to_json([kind, config["MODEL_TYPE"], settings, asdict(read_config(Ranked, config))]))


def refuse_other(first: str, found: Mapping[str, Any], label: str, other: Mapping[str, Any]) -> None:
    """Refuse two rows with different test interactions, or that rank different numbers of items.

    Raises
    ------
    InputError
        With both numbers.
    """
    if other != found:
        both = "; ".join(
            f"{name}: {_asked(what['valid'])} in validation, {_asked(what['test'])} in test, {what['items']} items"
            for name, what in ((first, found), (label, other))
        )
        raise InputError(
            f"{first} and {label} cannot be compared: they have different test interactions ({both}). A sequential "
            "model needs a history before each of them: keep users who have enough interactions, by "
            "--user_inter_num_interval='[5,inf)' or, where the data come split, in the files; and with "
            "ask_users_once it ranks once per user, as the others"
        )


def _asked(split: Mapping[str, Any]) -> str:
    return f"{split['questions']} rankings for {split['interactions']} interactions"
