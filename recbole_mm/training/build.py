"""RecBole's parts of a run, each from the configuration, its data or the one before, with the errors of all named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import ModelType, get_model, get_trainer, init_logger, init_seed

from recbole_mm.base.errors import InputError
from recbole_mm.parallel.process_group import ProcessGroup
from recbole_mm.recbole_bridge import checkpoint
from recbole_mm.recbole_bridge.full_sort import FullSortBatches, exclude_seen
from recbole_mm.recbole_bridge.side_files import events_in
from recbole_mm.settings.execution import Ranked
from recbole_mm.settings.parameters import read_config
from recbole_mm.training.shared_trainer import shared_trainer
from recbole_mm.training.trainer import run_trainer


def load_dataset(config: Config, make: Callable[[Config], Any] = create_dataset) -> Any:
    """Return the dataset that RecBole makes for the configured model, or that another `make` makes.

    Raises
    ------
    InputError
        Data that cannot be used, also where RecBole says so with a ValueError.
    """
    with _data_errors_named(config):
        return make(config)


def split_dataset(config: Config, dataset: Any) -> tuple[Any, Any, Any]:
    """Return RecBole's loaders of the training, validation and test split; errors are those of `load_dataset`."""
    with _data_errors_named(config):
        train, valid, test = data_preparation(config, dataset)
    ranked = read_config(Ranked, config)
    if config["MODEL_TYPE"] != ModelType.SEQUENTIAL or ranked == Ranked():
        return train, valid, test
    if not all(isinstance(loader, FullSortBatches) for loader in (valid, test)):
        given = "exclude_seen" if ranked.exclude_seen else "ask_users_once"
        raise InputError(f"{given} is true and eval_args samples the items to rank: set mode to full")
    if ranked.exclude_seen:
        exclude_seen(train, (valid, test))
    return train, valid, test


@contextmanager
def _data_errors_named(config: Config) -> Iterator[None]:
    """RecBole's own complaints about data, as one line that says which data."""
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"dataset {config['dataset']} in {config['data_path']}: {error}") from error


def build_model(config: Config, train_data: Any) -> Any:
    """Return the configured model on its device, made with RecBole's seed for it from the loader of the training split.

    Raises
    ------
    InputError
        Settings that the model cannot use, or not with these data.
    """
    init_seed(config["seed"] + config["local_rank"], config["reproducibility"])
    return get_model(config["model"])(config, train_data._dataset).to(config["device"])


def build_trainer(config: Config, model: Any, group: ProcessGroup | None = None, events: Path | None = None) -> Any:
    """Return the model's trainer, made for a run, or for one that is one of a group of processes.

    It writes events for TensorBoard into the folder `events`, if that is given.
    """
    trainer_class = get_trainer(config["MODEL_TYPE"], config["model"])
    made = shared_trainer(trainer_class, group) if group is not None else run_trainer(trainer_class)
    with events_in(events):
        return made(config, model)


def load_run(file: str | os.PathLike[str]) -> tuple[Config, Any, Any, Any, Any, Any]:
    """Load the data and the model of a checkpoint, with the ids and the split that it was trained with.

    Returns
    -------
    tuple
        As RecBole's `load_data_and_model`: configuration, model, dataset, and the loaders of training, validation
        and test.

    Raises
    ------
    InputError
        A file that cannot be read, or data that are not those of the checkpoint.
    """
    state = checkpoint.load_trained(file, map_location=None if torch.cuda.is_available() else "cpu")
    init_logger(state["config"])
    return build_trained(file, state)


def build_trained(
    file: str | os.PathLike[str], state: dict[str, Any], look: Callable[[Any], object] = lambda dataset: None
) -> tuple[Config, Any, Any, Any, Any, Any]:
    """Return what `load_run` does, of a checkpoint that was read.

    Parameters
    ----------
    look : callable
        Gets the dataset before it is split.
    """
    config = state["config"]
    init_seed(config["seed"], config["reproducibility"])
    dataset = load_dataset(config)
    look(dataset)
    loaders = split_dataset(config, dataset)
    model = build_model(config, loaders[0])
    with weights_that_fit(file):
        model.load_state_dict(state["state_dict"])
        model.load_other_parameter(state.get("other_parameter"))
    return config, model, dataset, *loaders


@contextmanager
def weights_that_fit(file: str | os.PathLike[str]) -> Iterator[None]:
    """Say in one line what a model, or its optimizer, cannot take of a checkpoint."""
    try:
        yield
    except (InputError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: it does not fit the model that its settings and the data make: {' '.join(str(error).split())}"
        ) from error
