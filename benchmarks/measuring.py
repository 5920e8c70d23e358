"""How every benchmark builds RecBole's parts and measures them: side by side in one run, in turns."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import torch
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from recbole_mm.base.environment import environment
from recbole_mm.configuration.request import Request, configure

BATCH_SIZE = 2048
GPU = torch.cuda.is_available()
WARM_UP = 2  # rounds
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model ready to train, with the batch that its own data loader gave, one of `n_batches` an epoch."""

    name: str
    trainer: Any
    batch: Any
    n_batches: int
    way: Callable[[], AbstractContextManager[None]] = nullcontext

    def step(self) -> None:
        with self.way():
            self.trainer._train_epoch([self.batch], 0)


def prepare(
    name: str, dataset: str, change: Callable[[Any], object] = lambda data: None, **settings: Any
) -> tuple[Any, tuple[Any, Any, Any]]:
    """Return RecBole's trainer of a new model and the loaders of train, validation and test, all from one seed.

    Parameters
    ----------
    name, dataset : str
        Of the model and the dataset.
    change : callable
        Receives RecBole's dataset before it is split.
    **settings
        What differs from the defaults.
    """
    config = configure(Request(model=name, dataset=dataset, settings={"use_gpu": GPU, **settings}))
    init_seed(config["seed"], config["reproducibility"])
    data = create_dataset(config)
    change(data)
    loaders = data_preparation(config, data)
    init_seed(config["seed"], config["reproducibility"])
    model = get_model(name)(config, loaders[0]._dataset).to(config["device"])
    return get_trainer(config["MODEL_TYPE"], name)(config, model), loaders


def build(
    name: str, dataset: str, way: Callable[[], AbstractContextManager[None]] = nullcontext, **settings: Any
) -> Entrant:
    """Build a model with its own defaults through RecBole's parts; each call draws the same batch.

    Parameters
    ----------
    name, dataset : str
        Of the model and the dataset.
    way : callable
        Gives the context in which the model is built and makes its steps.
    **settings
        What differs from the defaults.
    """
    with way():
        trainer, (train, *_) = prepare(name, dataset, train_batch_size=BATCH_SIZE, **settings)
        init_seed(trainer.config["seed"], trainer.config["reproducibility"])
        return Entrant(name, trainer, next(iter(train)).to(trainer.device), len(train), way)


def check_same_batch(entrants: Sequence[Entrant]) -> None:
    """Refuse to compare models that do not train on the same users and items."""
    for entrant in entrants:
        ours, theirs = entrant.batch.interaction, entrants[0].batch.interaction
        if ours.keys() != theirs.keys() or not all(torch.equal(ours[field], theirs[field]) for field in ours):
            raise RuntimeError(f"{entrant.name} and {entrants[0].name} drew different batches")


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes, the GPU's part included."""
    if GPU:
        torch.cuda.synchronize()
    start = perf_counter()
    work()
    if GPU:
        torch.cuda.synchronize()
    return perf_counter() - start


def new_process() -> ProcessPoolExecutor:
    """Return a pool of one process, in which nothing was done before; imports are made once for all of them."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["recbole_mm"])
    return ProcessPoolExecutor(1, mp_context=context)


def peak_bytes(work: Callable[[], object]) -> int:
    """Return how much memory beyond what is there before the work holds at once, on the CPU."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        work()
    profiler: Any = watched.profiler
    events = profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return max(accumulate((change for _, change in changes), initial=0))


def measure(work: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each piece of work, by round; which goes first changes from round to round."""
    names = list(work)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in tqdm(range(WARM_UP + repeats), desc="rounds", unit="round"):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            times[name].append(seconds(work[name]))
    return {name: rounds[WARM_UP:] for name, rounds in times.items()}


def summarise(times: dict[str, list[float]], baseline: str) -> dict[str, dict[str, Any]]:
    """Return by name the quartiles of seconds, and of the ratio to the baseline's in the same round."""
    models: dict[str, dict[str, Any]] = {}
    for name, rounds in times.items():
        ratios = np.divide(rounds, times[baseline])
        quartiles = (np.quantile(values, (0.25, 0.5, 0.75)).tolist() for values in (rounds, ratios))
        models[name] = dict(zip(("seconds", "ratio"), quartiles, strict=True)) | {"rounds": rounds}
    return models


def machine() -> dict[str, Any]:
    """Return what the times depend on, and how busy the machine is with other work."""
    cpuinfo = Path("/proc/cpuinfo")  # where Linux tells more than `platform` does
    model = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text(encoding="utf-8")) if cpuinfo.is_file() else None
    return {
        **environment(),
        "cpu": model[1] if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_average": round(psutil.getloadavg()[0], 2),
        "device": torch.cuda.get_device_name() if GPU else "CPU",
    }


def told(machine: dict[str, Any]) -> str:
    """Return in words what the times depend on."""
    return (
        f"{machine['device']}, {machine['cpu']}, torch threads {machine['threads']}, cores {machine['cores']}, "
        f"load {machine['load_average']} before, torch {machine['torch']}, Python {machine['python']}"
    )


def arguments(name: str, about: str | None, threads: int = 2) -> argparse.ArgumentParser:
    """Return the parser of a benchmark's command line with what all of them take."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=about)
    parser.add_argument("--threads", default=threads, type=int)
    results = Path(__file__).resolve().parent / "results"
    parser.add_argument("--out", default=results, type=lambda text: Path(text).resolve(), help="folder of the results")
    return parser


def some_of(what: str, known: Collection[str]) -> Callable[[str], list[str]]:
    """Return what reads an argument with commas: names, each of which must be a known one."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(
                f"no such {what}: {', '.join(sorted(unknown))}; there are {', '.join(known)}"
            )
        return names

    return read


def whole_numbers(text: str) -> list[int]:
    """Read an argument with commas between numbers, such as seeds."""
    return [int(number) for number in text.split(",")]


def mean_and_deviation(values: np.ndarray, digits: int) -> str:
    """Return the mean over seeds, and the standard deviation where there are several."""
    deviation = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{deviation}"


@contextmanager
def workplace(threads: int) -> Iterator[Path]:
    """Go to a temporary folder, where RecBole leaves its logs; denormal numbers count as 0, as in a run of the pack."""
    before, n_threads = Path.cwd(), torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        torch.set_flush_denormal(True)
        torch.set_num_threads(threads)
        try:
            yield Path(folder)
        finally:
            torch.set_num_threads(n_threads)
            torch.set_flush_denormal(False)
            os.chdir(before)


def write_results(out: Path, stem: str, result: Mapping[str, Any], table: str) -> None:
    """Write a result as json and its table as markdown into a folder, and the table to the terminal."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{stem}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (out / f"{stem}.md").write_text(table, encoding="utf-8")
    sys.stdout.write(table)
