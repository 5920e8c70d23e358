"""Processes of this machine that train one model together, and where each of them is among all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from recbole_mm.base.errors import InputError
from recbole_mm.parallel.process_group import Placement, ProcessGroup, joined


@dataclass(frozen=True, slots=True)
class Machines:
    """How processes are spread over machines.

    Attributes
    ----------
    n, size : int
        Number of processes on this machine, and on all.
    first : int
        Rank of the first one on this machine.
    address : str
        HOST:PORT where those of all machines meet; those of one machine alone need none.
    """

    n: int
    size: int
    first: int = 0
    address: str = ""


def placed_by_torchrun(environment: Mapping[str, str] = os.environ) -> Placement | None:
    """Return the place that torchrun has given to this process, None where it has started none."""
    if not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"} <= environment.keys():
        return None
    rank, size, local = (int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return Placement(rank, size, local, "env://")


@contextmanager
def together(follow: Callable[[Any, ProcessGroup], object], asked: Any, machines: Machines) -> Iterator[ProcessGroup]:
    """Be the first process of this machine within the block; its others call ``follow(asked, group)``.

    Raises
    ------
    InputError
        Another process ended with an error, which is named.
    """
    with TemporaryDirectory() as folder:
        where = f"file://{folder}/store" if machines.n == machines.size else f"tcp://{machines.address}"
        places = [Placement(machines.first + local, machines.size, local, where) for local in range(machines.n)]
        context = multiprocessing.get_context("spawn")
        others = [
            context.Process(target=_followed, args=(follow, asked, place, folder), daemon=True) for place in places[1:]
        ]
        for other in others:
            other.start()
        try:
            with joined(places[0]) as group:
                yield group
            for other in others:
                other.join()
        except RuntimeError:  # such as that nobody answers
            _raise_the_others_error(others, Path(folder))
            raise
        finally:
            for other in others:
                other.kill()


def _followed(follow: Callable[..., object], asked: Any, place: Placement, folder: str) -> None:
    """Be one of the other processes: silent, and ended by the first one, which has Ctrl-C and SIGTERM, too."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)
    tqdm.set_lock(threading.RLock())  # its own is of all processes, and is missed when this one is killed
    with silenced():
        try:
            with joined(place) as group:
                follow(asked, group)
        except Exception as error:
            line = " ".join(f"{type(error).__name__}: {error}".split())
            Path(folder, str(place.rank)).write_text(line, encoding="utf-8")
            raise SystemExit(1) from error


@contextmanager
def silenced() -> Iterator[None]:
    """Let nothing be printed within the block."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _raise_the_others_error(others: Sequence[Any], folder: Path) -> None:
    for other in others:
        other.join(timeout=5)
    for file in sorted(file for file in folder.iterdir() if file.name.isdigit()):
        raise InputError(f"process {file.name} ended: {file.read_text(encoding='utf-8')}")
    if codes := [other.exitcode for other in others if other.exitcode]:
        raise InputError(f"a process ended with {codes[0]}: out of memory, or killed")
