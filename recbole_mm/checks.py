"""What is refused before training: settings, atomic files, catalogue, splits and scores that cannot work.

RecBole meets these mistakes late, with another message, or not at all.
"""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.data.dataloader import FullSortEvalDataLoader

from recbole_mm.errors import InputError, nearest

LEARNERS = ("adam", "adamw", "sgd", "adagrad", "rmsprop", "sparse_adam")
METRICS_WITHOUT_K = ("auc", "gauc", "logloss", "mae", "rmse")
WHOLE_NUMBERS = ("epochs", "train_batch_size", "eval_batch_size", "stopping_step")

BLOCK = 1 << 13  # characters of an atomic file that are checked at a time; larger is slower
TYPES = ("token", "token_seq", "float", "float_seq")
SEPARATORS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "pipe", " ": "space"}

# What pandas reads as a missing value by default.
MISSING = frozenset(
    {"", "NA", "N/A", "n/a", "<NA>", "#NA", "#N/A", "#N/A N/A", "NULL", "null", "None"}
    | {"nan", "NaN", "-nan", "-NaN", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
)

Columns = dict[str, str]  # field -> type, in the order of the file


def check_config(config: Any) -> None:
    """Refuse a learner, number or validation metric that RecBole would replace or trip over.

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
        raise InputError(f"learner '{learner}' is none of {', '.join(LEARNERS)}.{hint}")
    rate = config["learning_rate"]
    if rate is not None and not (_is_number(rate) and 0 < rate < math.inf):
        raise InputError(f"learning_rate is {rate!r}: it must be a number above 0")
    for name in WHOLE_NUMBERS:
        _check_whole_number(name, config[name])
    for k in _as_list(config["topk"]):
        _check_whole_number("topk", k)
    if config["valid_metric"] is not None and config["metrics"] is not None:
        _check_valid_metric(config["valid_metric"], _as_list(config["metrics"]), _as_list(config["topk"]))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_whole_number(name: str, value: object) -> None:
    if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        raise InputError(f"{name} is {value!r}: it must be a whole number of at least 1")


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


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


def check_files(config: Any) -> None:
    """Read once every atomic file that RecBole will load, and refuse what it would misread.

    The content passes in small blocks; only the sets of user and item ids are kept.

    Parameters
    ----------
    config : Config
        `data_path` is the folder of the dataset and `dataset` the prefix of its files.

    Raises
    ------
    InputError
        One line naming the file and, where there is one, the line, the field and the value: a missing file, a
        header without types or with another separator, a missing column, a row with more or fewer fields
        than the header, an id that pandas reads as missing, text among numbers, no rows, or ids of a
        `.user` or `.item` file that never occur in the `.inter` file.
    """
    ids: dict[str, dict[str, set[str]]] = {}  # suffix of the file -> id field -> ids
    for suffix, path in _atomic_files(config):
        columns, loaded = _check_header(path, suffix, config)
        found = _check_rows(path, columns, loaded, config)
        for field, values in found.items():
            ids.setdefault(suffix, {}).setdefault(field, set()).update(values)
    if config["filter_inter_by_user_or_item"] is True and config["benchmark_filename"] is None:
        for suffix, id_field in (("user", "USER_ID_FIELD"), ("item", "ITEM_ID_FIELD")):
            _check_overlap(config, suffix, config[id_field], ids)


def _check_overlap(config: Any, suffix: str, field: str, ids: Mapping[str, Mapping[str, set[str]]]) -> None:
    here, there = ids.get("inter", {}).get(field), ids.get(suffix, {}).get(field)
    if here and there and here.isdisjoint(there):
        inter, feat = f"{config['dataset']}.inter", f"{config['dataset']}.{suffix}"
        raise InputError(
            f"{Path(config['data_path'])}: {inter} and {feat} share no {field}, so every interaction would "
            f"be filtered out: {inter} has {min(here)!r}, {feat} has {min(there)!r}"
        )


def _atomic_files(config: Any) -> Iterator[tuple[str, Path]]:
    """Yield suffix and path of each file to load; raise for one that must exist and does not."""
    folder, name = Path(config["data_path"]), config["dataset"]
    if not folder.is_dir():
        raise InputError(f"{folder}: the folder of dataset '{name}' does not exist: make it or set data_path")
    parts = config["benchmark_filename"]
    needed = [f"{name}.inter"] if parts is None else [f"{name}.{part}.inter" for part in _as_list(parts)]
    for file in needed:
        if not (folder / file).is_file():
            there = ", ".join(sorted(path.name for path in folder.glob("*.inter"))) or "no .inter file"
            raise InputError(f"{folder / file} does not exist; the folder has {there}")
        yield "inter", folder / file
    extra = _as_list(config["additional_feat_suffix"])
    if getattr(config["MODEL_TYPE"], "name", None) == "KNOWLEDGE":
        extra += [suffix for suffix in ("kg", "link") if suffix not in extra]
    for suffix in ("user", "item", *extra):
        path = folder / f"{name}.{suffix}"
        if not _is_loaded(suffix, config):
            continue
        if path.is_file():
            yield suffix, path
        elif suffix in extra:
            raise InputError(f"{path} does not exist, but the settings ask for its features")


def _is_loaded(suffix: str, config: Any) -> bool:
    load_col = config["load_col"]
    return load_col is None or bool(load_col.get(suffix))


def _check_header(path: Path, suffix: str, config: Any) -> tuple[Columns, set[str]]:
    """Return the columns of the file, and which of them RecBole loads."""
    with _open(path, config) as lines:
        head = _read(lines.readline, path, config).rstrip("\n")
    columns = _parse_header(path, head, config["field_separator"] or "\t")
    load_col = config["load_col"]
    if not _is_loaded(suffix, config):
        raise InputError(f"load_col has no '{suffix}': list there the columns to load of {path}")
    asked = list(columns) if load_col is None or load_col[suffix] == "*" else _as_list(load_col[suffix])
    left_out = set(_as_list((config["unload_col"] or {}).get(suffix)))
    for field in _needed_fields(suffix, config):
        _check_column(path, field, columns, "no column")
        if field not in asked or field in left_out:
            raise InputError(f"load_col and unload_col leave out '{field}' of {path}: it must be loaded")
        if field != config["TIME_FIELD"] and columns[field] != "token":
            raise InputError(f"{path}, line 1: '{field}:{columns[field]}' holds ids, write {field}:token")
    # RecBole's defaults for some kinds of models ask for columns that a dataset need not have.
    if load_col != getattr(config, "internal_config_dict", {}).get("load_col", ()):
        for field in asked:
            _check_column(path, field, columns, f"no column for load_col.{suffix},")
    return columns, {field for field in asked if field in columns} - left_out


def _needed_fields(suffix: str, config: Any) -> list[str]:
    user, item, time = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"], config["TIME_FIELD"]
    sequential = getattr(config["MODEL_TYPE"], "name", None) == "SEQUENTIAL"
    ordered = sequential or (config["eval_args"] or {}).get("order") == "TO"
    inter = [user, item, time] if ordered and config["benchmark_filename"] is None else [user, item]
    fields = {"inter": inter, "user": [user], "item": [item]}.get(suffix, [])
    return [field for field in fields if field]


def _check_column(path: Path, field: str, columns: Columns, problem: str) -> None:
    if field not in columns:
        there = ", ".join(columns)
        raise InputError(
            f"{path}, line 1: {problem} '{field}'; the columns are {there}.{nearest(field, columns)}"
        )


def _parse_header(path: Path, head: str, separator: str) -> Columns:
    if not head.strip():
        raise InputError(f"{path}, line 1: no header, such as user_id:token{separator}item_id:token")
    if head.startswith("\ufeff"):
        raise InputError(f"{path}, line 1: starts with a byte-order mark: set encoding: utf-8-sig")
    columns: Columns = {}
    for cell in head.split(separator):
        field, colon, kind = cell.partition(":")
        if not colon or kind not in TYPES:
            _check_separator(path, head, separator)
        if not colon:
            raise InputError(f"{path}, line 1: '{cell}' has no type, write {cell}:token")
        if kind not in TYPES:
            hint = nearest(kind, TYPES)
            raise InputError(f"{path}, line 1: '{cell}' has no type of {', '.join(TYPES)}.{hint}")
        if field in columns:
            raise InputError(f"{path}, line 1: '{field}' is there twice")
        columns[field] = kind
    return columns


def _check_separator(path: Path, head: str, separator: str) -> None:
    if separator in head:
        return
    for other, name in SEPARATORS.items():
        if other in head:
            own = SEPARATORS.get(separator, repr(separator))
            raise InputError(
                f"{path}, line 1: looks {name}-separated: "
                f"set field_separator: {json.dumps(other)} or convert it to {own}s"
            )


def _check_rows(path: Path, columns: Columns, loaded: set[str], config: Any) -> dict[str, set[str]]:
    """Check every row; return the ids of each loaded id column."""
    fields = {config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]} & loaded
    ids: dict[str, set[str]] = {field: set() for field in columns if field in fields}
    n_rows = 0
    for numbers, rows in _blocks(path, config):
        n_rows += len(rows)
        if set(map(len, rows)) != {len(columns)}:
            _refuse_length(path, numbers, rows, len(columns))
        for (field, kind), values in zip(columns.items(), zip(*rows, strict=True), strict=True):
            if field in ids:
                distinct = set(values)
                if not MISSING.isdisjoint(distinct):
                    _refuse_missing(path, field, numbers, values)
                ids[field] |= distinct
            elif field in loaded and kind == "float":
                _check_floats(path, field, numbers, values)
            elif field in loaded and kind == "float_seq":
                _check_float_lists(path, field, numbers, values, config["seq_separator"] or " ")
    if n_rows == 0:
        raise InputError(f"{path}: has a header but no rows")
    return ids


def _open(path: Path, config: Any) -> Any:
    return path.open(encoding=config["encoding"] or "utf-8")


def _read(read: Callable[[], str], path: Path, config: Any) -> str:
    try:
        return read()
    except UnicodeDecodeError as error:
        encoding = config["encoding"] or "utf-8"
        raise InputError(f"{path}: is not {encoding} ({error.reason}): set encoding to what it is") from None


def _blocks(path: Path, config: Any) -> Iterator[tuple[Sequence[int], list[list[str]]]]:
    """Yield line numbers and fields of a block of rows at a time, without blank lines (as pandas)."""
    separator = config["field_separator"] or "\t"
    with _open(path, config) as lines:
        lines.readline()
        start = 2
        while block := _read(lambda: lines.read(BLOCK) + lines.readline(), path, config):
            texts = block.removesuffix("\n").split("\n")
            numbers: Sequence[int] = range(start, start + len(texts))
            start += len(texts)
            rows = [text.split(separator) for text in texts]
            if '"' in block and len(separator) == 1:
                for index, text in enumerate(texts):
                    if '"' in text:
                        rows[index] = _unquote(path, numbers[index], text, separator)
            if [""] in rows or "\n " in block:
                kept = [index for index, row in enumerate(rows) if len(row) > 1 or row[0].strip()]
                numbers, rows = [numbers[index] for index in kept], [rows[index] for index in kept]
            if rows:
                yield numbers, rows


def _unquote(path: Path, number: int, text: str, separator: str) -> list[str]:
    """Split a line as pandas does: a field that starts with a quote goes on to the closing one."""
    reader = csv.reader([text, '"'], delimiter=separator, strict=True)
    try:
        fields = next(reader)
    except csv.Error as error:
        raise InputError(f'{path}, line {number}: {error}: remove the quotes (")') from None
    if reader.line_num > 1:
        raise InputError(
            f'{path}, line {number}: a quote (") at the start of a field is never closed: remove it'
        )
    return fields


def _refuse_length(path: Path, numbers: Sequence[int], rows: list[list[str]], n_columns: int) -> None:
    for number, row in zip(numbers, rows, strict=True):
        if len(row) != n_columns:
            raise InputError(f"{path}, line {number}: {len(row)} fields, but the header has {n_columns}")


def _refuse_missing(path: Path, field: str, numbers: Sequence[int], values: Sequence[str]) -> None:
    for number, value in zip(numbers, values, strict=True):
        if value in MISSING:
            advice = f"rename it, e.g. 'id_{value}'" if value else "fill it in or remove the line"
            raise InputError(
                f"{path}, line {number}: {field} '{value}' would be read as missing and dropped: {advice}"
            )


def _check_floats(path: Path, field: str, numbers: Sequence[int], values: Sequence[str]) -> None:
    try:
        for _ in map(float, values):
            pass
    except ValueError:  # perhaps only missing values, which RecBole fills
        for number, value in zip(numbers, values, strict=True):
            _check_float(path, field, number, value)


def _check_float_lists(
    path: Path, field: str, numbers: Sequence[int], values: Sequence[str], separator: str
) -> None:
    for number, value in zip(numbers, values, strict=True):
        parts = list(filter(None, value.split(separator)))
        try:
            for _ in map(float, parts):
                pass
        except ValueError:
            if value not in MISSING:
                for part in parts:
                    _check_float(path, field, number, part, missing=())


def _check_float(path: Path, field: str, number: int, value: str, missing: Iterable[str] = MISSING) -> None:
    try:
        float(value)
    except ValueError:
        if value not in missing:
            raise InputError(f"{path}, line {number}: {field} has '{value}', which is no number") from None


def check_catalogue(config: Any, dataset: Any) -> None:
    """Refuse a `topk` above the number of items that are left after filtering.

    Raises
    ------
    InputError
        Naming both numbers.
    """
    n_items, k = dataset.item_num - 1, max(_as_list(config["topk"]), default=0)  # without [PAD]
    if k > n_items and getattr(config["eval_type"], "name", None) != "VALUE":
        raise InputError(
            f"topk asks for {k} items but '{config['dataset']}' has {n_items} after filtering: "
            f"lower topk to {n_items} or less"
        )


def check_splits(train_data: Any, valid_data: Any, test_data: Any) -> None:
    """Refuse an empty training, validation or test split of the three dataloaders.

    Raises
    ------
    InputError
        With the number of interactions in each split.
    """
    loaders = {"train": train_data, "valid": valid_data, "test": test_data}
    counts = {name: len(loader._dataset) for name, loader in loaders.items()}
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        sizes = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(
            f"the {' and '.join(empty)} split is empty ({sizes} interactions): "
            "raise its share in eval_args.split, or keep users with more interactions"
        )


@torch.no_grad()
def check_scores(trainer: Any, eval_data: Any) -> None:
    """Score the first batch of `eval_data` and refuse NaN, before an epoch is spent on it.

    The model, the dataloader and every random state are left as they were. Models that only `fit` gives a
    score (RecBole's traditional models and decision trees) are passed over.

    Raises
    ------
    InputError
        See `refuse_nan`.
    """
    model = trainer.model
    if getattr(trainer.config["MODEL_TYPE"], "name", None) in {"TRADITIONAL", "DECISIONTREE"}:
        return
    score = trainer._neg_sample_batch_eval
    if isinstance(eval_data, FullSortEvalDataLoader):
        score = trainer._full_sort_batch_eval
        if trainer.item_tensor is None:
            trainer.item_tensor = eval_data._dataset.get_item_feature().to(trainer.device)
    trainer.tot_item_num = eval_data._dataset.item_num
    training, cached = model.training, model.other_parameter()
    with _random_state_kept():
        model.eval()
        try:
            batch = eval_data.collate_fn(list(range(min(eval_data.step, eval_data.sample_size))))
            scores = score(batch)[1]
        finally:
            model.train(training)
            model.load_other_parameter(cached)
    refuse_nan(scores, type(model).__name__)


def refuse_nan(scores: torch.Tensor, model_name: str) -> None:
    """Refuse scores that are NaN or +inf; -inf marks masked items and is allowed.

    Parameters
    ----------
    scores : torch.Tensor
        Any shape.
    model_name : str
        For the message.

    Raises
    ------
    InputError
        How many of how many scores are unusable, and where to look.
    """
    if scores.numel() and not scores.max() < math.inf:  # the maximum of anything with NaN is NaN
        n_bad = int((torch.isnan(scores) | (scores == math.inf)).sum())
        raise InputError(
            f"{model_name}: {n_bad} of {scores.numel()} scores are NaN or infinite: "
            "lower learning_rate, and look for NaN or huge values in the features"
        )


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Put the global states of random, numpy and torch back at the end."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
