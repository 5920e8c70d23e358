"""What RecBole does on today's libraries and with what users give it, one symptom a function.

`python symptoms.py alone` writes a json object, name -> outcome, of RecBole alone; `python symptoms.py late` does
so with recbole_mm imported after RecBole. An outcome is what the function returns, or the exception's first line.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"
ROWS = [(f"u{user}", f"i{user * step % 11}") for user in range(1, 9) for step in (1, 2, 3, 4, 5)]
THREE = [("u1", "i1"), ("u1", "i2"), ("u2", "i3")]  # gives i1, i2, i3 the internal ids 1, 2, 3


class Attack:
    """An object whose unpickling makes the folder `ran`."""

    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.ran),)


def write(folder: Path, rows: list[tuple[str, str]], item: str | None = None) -> None:
    """Write the dataset `toy`: its interactions, one a second, and its item file."""
    (folder / "toy").mkdir(parents=True, exist_ok=True)
    lines = [f"{user}\t{name}\t{time}\n" for time, (user, name) in enumerate(rows)]
    (folder / "toy" / "toy.inter").write_text(HEADER + "".join(lines))
    if item is not None:
        (folder / "toy" / "toy.item").write_text(item)


def configuration(folder: Path, model: str = "BPR", **settings: Any) -> Any:
    from recbole.config import Config

    paths = {"data_path": str(folder), "checkpoint_dir": str(folder / "saved"), "load_col": None, "gpu_id": ""}
    small = {"embedding_size": 4, "epochs": 1, "topk": [3], "valid_metric": "MRR@3", "show_progress": False}
    return Config(model=model, dataset="toy", config_dict={**paths, **small, **settings})


def load(folder: Path, model: str = "BPR", **settings: Any) -> Any:
    """Return the dataset `toy`."""
    from recbole.data import create_dataset

    return create_dataset(configuration(folder, model, **settings))


def make(folder: Path, model: str = "BPR", **settings: Any) -> tuple[Any, Any]:
    """Return the trainer of an untrained model, and the dataloaders, on `ROWS`."""
    from recbole.data import data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    write(folder, ROWS)
    loaded = load(folder, model, **settings)
    init_seed(loaded.config["seed"], True)
    loaders = data_preparation(loaded.config, loaded)
    network = get_model(model)(loaded.config, loaders[0].dataset)
    return get_trainer(loaded.config["MODEL_TYPE"], model)(loaded.config, network), loaders


def features(folder: Path, item: str, **settings: Any) -> dict[str, Any]:
    """Return the columns of the items [PAD], i1, i2, i3 after loading."""
    write(folder, THREE, item)
    loaded = load(folder, **settings)
    loaded._change_feat_format()
    columns = loaded.item_feat.interaction
    return {field: columns[field].tolist() for field in columns if field != "item_id"}


# numpy 2


def config(folder: Path) -> str:
    return str(configuration(folder)["model"])


def names_in_numpy(folder: Path) -> list[str]:
    numpy = importlib.import_module("numpy")
    configuration(folder)
    return [name for name in ("complex", "float", "int", "object", "str", "unicode") if name in vars(numpy)]


def metric_type(folder: Path) -> list[str]:
    trainer, (_, _, test) = make(folder)
    return sorted({type(value).__name__ for value in trainer.evaluate(test, load_best_model=False).values()})


def coverage(folder: Path) -> list[list[str]]:
    keys = {"metrics": ["ItemCoverage", "AveragePopularity"], "valid_metric": "ItemCoverage@3"}
    trainer, loaders = make(folder, **keys)
    trainer.fit(loaders[0], None, saved=False, verbose=False)
    return [list(trainer.evaluate(loader, load_best_model=False)) for loader in loaders[1:]]


# scipy


def adjacency(folder: Path) -> list[list[float]]:
    """Return the matrix of LightGCN for u1-i1, u1-i2, u2-i2; its nodes are [PAD], u1, u2, [PAD], i1, i2."""
    from recbole.model.general_recommender.lightgcn import LightGCN

    write(folder, [("u1", "i1"), ("u1", "i2"), ("u2", "i2")])
    loaded = load(folder, "LightGCN")
    loaded._change_feat_format()
    matrix = LightGCN(loaded.config, loaded).norm_adj_matrix.to_dense()
    return [[round(value, 5) for value in row] for row in matrix.tolist()]


# pandas 3


def missing_sequence(folder: Path) -> Any:
    return features(folder, "item_id:token\ttags:token_seq\ni1\tx y\ni2\t\ni3\ty z w\n")


def missing_float_sequence(folder: Path) -> Any:
    return features(folder, "item_id:token\temb:float_seq\ni1\t1 2\ni2\t\ni3\t3\n")


def only_missing_sequences(folder: Path) -> Any:
    return features(folder, "item_id:token\tyear:float\ttags:token_seq\ni1\t1\t\ni2\t2\t\ni3\t3\t\n")


def full_sequence(folder: Path) -> Any:
    return features(folder, "item_id:token\ttags:token_seq\ni1\tx y\ni2\tz\ni3\ty x w\n")


def normalised_sequence(folder: Path) -> Any:
    item = "item_id:token\temb:float_seq\ni1\t1 2\ni2\t5\ni3\t3\n"
    return features(folder, item, normalize_field=["emb"])


MISSING = "item_id:token\tyear:float\tcat:token\ni1\t1990\tx\ni2\t\ty\ni3\t2000\t\n"


def missing_values(folder: Path) -> Any:
    return features(folder, MISSING)


def normalised_missing_values(folder: Path) -> Any:
    return features(folder, MISSING, normalize_all=True)


def column_types(folder: Path) -> list[str]:
    write(folder, THREE, "item_id:token\tyear:float\tcat:token\ttags:token_seq\ni1\t1990\t007\tx\n")
    frame = load(folder)._load_feat(str(folder / "toy" / "toy.item"), "item")
    return [str(kind) for kind in frame.dtypes]


def shares_memory(folder: Path) -> bool:
    """Return whether writing to RecBole's tensors writes to the read-only data frame that they were made of."""
    write(folder, THREE)
    loaded = load(folder)
    frame = loaded.inter_feat
    before = frame["user_id"].tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded._dataframe_to_interaction(frame)["user_id"].zero_()
    return bool(frame["user_id"].tolist() != before)


# torch


def checkpoint(folder: Path) -> int:
    trainer, _ = make(folder)
    trainer._save_checkpoint(3, verbose=False, saved_model_file=folder / "bpr.pth")
    trainer.resume_checkpoint(folder / "bpr.pth")
    return int(trainer.start_epoch)


def reload(folder: Path) -> bool:
    from recbole.quick_start import load_data_and_model

    trainer, _ = make(folder)
    trainer._save_checkpoint(3, verbose=False, saved_model_file=folder / "bpr.pth")
    _, model, *_ = load_data_and_model(str(folder / "bpr.pth"))
    return bool((model.item_embedding.weight == trainer.model.item_embedding.weight).all())


# ray


def tune_report(folder: Path) -> Any:
    """Return what Ray's Tune receives of RecBole's objective."""
    from ray import tune
    from recbole.quick_start import objective_function

    write(folder, ROWS)
    received = []

    def report(metrics: Any, *, checkpoint: Any = None) -> None:
        received.append(sorted(metrics))

    original, tune.report = tune.report, report
    try:
        settings = configuration(folder, metrics=["Recall", "MRR"]).external_config_dict
        objective_function({**settings, "model": "BPR", "dataset": "toy"}, saved=False)
    finally:
        tune.report = original
    return received


# Any version


def changed_file(folder: Path) -> list[int]:
    write(folder, ROWS)
    before = load(folder, save_dataset=True).inter_num
    write(folder, [*ROWS, ("u9", "i0")])
    return [before, load(folder, save_dataset=True).inter_num]


def changed_split(folder: Path) -> list[int]:
    from recbole.data import data_preparation

    write(folder, ROWS)
    load(folder, save_dataset=True)
    loaded = load(folder, eval_args={"split": {"RS": [0.4, 0.2, 0.4]}})  # 8 users with 5 interactions each
    return [len(loader.dataset) for loader in data_preparation(loaded.config, loaded)]


def evil_caches(folder: Path) -> list[bool]:
    from recbole.data.utils import load_split_dataloaders

    write(folder, ROWS)
    (folder / "saved").mkdir()
    for name in ("toy-Dataset", "toy-for-BPR-dataloader"):
        (folder / "saved" / f"{name}.pth").write_bytes(pickle.dumps(Attack(folder / name)))
    for use in (load, lambda folder: load_split_dataloaders(configuration(folder))):
        with contextlib.suppress(AttributeError, TypeError):  # what the pickle gives is no dataset
            use(folder)
    return [(folder / name).exists() for name in ("toy-Dataset", "toy-for-BPR-dataloader")]


def command_line(folder: Path) -> Any:
    """Return the settings that texts on the command line become."""
    texts = ["__import__('os').mkdir('ran')", "[1,2]", "1e-3", "True", "None", "{'a':1}", "true", "word", "1+1", "(("]
    before, sys.argv = sys.argv, ["x", *(f"--x{number}={text}" for number, text in enumerate(texts))]
    try:
        settings = configuration(folder)
    finally:
        sys.argv = before
    values = [settings[f"x{number}"] for number in range(len(texts))]
    return [Path("ran").exists(), *values]


def sweep_file(folder: Path) -> Any:
    """Return whether code in RecBole's file of a sweep runs, and what becomes of plain values."""
    from recbole.trainer import HyperTuning

    file = folder / "hyper.test"
    file.write_text(f"a choice [1,'x']\nb choice [__import__('os').mkdir('{folder}/ran')]\n")
    stand_in: Any = SimpleNamespace(hp=SimpleNamespace(choice=lambda name, values: values))
    sys.modules["hyperopt"] = stand_in
    try:
        with contextlib.suppress(SyntaxError):
            HyperTuning._build_space_from_file(str(file))
        file.write_text("a choice [1,'x']\n")
        return [(folder / "ran").exists(), HyperTuning._build_space_from_file(str(file))]
    finally:
        del sys.modules["hyperopt"]


def teacher(folder: Path) -> list[bool]:
    """Return whether a text that names no teacher runs, and whether KD_DAGFM finds the one that exists."""
    settings = {"load_col": {"inter": ["user_id", "item_id"]}, "metrics": ["AUC"], "valid_metric": "AUC"}
    with contextlib.suppress(AttributeError, TypeError):  # what the text gives is no class
        make(folder, "KD_DAGFM", teacher=f"__import__('os').mkdir('{folder / 'ran'}')", **settings)
    trainer, _ = make(folder, "KD_DAGFM", teacher="CrossNet", **settings)
    return [(folder / "ran").exists(), type(trainer.model.teacher_network).__name__ == "CrossNet"]


def anomaly_mode(folder: Path) -> bool:
    """Return whether a sequential model of RecBole leaves autograd's anomaly mode on."""
    import torch

    configuration(folder, "SASRec", train_neg_sample_args=None)
    return torch.is_anomaly_enabled()


SYMPTOMS: tuple[Callable[[Path], Any], ...] = (
    config, names_in_numpy, metric_type, coverage, adjacency, missing_sequence, missing_float_sequence,
    only_missing_sequences, full_sequence, normalised_sequence, missing_values, normalised_missing_values,
    column_types, shares_memory,
    checkpoint, reload, tune_report, changed_file, changed_split, evil_caches, command_line, sweep_file,
    teacher,     anomaly_mode,
)  # fmt: skip


def outcome(function: Callable[[Path], Any], folder: Path) -> Any:
    try:
        return function(folder)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"


def main(mode: str) -> None:
    """Write the outcomes to stdout; each symptom runs in a folder of its own below the working directory."""
    for name in ("model.context_aware_recommender", "model.general_recommender", "trainer", "quick_start"):
        importlib.import_module(f"recbole.{name}")
    here, found = Path.cwd(), {}
    if mode == "late":
        importlib.import_module("recbole_mm")
    for function in SYMPTOMS:
        folder = here / function.__name__
        folder.mkdir()
        found[function.__name__] = outcome(function, folder)
        if function is config and mode == "alone":  # cure this one, or no other is seen
            numpy = importlib.import_module("numpy")
            for name, new in {"float_": "float64", "complex_": "complex128", "unicode_": "str_"}.items():
                setattr(numpy, name, getattr(numpy, new))
    sys.stdout.write("\n" + json.dumps(found))


if __name__ == "__main__":
    mode = sys.argv.pop()
    main(mode)
