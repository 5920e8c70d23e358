"""The way of a run up to its first epoch: what goes wrong is collected, and what is seen is counted."""

from __future__ import annotations

import tempfile
from typing import Any

from recbole.utils import init_seed
from tqdm import tqdm

from recbole_mm.configuration.request import SETTINGS_CHECKS, Request, build_config, check_command
from recbole_mm.data.file_checks import mistakes_in_files
from recbole_mm.data.identity import data_hash
from recbole_mm.inspection.found import Inspection
from recbole_mm.inspection.loading import interaction_pairs, load_readable, split_pairs, split_times
from recbole_mm.inspection.looks import look_at_features, look_at_interactions, look_at_modalities, look_at_order
from recbole_mm.recbole_bridge.engine import computing
from recbole_mm.recbole_bridge.models import is_multimodal
from recbole_mm.settings.execution import Engine
from recbole_mm.settings.parameters import read_config
from recbole_mm.training import data_checks
from recbole_mm.training.build import build_model, build_trainer, load_dataset, split_dataset


def inspect(request: Request) -> Inspection:
    """Look at the dataset of a request as a training of its model would find it.

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
        names = look_at_features(config, found)
        step("files")
        mistakes = list(mistakes_in_files(config))
        for mistake in mistakes:
            found.problems.add(str(mistake), is_error=True)
        if mistakes:
            return  # RecBole would misread them
        step("dataset")
        dataset, featured = _load(config, names, found)
        if dataset is None:
            return
        with found.problems.collected("hashing the files"):
            found.data_hash = data_hash(dataset)
        whole = interaction_pairs(dataset)  # before RecBole makes histories of them
        loaders = _split(config, dataset, found)
        splits = split_pairs(loaders)
        look_at_interactions(config, dataset, whole, splits, found)
        look_at_order(config["dataset"], split_times(loaders), found)
        step("model")
        if loaders is not None and not found.problems.errors:
            _check_model(config, loaders, found)
        step("co-consumption")
        if hasattr(featured, "modality"):
            look_at_modalities(featured, splits.get("train"), config["seed"], found)


def _load(config: Any, names: list[str], found: Inspection) -> tuple[Any, Any]:
    """Return the dataset of a run, or else one that can be loaded, and one with features; None where there is none."""
    init_seed(config["seed"], config["reproducibility"])
    dataset = None
    with found.problems.collected("loading the dataset"):
        dataset = load_dataset(config)
    featured = dataset
    if not hasattr(dataset, "modality"):
        featured = load_readable(config, names, found.problems, is_error=is_multimodal(config))
    return featured if dataset is None else dataset, featured


def _check_settings(config: Any, found: Inspection) -> None:
    for check in SETTINGS_CHECKS:
        with found.problems.collected("reading the settings"):
            check(config)


def _split(config: Any, dataset: Any, found: Inspection) -> Any:
    """Return the loaders of the splits, None where there are none."""
    loaders = None
    with found.problems.collected("reading the settings"):
        data_checks.check_catalogue(config, dataset)
    with found.problems.collected("splitting the dataset"):
        loaders = split_dataset(config, dataset)
    with found.problems.collected("splitting the dataset"):
        if loaders is not None:
            data_checks.check_splits(*loaders)
    return loaders


def _check_model(config: Any, loaders: Any, found: Inspection) -> None:
    """Build the model and score a batch, as a run does before it trains."""
    with found.problems.collected(f"building {config['model']}"):
        model = build_model(config, loaders[0])
        data_checks.check_scores(build_trainer(config, model), loaders[1])
