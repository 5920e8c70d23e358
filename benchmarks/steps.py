"""Seconds and memory of one training step, beside its floor and RecBole's own LightGCN on the same graph and batch.

A step is RecBole's own: its trainer's training epoch over one batch that is always the same. The floor is the step's
dense products and sparse propagations, run alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from benchmarks import problem
from benchmarks.floor import Numbers, floor_of
from benchmarks.measuring import (
    BATCH_SIZE,
    MIB,
    Entrant,
    arguments,
    build,
    check_same_batch,
    machine,
    measure,
    peak_bytes,
    seconds,
    some_of,
    summarise,
    told,
    workplace,
    write_results,
)
from benchmarks.plain import recboles_own
from recbole_mm.model.general_recommender.mhcr import RELEASED_FORM

YARDSTICKS = ("LightGCN", "LightGCN-7")  # RecBole's own, with 2 layers and with 7
RELEASED = {**RELEASED_FORM, "n_ui_layers": 2}
ENTRANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "MHCR": ("MHCR", {}),
    "MHCR-released": ("MHCR", RELEASED),
    "MHCR-released-all": ("MHCR", {**RELEASED, "contrast_negatives": "all"}),
    "SEA": ("SEA", {}),
    "SEA-batch": ("SEA", {"contrast_negatives": "batch"}),
    "LightGCN": ("LightGCN", {"way": recboles_own}),
    "LightGCN-7": ("LightGCN", {"way": recboles_own, "n_layers": 7}),
}
SIZES = [size for size in problem.SIZES if size not in ("small", "large")]


def club_share(entrant: Entrant, repeats: int) -> float:
    """Return the median share of SEA's step that its CLUB estimator's own steps take.

    These are steps of their own: on a GPU, looking at the clock within a step makes it slower.
    """
    club, inner = entrant.trainer.train_club, list[float]()
    entrant.trainer.train_club = lambda: inner.append(seconds(club))
    whole = [seconds(entrant.step) for _ in range(repeats)]
    del entrant.trainer.train_club
    return float(np.median(np.divide(inner, whole)))


def memory(entrant: Entrant) -> float:
    """Return MiB of weights, constants, gradients, optimizer's state, and of what a step holds beside them at once."""
    model, state = entrant.trainer.model, entrant.trainer.optimizer.state.values()
    weights = chain(model.parameters(), model.buffers(), *(one.values() for one in state))
    entrant.trainer.optimizer.zero_grad()  # gradients are then in the step's part
    return (sum(tensor.nbytes for tensor in weights) + peak_bytes(entrant.step)) / MIB


def bench(size: str, names: Sequence[str], repeats: int, threads: int) -> dict[str, Any]:
    """Return the machine, and by entrant the times of a step and of its floor, and the memory."""
    with workplace(threads) as folder:
        found = machine()
        problem.write(size, folder)
        entrants = {}
        for name in tqdm(names, desc=f"building, {size}", unit="model"):
            model, settings = ENTRANTS[name]
            entrants[name] = build(model, size, data_path=str(folder), **settings)
        check_same_batch(list(entrants.values()))
        for entrant in entrants.values():
            entrant.step()
        numbers: Numbers = {}
        floors = {name: floor_of(entrants[name].step, numbers) for name in names if name not in YARDSTICKS}
        times = measure(
            {name: entrant.step for name, entrant in entrants.items()}
            | {f"floor of {name}": alone for name, alone in floors.items()},
            repeats,
        )
        models = {name: summarise(times, YARDSTICKS[0])[name] for name in names}
        for name, entrant in entrants.items():
            for other in (YARDSTICKS[1], f"floor of {name}"):
                if other in times:
                    key = "to_floor" if other not in YARDSTICKS else "to_7_layers"
                    models[name][key] = summarise(times, other)[name]["ratio"]
            models[name]["memory_mib"] = memory(entrant)
            if hasattr(entrant.trainer, "train_club"):
                models[name]["club_share"] = club_share(entrant, repeats)
    return {"size": size, "batch_size": BATCH_SIZE, "repeats": repeats, "machine": found, "models": models}


def markdown(result: dict[str, Any]) -> str:
    rows = []
    for name, found in result["models"].items():
        ratios = (
            "{1:.2f} ({0:.2f} to {2:.2f})".format(*found[key]) if key in found else ""
            for key in ("seconds", "ratio", "to_7_layers", "to_floor")
        )
        club = f"{found['club_share']:.0%}" if "club_share" in found else ""
        rows.append((name, *ratios, f"{found['memory_mib']:.0f}", club))
    about = (
        f"One training step, {result['size']}, batch {BATCH_SIZE}, median (quartiles) of {result['repeats']} rounds; "
        f"{told(result['machine'])}."
    )
    headers = ("model", "seconds", "to LightGCN", "to LightGCN-7", "to its floor", "MiB", "CLUB's own steps")
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.steps", __doc__)
    parser.add_argument("--size", default=",".join(SIZES), type=some_of("size", problem.SIZES), help="comma between")
    parser.add_argument(
        "--models", default=",".join(ENTRANTS), type=some_of("model", ENTRANTS), help="comma between; LightGCN always"
    )
    parser.add_argument("--repeats", default=20, type=int, help="rounds, after two that do not count")
    args = parser.parse_args(argv)
    if args.repeats < 1 or args.threads < 1:
        parser.error("--repeats and --threads must be at least 1")
    for size in args.size:
        result = bench(size, list(dict.fromkeys((*args.models, YARDSTICKS[0]))), args.repeats, args.threads)
        write_results(args.out, f"steps-{size}", result, markdown(result))


if __name__ == "__main__":
    main()
