"""One run of a comparison: its training in a process of its own, and what its folder holds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import traceback
from dataclasses import replace
from multiprocessing import parent_process
from typing import Any
from zipfile import BadZipFile

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import replace_text
from recbole_mm.comparison.benchmark import Run
from recbole_mm.comparison.planned_runs import PlannedRun
from recbole_mm.configuration.request import Request
from recbole_mm.configuration.resuming import configure_resumed
from recbole_mm.training.result_files import USERS_FILE, read_users
from recbole_mm.training.run import run

LOG, ERROR = "log.txt", "error.txt"


def train_run(planned: PlannedRun, **settings: Any) -> None:
    """Train a run, and test it unless it is a trial; its folder then has `log.txt`, and the run or `error.txt`.

    Parameters
    ----------
    planned : PlannedRun
        A training that was ended in the middle goes on from its last state. What else its folder held is deleted.
    **settings
        Of the machine on which it is trained, such as its GPU.
    """
    request = replace(planned.request, settings={**(planned.request.settings or {}), **settings})
    begun = _begun(planned, request)
    if begun is None:
        shutil.rmtree(planned.folder, ignore_errors=True)
    planned.folder.mkdir(parents=True, exist_ok=True)
    (planned.folder / ERROR).unlink(missing_ok=True)
    before = sys.stdout, sys.stderr
    with (planned.folder / LOG).open("a", encoding="utf-8", buffering=1) as log:
        sys.stdout = sys.stderr = log
        try:
            run(begun or request, lambda line: log.write(f"{line}\n"))
        except InputError as error:
            write_error(planned, str(error))
        except Exception as error:
            traceback.print_exc()
            write_error(planned, f"{type(error).__name__}: {error}")
        finally:
            sys.stdout, sys.stderr = before


def _begun(planned: PlannedRun, request: Request) -> Request | None:
    """Return the request that goes on from the last state in the run's folder; None without one that can be used."""
    begun = [one for one in planned.folder.glob("*") if one.is_dir()]
    if len(begun) != 1:
        return None
    resumed = replace(request, resume=str(begun[0]))
    try:
        configure_resumed(resumed)
    except InputError:
        return None
    return resumed


def train_alone(planned: PlannedRun) -> None:
    """Train a run in this process, which ends when the one that has started it does, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the comparison, which ends its processes
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    train_run(planned)


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)


def write_error(planned: PlannedRun, text: str) -> None:
    """Note why a run failed."""
    replace_text(planned.folder / ERROR, text)


def read_run(planned: PlannedRun) -> tuple[Run, dict[str, Any]] | None:
    """Return a finished run and its result.json, a failed one and nothing, None for one that has not ended.

    Raises
    ------
    InputError
        Its files are damaged.
    """
    for file in sorted(planned.folder.glob("*/result.json")):
        try:
            result = json.loads(file.read_text(encoding="utf-8"))
            if result["status"] == "finished":
                users, by_user = read_users(file.parent)
                return _run_of(planned, result, users, by_user), result
        except (ValueError, KeyError, TypeError, BadZipFile) as damage:
            raise InputError(
                f"{file.parent}: result.json or {USERS_FILE} is damaged ({type(damage).__name__}: {damage}). Delete "
                f"this folder, and the same command trains {planned.title} again"
            ) from damage
    error = planned.folder / ERROR
    text = error.read_text(encoding="utf-8") if error.is_file() else ""
    return (Run(planned.seed, error=text), {}) if text.strip() else None


def _run_of(planned: PlannedRun, result: dict[str, Any], users: Any, by_user: Any) -> Run:
    return Run(
        seed=planned.seed,
        valid=result["valid"],
        test=result.get("test"),  # a trial has none
        groups=result.get("test_groups"),
        history=result["history"],
        seconds=sum(entry["seconds"] for entry in result["history"]),
        n_parameters=result["n_parameters"],
        users=users,
        by_user=by_user,
    )
