"""One run, from names and settings to a trained, tested and reported model, through RecBole's own parts."""

from __future__ import annotations

import logging
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_logger, init_seed

from recbole_mm import checks, report
from recbole_mm.compat import load_checkpoint
from recbole_mm.data.atomic import atomic_files, check_files
from recbole_mm.data.cache import hash_files
from recbole_mm.errors import InputError
from recbole_mm.keys import check_keys, check_model
from recbole_mm.trainer import watched

DEFAULT_MODEL, DEFAULT_DATASET = "MHCR", "ml-100k"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    Attributes
    ----------
    model, dataset : str
        Empty: from the configuration files, else MHCR on ml-100k.
    config_files : sequence of str
        RecBole yaml files; later ones win.
    settings : mapping
        `--key=value` of the command line as text, or values; they win over the files.
    resume : str
        A checkpoint to train on from, or empty.
    """

    model: str = ""
    dataset: str = ""
    config_files: Sequence[str] = ()
    settings: Mapping[str, Any] | None = None
    resume: str = ""


class Interrupted(Exception):
    """Training was stopped from the keyboard; `checkpoint` is the best one so far, or None."""

    def __init__(self, checkpoint: Path | None, epochs: int) -> None:
        super().__init__(f"stopped after {epochs} epochs")
        self.checkpoint = checkpoint


def configure(request: Request) -> Config:
    """Build RecBole's Config of a request, after checking every name in it.

    Raises
    ------
    InputError
        An unknown model or key, a file that cannot be read, or settings that contradict each other.
    """
    from_files: dict[str, Any] = {}
    keys: list[tuple[str, list[str]]] = []
    for file in request.config_files:
        content = _read_yaml(file)
        keys.append((file, list(content)))
        from_files.update(content)
    settings = dict(request.settings or {})
    keys.append(("command line", list(settings)))
    model = request.model or from_files.get("model") or DEFAULT_MODEL
    dataset = request.dataset or from_files.get("dataset") or DEFAULT_DATASET
    check_model(model)
    model_class = get_model(model)
    for where, names in keys:
        check_keys(names, model_class, where)
    with _empty_command_line():
        try:
            config = Config(
                model=model,
                dataset=dataset,
                config_file_list=list(request.config_files),
                config_dict=settings,
            )
        except (ValueError, TypeError, NotImplementedError, RuntimeError) as error:
            raise InputError(f"the settings do not fit together: {error}") from error
    checks.check_config(config)
    check_files(config)
    return config


def run(request: Request, say: Callable[[str], object] = lambda line: None) -> dict[str, Any]:
    """Train, validate and test one model; leave checkpoint, result.json and curve.png in a folder of its own.

    Parameters
    ----------
    request : Request
        What to run.
    say : callable
        Receives lines for the user: what is trained on, then where the results are.

    Returns
    -------
    dict
        What result.json holds: `valid` and `test` metrics, `history`, `config`, `folder`, ...

    Raises
    ------
    InputError
        Data or settings that cannot be used, before training.
    Interrupted
        At Ctrl-C during training.
    """
    torch.set_flush_denormal(True)  # Adam's second moments become denormal numbers, which a CPU multiplies slowly
    config = configure(request)
    folder = Path(request.resume).parent if request.resume else _new_folder(config)
    config["checkpoint_dir"] = str(folder)
    init_seed(config["seed"], config["reproducibility"])
    _log_to_file(config)
    logging.getLogger().info(config)
    try:
        trainer, loaders = _prepare(config, request, folder)
    except InputError:
        if not request.resume:
            shutil.rmtree(folder, ignore_errors=True)  # made above, still empty
        raise
    dataset = loaders[0]._dataset
    say(_summary(config, dataset))
    try:
        trainer.fit(loaders[0], loaders[1], saved=True, show_progress=False)
    except KeyboardInterrupt:
        checkpoint = Path(trainer.saved_model_file)
        result = _result(config, trainer, dataset, folder, {"status": "interrupted"})
        report.write_result(folder, result)
        raise Interrupted(checkpoint if checkpoint.is_file() else None, len(trainer.history)) from None
    test = trainer.evaluate(loaders[2], load_best_model=True, show_progress=False)
    valid = trainer.best_valid_result or trainer.evaluate(loaders[1], load_best_model=False)
    outcome = {"status": "finished", "valid": dict(valid), "test": dict(test)}
    result = _result(config, trainer, dataset, folder, outcome)
    report.write_result(folder, result)
    if trainer.history:
        report.plot_curve(folder, trainer.history, config["valid_metric"])
    say(report.metrics_table(valid, test))
    say(f"checkpoint, result.json and curve.png are in {folder}")
    return result


def _prepare(config: Config, request: Request, folder: Path) -> tuple[Any, tuple[Any, Any, Any]]:
    """Build dataset, loaders, model and trainer in RecBole's order and with its seeds."""
    try:
        dataset = create_dataset(config)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"data set {config['dataset']} in {config['data_path']}: {error}") from error
    checks.check_catalogue(config, dataset)
    loaders = data_preparation(config, dataset)
    checks.check_splits(*loaders)
    init_seed(config["seed"] + config["local_rank"], config["reproducibility"])
    model = get_model(config["model"])(config, loaders[0]._dataset).to(config["device"])
    trainer = watched(get_trainer(config["MODEL_TYPE"], config["model"]))(config, model)
    trainer.saved_model_file = str(folder / f"{config['model']}.pth")
    if request.resume:
        _resume(trainer, Path(request.resume), config)
    checks.check_scores(trainer, loaders[1])
    return trainer, loaders


def _resume(trainer: Any, file: Path, config: Config) -> None:
    if not file.is_file():
        raise InputError(f"--resume={file}: there is no such checkpoint")
    saved = load_checkpoint(file)["config"]
    for key in ("model", "dataset"):
        if saved[key] != config[key]:
            raise InputError(f"--resume={file} was trained with {key} '{saved[key]}', not '{config[key]}'")
    try:
        trainer.resume_checkpoint(file)
    except RuntimeError as error:
        raise InputError(f"--resume={file} does not fit these settings or data: {error}") from error
    trainer.history = report.read_history(file.parent)


def _result(config: Config, trainer: Any, dataset: Any, folder: Path, outcome: dict[str, Any]) -> dict[str, Any]:
    seconds = [entry["seconds"] for entry in trainer.history]
    files = [*atomic_files(config), *getattr(dataset, "modality_sources", ())]
    return {
        **outcome,
        "model": config["model"],
        "dataset": config["dataset"],
        "dataset_hash": hash_files(files),
        "seed": config["seed"],
        "valid_metric": config["valid_metric"],
        "best_epoch": report.best_epoch(trainer.history, config["valid_metric"]),
        "epochs": len(trainer.history),
        "seconds_per_epoch": statistics.median(seconds) if seconds else None,
        "history": trainer.history,
        "n_parameters": sum(p.numel() for p in trainer.model.parameters()),
        "peak_memory_mib": report.peak_memory(),
        "environment": report.environment(),
        "config": report.resolved_config(config),
        "folder": str(folder),
        "checkpoint": str(trainer.saved_model_file),
    }


def _summary(config: Config, dataset: Any) -> str:
    head = (
        f"{config['model']} on {config['dataset']}: {dataset.user_num - 1} users, {dataset.item_num - 1} items, "
        f"{dataset.inter_num} training interactions, seed {config['seed']}, {config['device']}, "
        f"{torch.get_num_threads()} threads"
    )
    return "\n".join([head, *getattr(dataset, "modality_lines", ())])


def _read_yaml(file: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--config_files: {file} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{file} is no valid yaml: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict | None):
        raise InputError(f"{file} must hold `key: value` lines, not {type(content).__name__}")
    return content or {}


def _new_folder(config: Config) -> Path:
    stem = f"{config['model']}-{config['dataset']}-{datetime.now():%Y-%m-%d_%H-%M-%S}"
    base = Path(config["checkpoint_dir"])
    for name in (stem, *(f"{stem}-{n}" for n in range(2, 1000))):
        try:
            (base / name).mkdir(parents=True)
        except FileExistsError:
            continue
        return base / name
    raise InputError(f"{base}: a thousand runs named {stem} exist; name another checkpoint_dir")


@contextmanager
def _empty_command_line() -> Iterator[None]:
    """RecBole's Config reads sys.argv by itself; the settings are already in `config_dict`."""
    saved = sys.argv
    sys.argv = saved[:1]
    try:
        yield
    finally:
        sys.argv = saved


def _log_to_file(config: Config) -> None:
    """RecBole's log goes to its file; the terminal keeps warnings, the progress bar and the table."""
    root = logging.getLogger()
    before = list(root.handlers)
    init_logger(config)
    for handler in root.handlers:
        if handler not in before and type(handler) is logging.StreamHandler:
            handler.setLevel(logging.WARNING)
