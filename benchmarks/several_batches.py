"""Seconds of an epoch where several batches make a step and share a pass over the graph (`batches_per_step`).

One model at a time, its numbers of batches in turns; the seconds of an epoch are those of a batch times its batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from benchmarks import problem
from benchmarks.measuring import (
    BATCH_SIZE,
    MIB,
    Entrant,
    arguments,
    build,
    machine,
    measure,
    peak_bytes,
    some_of,
    told,
    whole_numbers,
    workplace,
    write_results,
)
from recbole_mm.graphs.products import MET_OFTEN

SETTINGS: dict[str, dict[str, Any]] = {"LightGCN": {}, "MHCR": {}, "SEA": {"contrast_negatives": "batch"}}


def steps(entrant: Entrant, n: int) -> None:
    """Train on the entrant's batch `n` times, in one step."""
    entrant.trainer.config["batches_per_step"] = n
    with entrant.way():
        entrant.trainer._train_epoch([entrant.batch] * n, 0)


def point(entrant: Entrant, numbers: Sequence[int], repeats: int) -> dict[str, Any]:
    """Return seconds of an epoch by number of batches, and MiB of a step beyond weights and graphs."""
    for _ in range(MET_OFTEN if entrant.name == "LightGCN" else 0):  # its products are then those of a SparseGraph
        entrant.trainer.model.forward()
    times = measure({str(n): lambda n=n: steps(entrant, n) for n in numbers}, repeats)  # type: ignore[misc]
    seconds = {n: float(np.median(times[str(n)])) / n * entrant.n_batches for n in numbers}
    memory = {n: peak_bytes(lambda n=n: steps(entrant, n)) / MIB for n in {numbers[0], numbers[-1]}}  # type: ignore[misc]
    return {"n_batches": entrant.n_batches, "seconds": seconds, "memory_mib": memory}


def bench(size: str, names: Sequence[str], numbers: Sequence[int], repeats: int, threads: int) -> dict[str, Any]:
    """Return the machine, and what was found by model."""
    found = {}
    with workplace(threads) as folder:
        about = machine()
        problem.write(size, folder)
        for name in tqdm(names, desc=size, unit="model"):
            found[name] = point(build(name, size, data_path=str(folder), **SETTINGS[name]), numbers, repeats)
    return {"size": size, "batch_size": BATCH_SIZE, "repeats": repeats, "machine": about, "models": found}


def markdown(result: dict[str, Any]) -> str:
    rows = []
    for name, found in result["models"].items():
        first, *others = found["seconds"].items()
        cells = [f"{first[1]:.4g}", *(f"{seconds:.4g} ({first[1] / seconds:.1f} times)" for _, seconds in others)]
        rows.append(
            (name, found["n_batches"], *cells, *(f"{value:.0f}" for _, value in sorted(found["memory_mib"].items())))
        )
    numbers, memory = found["seconds"], sorted(found["memory_mib"])
    headers = ("model", "batches", *(f"s an epoch, {n} a step" for n in numbers), *(f"MiB, {n} a step" for n in memory))
    about = (
        f"Seconds of an epoch, {result['size']}, batches of {BATCH_SIZE}, projected from the median of "
        f"{result['repeats']} rounds; {told(result['machine'])}."
    )
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.several_batches", __doc__)
    parser.add_argument("--size", default="tiktok", type=some_of("size", problem.SIZES), help="comma between")
    parser.add_argument("--models", default=",".join(SETTINGS), type=some_of("model", SETTINGS), help="comma between")
    parser.add_argument("--batches", default="1,8,64", type=whole_numbers, help="of a step; comma between")
    parser.add_argument("--repeats", default=5, type=int, help="rounds, after two that do not count")
    args = parser.parse_args(argv)
    for size in args.size:
        result = bench(size, args.models, args.batches, args.repeats, args.threads)
        write_results(args.out, f"several_batches-{size}", result, markdown(result))


if __name__ == "__main__":
    main()
