"""The way of a run up to its first epoch: what goes wrong is collected, and what is seen is counted."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from recbole.data import data_preparation
from recbole.utils import get_model, init_seed
from tqdm import tqdm

from recbole_mm import checks
from recbole_mm.data.atomic import mistakes_in_files
from recbole_mm.data.features import read_features
from recbole_mm.engine import Engine, computing
from recbole_mm.inspection import suspicions
from recbole_mm.inspection.coconsumption import co_consumption
from recbole_mm.inspection.features import blocks, features
from recbole_mm.inspection.loading import (
    described_modalities,
    folder_of,
    interaction_files,
    load_readable,
    pairs_of,
    reads_features,
    training_pairs,
)
from recbole_mm.inspection.result import Inspection, Modality
from recbole_mm.inspection.statistics import Pairs, interactions, split_sizes
from recbole_mm.parameters import read_config
from recbole_mm.request import Request, build_config, check_command
from recbole_mm.run import build_model, build_trainer, load_dataset

SPLITS = ("train", "valid", "test")
LEAST = {"valid_and_test": 3, "valid_only": 2, "test_only": 2}  # interactions of a user, by eval_args.split.LS


def inspect(request: Request) -> Inspection:
    """Look at the data set of a request as a training of its model would find it.

    Raises
    ------
    InputError
        Only for a mistake in the request itself: an unknown model or setting, or a configuration file that cannot be
        read. What is wrong with the data or the values of settings is in the result.
    """
    model, dataset, data_path = check_command(request)
    found = Inspection(dataset=dataset, model=model)
    config, engine = None, Engine()
    with found.problems.collected("reading the settings"):
        config = build_config(request, model, dataset, data_path)
    if config is None:
        return found
    with found.problems.collected("reading the settings"):
        engine = read_config(Engine, config)
    with computing(engine), tempfile.TemporaryDirectory() as folder:
        config["checkpoint_dir"] = folder
        _walk(config, found)
    return found


def _walk(config: Any, found: Inspection) -> None:
    with tqdm(total=5, unit="step", leave=False, delay=1) as bar:

        def step(name: str) -> None:
            bar.update(1 if bar.desc else 0)
            bar.set_description(name, refresh=False)

        step("features")
        _check_settings(config, found)
        names = _read_modalities(config, found)
        step("files")
        mistakes = list(mistakes_in_files(config))
        for mistake in mistakes:
            found.problems.add(str(mistake), is_error=True)
        if mistakes:
            return  # RecBole would misread them
        step("data set")
        dataset, featured = _load(config, names, found)
        if dataset is None:
            return
        loaders = _look_at_interactions(config, dataset, found)
        step("model")
        if loaders is not None and not found.problems.errors:
            _check_model(config, loaders, found)
        step("co-consumption")
        if hasattr(featured, "modality"):
            _look_at_modalities(config, featured, loaders, found)


def _load(config: Any, names: list[str], found: Inspection) -> tuple[Any, Any]:
    """Return the data set of a run, or else one that can be loaded, and one with features; None where there is none."""
    init_seed(config["seed"], config["reproducibility"])
    dataset = None
    with found.problems.collected("loading the data set"):
        dataset = load_dataset(config)
    featured = dataset
    if not hasattr(dataset, "modality"):
        featured = load_readable(config, names, found.problems, is_error=reads_features(config))
    return featured if dataset is None else dataset, featured


def _check_settings(config: Any, found: Inspection) -> None:
    with found.problems.collected("reading the settings"):
        checks.check_config(config)
    declaration = getattr(get_model(config["model"]), "parameter_class", None)
    with found.problems.collected("reading the settings"):
        if declaration:
            read_config(declaration, config)


def _read_modalities(config: Any, found: Inspection) -> list[str]:
    """Describe every feature file; return the names of those that can be read."""
    folder, names = folder_of(config), []
    for name, spec in described_modalities(config).items():
        modality = found.modalities[str(name)] = Modality()
        with found.problems.collected(f"reading the modality '{name}'", is_error=reads_features(config)):
            table = read_features(name, spec, folder)
            modality.source = table.source
            parts = tqdm(blocks(table), desc=f"{name}: rows", unit="block", leave=False, delay=1)
            modality.features = features(parts)
            names.append(name)
            for text in suspicions.about_features(name, table.source, table.ids, modality.features):
                found.problems.add(text)
    return names


def _look_at_interactions(config: Any, dataset: Any, found: Inspection) -> Any:
    """Count and check the interactions and their splits; return the splits' loaders, None where there are none."""
    whole = pairs_of(dataset)
    found.interactions = interactions(whole, dataset.user_num - 1, dataset.item_num - 1)
    loaders = _split(config, dataset, found)
    _suspect(config, dataset, whole, loaders, found)
    return loaders


def _split(config: Any, dataset: Any, found: Inspection) -> Any:
    loaders = None
    with found.problems.collected("reading the settings"):
        checks.check_catalogue(config, dataset)
    with found.problems.collected("splitting the data set"):
        loaders = data_preparation(config, dataset)
    if loaders is None:
        return None
    with found.problems.collected("splitting the data set"):
        checks.check_splits(*loaders)
    found.splits = split_sizes(dict(zip(SPLITS, _split_pairs(loaders), strict=True)))
    return loaders


def _split_pairs(loaders: Any) -> list[Pairs]:
    train, *held_out = (loader._dataset for loader in loaders)
    return [training_pairs(train), *map(pairs_of, held_out)]


def _suspect(config: Any, dataset: Any, whole: Pairs, loaders: Any, found: Inspection) -> None:
    """Warn of interactions and splits that training would put up with."""
    tokens = dataset.field2id_token
    names = suspicions.Names(tokens[dataset.uid_field], tokens[dataset.iid_field])
    texts: list[str] = []
    files = interaction_files(config)
    parts = _split_pairs(loaders) if loaders is not None else []
    own_splits = len(files) == len(parts)
    for file, pairs in zip(files, parts if own_splits else [whole], strict=False):
        texts += suspicions.about_repeats(file, pairs, names)
    if dataset.time_field in dataset.inter_feat:
        times = np.asarray(dataset.inter_feat[dataset.time_field])
        texts += suspicions.about_times(files[0], dataset.time_field, times)
    needed = LEAST.get(str(((config["eval_args"] or {}).get("split") or {}).get("LS")), 0)
    if found.interactions is not None and config["benchmark_filename"] is None:
        texts += suspicions.about_short_histories(files[0], found.interactions, needed, names)
    for place, split in list(enumerate(found.splits))[1:]:
        file = files[place] if own_splits else files[0]
        texts += suspicions.about_leaks(file, split.name, parts[0], parts[place], names)
        texts += suspicions.about_cold(file, split)
    for text in texts:
        found.problems.add(text)


def _check_model(config: Any, loaders: Any, found: Inspection) -> None:
    """Build the model and score a batch, as a run does before it trains."""
    with found.problems.collected(f"building {config['model']}"):
        model = build_model(config, loaders[0])
        with _elsewhere(config["checkpoint_dir"]):
            trainer = build_trainer(config, model)
            trainer.tensorboard.close()
        checks.check_scores(trainer, loaders[1])


@contextmanager
def _elsewhere(folder: str) -> Iterator[None]:
    """Work in another folder within the block: RecBole's trainers write to the working folder when they are made."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _look_at_modalities(config: Any, dataset: Any, loaders: Any, found: Inspection) -> None:
    """Count the items that have features, and compare neighbours in them with random items."""
    train = training_pairs(loaders[0]._dataset) if loaders is not None else None
    for name in dataset.modality_names:
        modality, real = found.modalities[name], dataset.modality_mask(name)
        modality.covered = int(real.sum())
        texts = list(suspicions.about_coverage(name, modality.source, modality.covered, dataset.item_num - 1))
        if train is not None and len(train):
            modality.co_consumption = co_consumption(dataset.modality(name), real, train, config["seed"])
        if modality.co_consumption is not None:
            texts += suspicions.about_co_consumption(name, modality.source, modality.co_consumption)
        for text in texts:
            found.problems.add(text)
