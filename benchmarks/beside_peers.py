"""The pack beside other libraries: seconds an epoch, memory, lists a second, and validation NDCG@20 and Recall@20.

    python -m benchmarks.beside_peers --sizes=ml-100k --peers=implicit=ENV/bin/python,cornac=ENV/bin/python

Each library runs in a process of an environment of its own, whose python is given; all have the same split, leave out
what a user has had in training, and have lists of 20 judged by one evaluator. They take turns, epoch by epoch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.measuring import arguments, machine, some_of, workplace, write_results
from benchmarks.peers.process import Side, environment
from benchmarks.peers.quality import mistakes, quality
from benchmarks.peers.rounds import quartiles_of_ratio, take_turns
from benchmarks.peers.splits import GENERATED, REAL, Split, split_of, write
from benchmarks.peers.table import markdown
from benchmarks.peers.turns import Job

HERE = Path(__file__).resolve().parent
OURS = "recbole-mm"
TASKS: dict[str, dict[str, tuple[str, ...]]] = {  # by task the models of each library
    "BPR": {OURS: ("BPR",), "implicit": ("BPR", "ALS"), "cornac": ("BPR",), "lenskit": ("BPR",), "recbole": ("BPR",)},
    "LightGCN": {OURS: ("LightGCN",), "lenskit": ("LightGCN",), "recbole": ("LightGCN",)},
    "VBPR": {OURS: ("VBPR",), "cornac": ("VBPR",)},
}
PEERS = ("implicit", "cornac", "lenskit", "recbole")
WARM_UP = 1  # epochs
WIDTH, TOP, BATCH = 64, 20, 2048
RATIOS = (("ratio", "rounds"), ("cpu_ratio", "cpu_rounds"), ("lists_ratio", "list_cpu_rounds"))


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model of a library, and what it is asked to do."""

    library: str
    python: str
    job: Job

    @property
    def name(self) -> str:
        return f"{self.library} {self.job.model}"

    def start(self) -> Side:
        if self.library == OURS:
            module, path = "benchmarks.peers.ours_side", HERE.parent
        else:
            module, path = f"peers.{self.library}_side", HERE
        command = [self.python, "-W", "ignore", "-m", module, json.dumps(asdict(self.job))]
        return Side(self.name, command, environment(self.job.threads, path))


def measure(entrants: Sequence[Entrant], args: Namespace, split: Split, users: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return what was measured of each entrant, by name; all of them are there at once and take turns."""
    with ExitStack() as stack:
        sides = {entrant.name: stack.enter_context(entrant.start()) for entrant in entrants}
        epochs = take_turns(
            {name: partial(side.ask, "epoch", "the end of its epochs") for name, side in sides.items()}, args.epochs
        )
        lists = take_turns(
            {name: partial(side.ask, "lists", "it gave its lists") for name, side in sides.items()}, args.list_rounds
        )
    found = {}
    for entrant in entrants:
        name, job = entrant.name, entrant.job
        given = np.load(job.answers)
        if wrong := mistakes(given, users, split.train, job.n_items):
            raise RuntimeError(f"the lists of {name} have {', '.join(wrong)}")
        measured = epochs[name][WARM_UP:] or epochs[name]
        each, cpu = (
            [one[clock] * len(split.train) / one["interactions"] for one in measured]
            for clock in ("seconds", "cpu_seconds")
        )
        found[name] = {
            "library": entrant.library,
            "task": job.model,
            "rounds": each,
            "cpu_rounds": cpu,
            "first_epoch": epochs[name][0]["seconds"],
            "seconds": np.quantile(each, (0.25, 0.5, 0.75)).tolist(),
            "cpu_seconds": float(np.median(cpu)),
            "list_rounds": [one["seconds"] for one in lists[name]],
            "list_cpu_rounds": [one["cpu_seconds"] for one in lists[name]],
            "lists_a_second": len(users) / float(np.median([one["seconds"] for one in lists[name]])),
            "peak_mib": epochs[name][-1]["peak_mib"],
            "peak_with_lists_mib": lists[name][-1]["peak_mib"],
        } | ({} if args.steps else quality(given, users, split.valid, TOP))
    return found


def with_ratios(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows, each with its ratio to the first one where that was measured."""
    base = next(iter(found.values()))
    for one in found.values():
        if "failed" in one:
            continue
        for ratio, rounds in RATIOS:
            one[ratio] = None if "failed" in base else quartiles_of_ratio(one[rounds], base[rounds])
    return list(found.values())


def task_rows(entrants: Sequence[Entrant], args: Namespace, split: Split, users: np.ndarray) -> list[dict[str, Any]]:
    """Measure the entrants of a task in turns, or with `--alone` one after the other, and go on where one fails."""
    found: dict[str, dict[str, Any]] = {}
    for group in [[one] for one in entrants] if args.alone else [list(entrants)]:
        try:
            found |= measure(group, args, split, users)
        except RuntimeError as error:
            if not args.alone:
                raise
            found[group[0].name] = {"library": group[0].library, "task": group[0].job.model, "failed": str(error)}
    return with_ratios(found)


def bench_size(size: str, args: Namespace, scratch: Path) -> dict[str, Any]:
    """Return the rows of a size."""
    split = split_of(size, scratch / "source", args.source, args.seed)
    folder, name = scratch / size, f"peers-{size}"
    users = write(split, folder, name, args.list_users, args.seed)
    rows = []
    for task in tqdm(args.tasks, desc=size, unit="task"):
        entrants = [
            Entrant(
                library,
                args.peers.get(library, sys.executable),
                Job(
                    str(folder), name, model, split.n_users, split.n_items, WIDTH, BATCH, args.epochs, args.steps, TOP,
                    args.threads, args.seed, args.memory, str(folder / f"{library}-{model}.npy"),
                ),
            )
            for library, models in TASKS[task].items()
            for model in models
            if library == OURS or library in args.peers
        ]  # fmt: skip
        rows += task_rows(entrants, args, split, users)
    counts = {"users": split.n_users, "items": split.n_items, "interactions": len(split.train), "lists": len(users)}
    return counts | {"epochs": args.epochs, "steps": args.steps, "real_features": split.real, "rows": rows}


def version(python: str, package: str) -> str:
    """Return the version of a package in an environment."""
    code = f"from importlib.metadata import version; print(version('{package}'))"
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - our own


def peers(text: str) -> Mapping[str, str]:
    """Read `NAME=PYTHON,NAME=PYTHON`."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    if wrong := [name for name, _, python in pairs if name not in PEERS or not Path(python).is_file()]:
        raise ArgumentTypeError(f"{', '.join(wrong)}: give NAME=PYTHON of {', '.join(PEERS)}")
    return {name: str(Path(python).absolute()) for name, _, python in pairs}


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.beside_peers", (__doc__ or "").partition("\n")[0], threads=1)
    sizes = (*REAL, *GENERATED)
    parser.add_argument("--peers", default={}, type=peers, help="NAME=PYTHON, comma between")
    parser.add_argument("--sizes", default=["ml-100k"], type=some_of("size", sizes), help="comma between")
    parser.add_argument("--tasks", default=list(TASKS), type=some_of("task", TASKS), help="comma between")
    parser.add_argument("--source", type=lambda text: Path(text).resolve(), help="folder of real data, for baby")
    parser.add_argument("--epochs", default=20, type=int, help="the first one warms up")
    parser.add_argument("--steps", default=0, type=int, help="batches an epoch, where a library lets us; 0: all")
    parser.add_argument("--list_rounds", default=3, type=int)
    parser.add_argument("--list_users", default=0, type=int, help="users that get lists, at most; 0: all in validation")
    parser.add_argument("--alone", action="store_true", help="one library after the other, of what is too large")
    parser.add_argument("--memory", default=0, type=int, help="MiB that a library may take; 0: all there is")
    parser.add_argument("--seed", default=2020, type=int)
    args = parser.parse_args(argv)
    with workplace(args.threads), tempfile.TemporaryDirectory() as scratch:
        result = {"machine": machine(), "seed": args.seed, "alone": args.alone}
        result["versions"] = {name: version(python, name) for name, python in args.peers.items()}
        result["sizes"] = {size: bench_size(size, args, Path(scratch)) for size in args.sizes}
    write_results(args.out, f"peers-{'-'.join(args.sizes)}", result, markdown(result))


if __name__ == "__main__":
    main()
