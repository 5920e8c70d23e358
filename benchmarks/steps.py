"""Seconds of one training step, each model beside RecBole's own LightGCN on the same graph and batch, in one run.

A step is RecBole's own: its trainer's training epoch over one batch that is always the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import torch
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed
from tabulate import tabulate
from tqdm import tqdm

from benchmarks import problem
from recbole_mm import report
from recbole_mm.errors import InputError
from recbole_mm.request import Request, configure

BASELINE = "LightGCN"
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

    def step(self) -> None:
        self.trainer._train_epoch([self.batch], 0)


def prepare(
    name: str, dataset: str, change: Callable[[Any], object] = lambda data: None, **settings: Any
) -> tuple[Any, tuple[Any, Any, Any]]:
    """Return RecBole's trainer of a new model and the loaders of train, validation and test, all from one seed.

    Parameters
    ----------
    name, dataset : str
        Of the model and the data set.
    change : callable
        Receives RecBole's data set before it is split.
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


def build(name: str, dataset: str, **settings: Any) -> Entrant:
    """Build a model with its own defaults through RecBole's parts; each call draws the same batch."""
    trainer, (train, *_) = prepare(name, dataset, train_batch_size=BATCH_SIZE, **settings)
    init_seed(trainer.config["seed"], trainer.config["reproducibility"])
    return Entrant(name, trainer, next(iter(train)).to(trainer.device), len(train))


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


def measure(work: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each piece of work, by round; which goes first changes from round to round."""
    names = list(work)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in tqdm(range(WARM_UP + repeats), desc="rounds", unit="round"):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            times[name].append(seconds(work[name]))
    return {name: rounds[WARM_UP:] for name, rounds in times.items()}


def club_share(entrant: Entrant, repeats: int) -> float:
    """Return the median share of SEA's step that its CLUB estimator's own steps take.

    These are steps of their own: on a GPU, looking at the clock within a step makes it slower.
    """
    club, inner = entrant.trainer.train_club, list[float]()
    entrant.trainer.train_club = lambda: inner.append(seconds(club))
    whole = [seconds(entrant.step) for _ in range(repeats)]
    del entrant.trainer.train_club
    return float(np.median(np.divide(inner, whole)))


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
        **report.environment(),
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


def markdown(size: str, machine: dict[str, Any], models: dict[str, dict[str, Any]], repeats: int) -> str:
    rows = []
    for name, found in models.items():
        spreads = ("{1:.3f} ({0:.3f} to {2:.3f})".format(*found[key]) for key in ("seconds", "ratio"))
        rows.append((name, *spreads, f"{found['club_share']:.0%}" if "club_share" in found else ""))
    about = f"One training step, {size}, batch {BATCH_SIZE}, median (quartiles) of {repeats} rounds; {told(machine)}."
    headers = ("model", "seconds a step", f"ratio to {BASELINE}", "CLUB's own steps")
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github')}\n"


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


def bench(size: str, names: Sequence[str], repeats: int, threads: int) -> dict[str, Any]:
    """Return the machine, and by model the times of a step."""
    with workplace(threads) as folder:
        found = machine()
        problem.write(size, folder)
        entrants = [build(name, size, data_path=str(folder)) for name in tqdm(names, desc="building", unit="model")]
        check_same_batch(entrants)
        models = summarise(measure({entrant.name: entrant.step for entrant in entrants}, repeats), BASELINE)
        for entrant in entrants:
            if hasattr(entrant.trainer, "train_club"):
                models[entrant.name]["club_share"] = club_share(entrant, repeats)
    return {"size": size, "batch_size": BATCH_SIZE, "repeats": repeats, "machine": found, "models": models}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--size", default="baby", choices=problem.SIZES)
    parser.add_argument("--models", default="SEA,MHCR", help=f"comma between; {BASELINE} is always measured, too")
    parser.add_argument("--repeats", default=20, type=int, help="rounds, after two that do not count")
    parser.add_argument("--threads", default=2, type=int)
    parser.add_argument("--out", default=Path(__file__).parent / "results", type=Path, help="folder of the results")
    args = parser.parse_args(argv)
    if args.repeats < 1 or args.threads < 1:
        parser.error("--repeats and --threads must be at least 1")
    try:
        names = list(dict.fromkeys((*filter(None, args.models.split(",")), BASELINE)))
        result = bench(args.size, names, args.repeats, args.threads)
    except InputError as error:
        parser.error(str(error))
    table = markdown(args.size, result["machine"], result["models"], args.repeats)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f"steps-{args.size}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (args.out / f"steps-{args.size}.md").write_text(table, encoding="utf-8")
    sys.stdout.write(table)


if __name__ == "__main__":
    main()
