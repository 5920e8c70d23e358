"""One run, from names and settings to a trained, tested and reported model, through RecBole's own parts."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
from recbole_mm.configuration.resuming import BEST, Resumption, configure_resumed
from recbole_mm.configuration.tracker_names import trackers_asked
from recbole_mm.parallel.process_group import ProcessGroup
from recbole_mm.recbole_bridge.device import without_gpu
from recbole_mm.recbole_bridge.engine import computing
from recbole_mm.settings.execution import Engine
from recbole_mm.settings.parameters import read_config
from recbole_mm.training import build, data_checks
from recbole_mm.training.curve import plot_curve
from recbole_mm.training.degenerate import degenerate_parts, resultant_lengths, warning
from recbole_mm.training.groups import Groups
from recbole_mm.training.interrupting import Interrupted, ended_by_sigterm
from recbole_mm.training.protocol import held_out
from recbole_mm.training.result_files import USERS_FILE, write_result, write_users
from recbole_mm.training.run_files import RunFiles
from recbole_mm.training.run_record import about_run, progress_of_run
from recbole_mm.training.run_screen import groups_table, metrics_table
from recbole_mm.training.state_keeper import StateKeeper
from recbole_mm.training.tracking import Trackers


def run(
    request: Request, say: Callable[[str], object] = lambda line: None, group: ProcessGroup | None = None
) -> dict[str, Any]:
    """Train, validate and test one model; leave checkpoint, result.json and curve.png in a folder of its own.

    Where the request wants no test, the loader of the test split is dropped, and result.json is all that is left.
    Until it has ended, a run also keeps its last state: see `recbole_mm.training.state_keeper`.

    Parameters
    ----------
    request : Request
        What to run.
    say : callable
        Receives lines for the user: what is trained on, then where the results are.
    group : ProcessGroup or None
        Processes that train together, of which this is the first; see `recbole_mm.training.following`.

    Returns
    -------
    dict
        What result.json holds: `valid` and `test` metrics, `history`, `config`, `folder`, ...

    Raises
    ------
    InputError
        Data or settings that cannot be used, before training; a training that diverged; folders that take no file.
    Interrupted
        At Ctrl-C and at SIGTERM, during training and during the test.
    """
    resumed = configure_resumed(request) if request.resume else None
    config = resumed.config if resumed else configure(request)
    folder = resumed.best.parent if resumed else _new_folder(config)
    config["checkpoint_dir"] = str(folder)
    start = perf_counter()
    engine = read_config(Engine, config)
    with _alone(folder), _logged(config), computing(engine), ended_by_sigterm():
        init_seed(config["seed"], config["reproducibility"])
        try:
            trainer, loaders = prepared_run(config, request, resumed, group)
        except InputError:
            if not resumed:
                shutil.rmtree(folder, ignore_errors=True)  # made for this run, still empty
            raise
        best = resumed.best if resumed else folder / f"{config['model']}{BEST}"
        keeper = StateKeeper(RunFiles(folder), best, engine.last_state_every, resumed.epoch if resumed else -1)
        trainer.saved_model_file = str(best)
        if request.tested:
            trainer.keeper = keeper
        return _train_and_test(config, trainer, loaders, keeper, start=start, say=say)


def _train_and_test(
    config: Config, trainer: Any, loaders: Any, keeper: StateKeeper, *, start: float, say: Callable[[str], object]
) -> dict[str, Any]:
    """Train and test, and keep in result.json what has been found so far."""
    files, dataset = keeper.files, loaders[0]._dataset
    about = about_run(config, trainer, dataset, files.folder)

    trackers = Trackers(trackers_asked(config), about, trainer)

    def write(**outcome: Any) -> tuple[dict[str, Any], Path | None]:
        result = {**outcome, **about, **progress_of_run(config, trainer)}
        file = files.write("result.json", lambda path: write_result(path.parent, result))
        trackers.tell(result)
        return result, file

    trainer.after_epoch = lambda: write(status="running")
    say(_summary(config, dataset))
    try:
        found = _found(config, trainer, loaders, keeper)
    except KeyboardInterrupt as stop:
        keeper.write_last()
        write(status="interrupted")
        raise Interrupted(keeper.resumable(), len(trainer.history), stop) from None
    except Exception as error:
        keeper.write_last()
        write(status="failed", error=f"{type(error).__name__}: {error}")
        raise
    result, file = write(status="finished", seconds=perf_counter() - start, **found)
    if file is not None:
        keeper.forget_last()
    if loaders[2] is not None:
        _report(config, result, files, say)
    return result


def _found(config: Config, trainer: Any, loaders: Any, keeper: StateKeeper) -> dict[str, Any]:
    """Train, and return what validation and test have found."""
    train_data, valid_data, test_data = loaders
    trainer.fit(train_data, valid_data, saved=test_data is not None, show_progress=False)
    if test_data is None:
        return {"valid": dict(trainer.best_valid_result or trainer.evaluate(valid_data, load_best_model=False))}
    keeper.check_best()
    if keeper.best_file.is_file():  # a model that keeps no state by itself has its own
        trainer.saved_model_file = str(keeper.best_file)
    test = trainer.evaluate(test_data, load_best_model=True, show_progress=False)
    keeper.files.write(USERS_FILE, lambda path: write_users(path.parent, train_data._dataset, trainer.by_user))
    by_group = {"test_groups": trainer.groups, "valid_groups": _groups_of_the_best(trainer.history)}
    valid = trainer.best_valid_result
    if not valid:
        valid = trainer.evaluate(valid_data, load_best_model=False)
        by_group["valid_groups"] = trainer.groups
    lengths = resultant_lengths(trainer.model) if isinstance(trainer.model, torch.nn.Module) else {}
    if degenerate := degenerate_parts(lengths):
        logging.getLogger().warning(warning(config["model"], degenerate))
    parts = {"valid": dict(valid), "test": dict(test), "held_out": held_out(valid_data, test_data)}
    return {"resultant_length": lengths, **parts, **by_group}


def _report(config: Config, result: dict[str, Any], files: RunFiles, say: Callable[[str], object]) -> None:
    if history := result["history"]:
        files.write("curve.png", lambda path: plot_curve(path.parent, history, config["valid_metric"]))
    digits = config["metric_decimal_place"]
    say(metrics_table(result["valid"], result["test"], digits))
    if result["test_groups"]:
        say(groups_table(result["test_groups"], config["valid_metric"], digits))
    say(f"checkpoint, result.json and curve.png are in {files.folder}")
    if files.spare is not None and (others := sorted(file.name for file in files.spare.iterdir())):
        say(f"except {', '.join(others)}, which are in {files.spare}")


def prepared_run(
    config: Config, request: Request, resumed: Resumption | None, group: ProcessGroup | None = None
) -> tuple[Any, tuple[Any, Any, Any]]:
    """Build dataset, loaders, model and trainer in RecBole's order and with its seeds."""
    if group is not None and config["device"].type == "cuda":
        config["device"] = torch.device("cuda", group.placement.local)
        torch.cuda.set_device(config["device"])
    dataset = build.load_dataset(config)
    data_checks.check_catalogue(config, dataset)
    loaders = build.split_dataset(config, dataset)
    data_checks.check_splits(*loaders)
    if not request.tested:
        loaders = *loaders[:2], None
    writes = (request.tested or "tensorboard" in trackers_asked(config)) and (group is None or group.leads)
    events = Path(config["checkpoint_dir"]) / "tensorboard" if writes else None
    trainer = build.build_trainer(config, build.build_model(config, loaders[0]), group, events)
    if resumed is not None:
        with build.weights_that_fit(resumed.file):
            trainer.resume_checkpoint(resumed.file)
    data_checks.check_scores(trainer, loaders[1])
    return trainer, loaders


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other commands out of the folder of the run."""
    with ExitStack() as lock:
        try:
            lock.enter_context(folder_lock(folder))
        except OSError as error:
            raise InputError(f"{folder}: nothing can be written here ({error.strerror}): copy it elsewhere") from error
        yield


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
        except OSError as error:
            raise InputError(
                f"{base}: no folder for the run can be made here ({error.strerror}): name another --checkpoint_dir"
            ) from error
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
