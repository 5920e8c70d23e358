"""A library's end of the driver's turns: what is asked for, the clock and the memory; needs numpy alone."""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

MIB = 1 << 20
STATUS = Path("/proc/self/status")  # on Linux

Lists = Callable[[np.ndarray], np.ndarray]  # of users (n,), the best items first, (n, top), -1 behind a shorter list


@dataclass(frozen=True)
class Job:
    """What a library is asked to do.

    Attributes
    ----------
    folder : str
        Has `train.npy` (n, 2) of user and item from 0, `users.npy` whose lists are wanted, `features.npy` of the items,
        and the same as RecBole's files.
    n_users, n_items : int
        Ids are below these.
    steps : int
        Batches of an epoch, of libraries that let us count them; 0 for all.
    memory : int
        MiB that the process may take; 0 for as much as there is.
    """

    folder: str
    dataset: str
    model: str
    n_users: int
    n_items: int
    width: int
    batch: int
    epochs: int
    steps: int
    top: int
    threads: int
    seed: int
    memory: int
    answers: str

    def array(self, name: str) -> np.ndarray:
        read: np.ndarray = np.load(Path(self.folder) / f"{name}.npy")
        return read


def recboles_settings(job: Job) -> dict[str, Any]:
    """Return the settings of a job, for RecBole alone and with the pack."""
    return {
        "data_path": job.folder,
        "embedding_size": job.width,
        "train_batch_size": job.batch,
        "seed": job.seed,
        "show_progress": False,
        "topk": [job.top],
        "valid_metric": f"NDCG@{job.top}",
    }


class Turns:
    """Waits for the driver's commands and answers them; to be made when all imports are done."""

    def __init__(self) -> None:
        self.job = Job(**json.loads(sys.argv[1]))
        self.answers, sys.stdout = sys.stdout, sys.stderr  # where a library prints, it does not answer
        if self.job.memory:
            resource.setrlimit(resource.RLIMIT_DATA, (self.job.memory * MIB,) * 2)
        self.before, self.start, self.cpu, self.done = _forget_peak(), 0.0, 0.0, 0
        self.whole = len(np.load(Path(self.job.folder) / "train.npy", mmap_mode="r"))

    def wait(self) -> None:
        """Start the clock when the driver says so."""
        if not sys.stdin.readline():
            sys.exit(0)
        self.start, self.cpu = perf_counter(), process_time()

    def answer(self, **values: Any) -> None:
        """Stop the clocks and say so; CPU seconds are of all threads, and other work on the machine adds little."""
        took, cpu = perf_counter() - self.start, process_time() - self.cpu
        told = {"seconds": took, "cpu_seconds": cpu, "peak_mib": (peak() - self.before) / MIB, **values}
        self.answers.write(json.dumps(told) + "\n")
        self.answers.flush()

    def epoch(self, work: Callable[[], object]) -> None:
        """Do an epoch in the driver's turn."""
        self.wait()
        work()
        self.answer(interactions=self.trained)

    def train(self, trainer: Any, loader: Any) -> None:
        """Train all epochs with a trainer and a loader of RecBole, each in the driver's turn."""

        def epoch(number: int) -> None:
            trainer._train_epoch(islice(iter(loader), self.job.steps) if self.job.steps else loader, number)

        for number in range(self.job.epochs):
            self.epoch(partial(epoch, number))

    def between(self, *_: Any) -> None:
        """End an epoch, and wait for the next one if there is one: for a library that trains all by itself."""
        self.done += 1
        self.answer(interactions=self.whole)
        if self.done < self.job.epochs:
            self.wait()

    @property
    def trained(self) -> int:
        """Return how many interactions an epoch has where it ends after `steps` batches."""
        return min(self.whole, self.job.steps * self.job.batch) if self.job.steps else self.whole

    def give(self, lists: Lists) -> None:
        """Make the lists of all users that are wanted, as often as the driver asks, and keep them in a file."""
        users = self.job.array("users")
        while True:
            self.wait()
            found = lists(users)
            self.answer()
            np.save(self.job.answers, found)


def peak() -> int:
    """Return the most bytes that this process has held since `_forget_peak`."""
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _forget_peak() -> int:
    """Let the peak be what the process holds now, and return that; imports may have held more."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return peak()
    return _status("VmRSS") or peak()


def _status(name: str) -> int:
    found = re.search(rf"{name}:\s*(\d+) kB", STATUS.read_text(encoding="utf-8")) if STATUS.is_file() else None
    return int(found[1]) * 1024 if found else 0
