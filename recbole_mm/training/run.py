"""One run, from names and settings to a trained, tested and reported model, through RecBole's own parts."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from recbole.config import Config
from recbole.utils import init_logger, init_seed

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import folder_lock
from recbole_mm.configuration.request import Request, configure
from recbole_mm.configuration.resuming import configure_resumed
from recbole_mm.recbole_bridge.device import without_gpu
from recbole_mm.recbole_bridge.engine import computing
from recbole_mm.settings.execution import Engine
from recbole_mm.settings.parameters import read_config
from recbole_mm.training import data_checks
from recbole_mm.training.build import build_model, build_trainer, held_out, load_dataset, split_dataset
from recbole_mm.training.curve import plot_curve
from recbole_mm.training.degenerate import degenerate_parts, resultant_lengths, warning
from recbole_mm.training.groups import Groups
from recbole_mm.training.history import read_history
from recbole_mm.training.result_files import write_result, write_users
from recbole_mm.training.run_record import about_run, progress_of_run
from recbole_mm.training.run_screen import groups_table, metrics_table


class Interrupted(Exception):
    """Training was interrupted from the keyboard; `checkpoint` is the best one so far, or None."""

    def __init__(self, checkpoint: Path | None, epochs: int) -> None:
        super().__init__(f"interrupted after {epochs} epochs")
        self.checkpoint = checkpoint


def run(request: Request, say: Callable[[str], object] = lambda line: None) -> dict[str, Any]:
    """Train, validate and test one model; leave checkpoint, result.json and curve.png in a folder of its own.

    Where the request wants no test, the loader of the test split is dropped, and result.json is all that is left.

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
    config = configure_resumed(request) if request.resume else configure(request)
    folder = Path(request.resume).parent if request.resume else _new_folder(config)
    config["checkpoint_dir"] = str(folder)
    start = perf_counter()
    with folder_lock(folder), _logged(config), computing(read_config(Engine, config)):
        return _train_and_test(config, request, folder, start, say)


def _train_and_test(
    config: Config, request: Request, folder: Path, start: float, say: Callable[[str], object]
) -> dict[str, Any]:
    init_seed(config["seed"], config["reproducibility"])
    try:
        trainer, loaders = _prepare(config, request, folder)
    except InputError:
        if not request.resume:
            shutil.rmtree(folder, ignore_errors=True)  # made for this run, still empty
        raise
    dataset = loaders[0]._dataset
    about = about_run(config, trainer, dataset, folder)

    def write(**outcome: Any) -> dict[str, Any]:
        result = {**outcome, **about, **progress_of_run(config, trainer)}
        write_result(folder, result)
        return result

    trainer.after_epoch = lambda: write(status="running")
    say(_summary(config, dataset))
    try:
        trainer.fit(loaders[0], loaders[1], saved=request.tested, show_progress=False)
    except KeyboardInterrupt:
        checkpoint = Path(trainer.saved_model_file)
        write(status="interrupted")
        raise Interrupted(checkpoint if checkpoint.is_file() else None, len(trainer.history)) from None
    if not request.tested:
        valid = trainer.best_valid_result or trainer.evaluate(loaders[1], load_best_model=False)
        return write(status="finished", seconds=perf_counter() - start, valid=dict(valid))
    test = trainer.evaluate(loaders[2], load_best_model=True, show_progress=False)
    write_users(folder, dataset, trainer.by_user)
    by_group = {"test_groups": trainer.groups, "valid_groups": _groups_of_the_best(trainer.history)}
    valid = trainer.best_valid_result
    if not valid:
        valid = trainer.evaluate(loaders[1], load_best_model=False)
        by_group["valid_groups"] = trainer.groups
    parts = {"valid": dict(valid), "test": dict(test), "held_out": held_out(*loaders[1:])}
    lengths = resultant_lengths(trainer.model) if isinstance(trainer.model, torch.nn.Module) else {}
    if degenerate := degenerate_parts(lengths):
        logging.getLogger().warning(warning(config["model"], degenerate))
    result = write(status="finished", seconds=perf_counter() - start, resultant_length=lengths, **parts, **by_group)
    if trainer.history:
        plot_curve(folder, trainer.history, config["valid_metric"])
    digits = config["metric_decimal_place"]
    say(metrics_table(valid, test, digits))
    if by_group["test_groups"]:
        say(groups_table(by_group["test_groups"], config["valid_metric"], digits))
    say(f"checkpoint, result.json and curve.png are in {folder}")
    return result


def _prepare(config: Config, request: Request, folder: Path) -> tuple[Any, tuple[Any, Any, Any]]:
    """Build dataset, loaders, model and trainer in RecBole's order and with its seeds."""
    dataset = load_dataset(config)
    data_checks.check_catalogue(config, dataset)
    loaders = split_dataset(config, dataset)
    data_checks.check_splits(*loaders)
    if not request.tested:
        loaders = *loaders[:2], None
    trainer = build_trainer(config, build_model(config, loaders[0]))
    trainer.saved_model_file = str(folder / f"{config['model']}.pth")
    if request.resume:
        _resume(trainer, Path(request.resume))
    data_checks.check_scores(trainer, loaders[1])
    return trainer, loaders


def _resume(trainer: Any, file: Path) -> None:
    try:
        trainer.resume_checkpoint(file)
    except RuntimeError as error:
        raise InputError(f"--resume={file} does not fit these settings or data: {error}") from error
    trainer.history = read_history(file.parent)


def _groups_of_the_best(history: list[dict[str, Any]]) -> Groups | None:
    return next((entry["valid_groups"] for entry in history if entry.get("valid_groups")), None)


def _summary(config: Config, dataset: Any) -> str:
    head = (
        f"{config['model']} on {config['dataset']}: {dataset.user_num - 1} users, {dataset.item_num - 1} items, "
        f"{dataset.inter_num} training interactions, seed {config['seed']}, {config['device']}, "
        f"{torch.get_num_threads()} threads"
    )
    return "\n".join([head, *getattr(dataset, "modality_lines", ())])


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
def _logged(config: Config) -> Iterator[None]:
    """RecBole's log goes to a file of this run; the terminal keeps warnings, the progress bar and the table."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    init_logger(config)
    added = [handler for handler in root.handlers if handler not in before]
    for handler in added:
        if type(handler) is logging.StreamHandler:
            handler.setLevel(logging.WARNING)
    root.info(config)
    if line := without_gpu(config):
        root.warning(line)
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in added:
            root.removeHandler(handler)
            handler.close()
