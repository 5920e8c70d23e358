"""One cell: its training in a process of its own, and what its folder tells of it."""

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

from recbole_mm.base.errors import InputError
from recbole_mm.comparison.plan import Cell
from recbole_mm.comparison.record import Run
from recbole_mm.training.result import read_users
from recbole_mm.training.run import run

LOG, ERROR = "log.txt", "error.txt"


def train_cell(cell: Cell, **settings: Any) -> None:
    """Train and test a cell; its folder then holds the run, `log.txt` and, if it failed, `error.txt`.

    Parameters
    ----------
    cell : Cell
        What its folder held before is deleted.
    **settings
        Of the place where it is trained, such as its GPU.
    """
    shutil.rmtree(cell.folder, ignore_errors=True)
    cell.folder.mkdir(parents=True)
    before = sys.stdout, sys.stderr
    with (cell.folder / LOG).open("w", encoding="utf-8", buffering=1) as log:
        sys.stdout = sys.stderr = log
        request = replace(cell.request, settings={**(cell.request.settings or {}), **settings})
        try:
            run(request, lambda line: log.write(f"{line}\n"))
        except InputError as error:
            write_error(cell, str(error))
        except Exception as error:
            traceback.print_exc()
            write_error(cell, f"{type(error).__name__}: {error}")
        finally:
            sys.stdout, sys.stderr = before


def train_alone(cell: Cell) -> None:
    """Train a cell in this process, which ends when the one that has started it does, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the comparison, which ends its processes
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    train_cell(cell)


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)


def write_error(cell: Cell, text: str) -> None:
    """Note why a cell failed."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    (cell.folder / ERROR).write_text(text, encoding="utf-8")


def read_cell(cell: Cell) -> tuple[Run, dict[str, Any]] | None:
    """Return a finished cell and its result.json, a failed one and nothing, None for one that has not ended."""
    for file in sorted(cell.folder.glob("*/result.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        if result["status"] == "finished":
            users, by_user = read_users(file.parent)
            return _run_of(cell, result, users, by_user), result
    error = cell.folder / ERROR
    if error.is_file():
        return Run(cell.seed, error=error.read_text(encoding="utf-8")), {}
    return None


def _run_of(cell: Cell, result: dict[str, Any], users: Any, by_user: Any) -> Run:
    return Run(
        seed=cell.seed,
        valid=result["valid"],
        test=result["test"],
        groups=result["test_groups"],
        history=result["history"],
        seconds=sum(entry["seconds"] for entry in result["history"]),
        n_parameters=result["n_parameters"],
        users=users,
        by_user=by_user,
    )
