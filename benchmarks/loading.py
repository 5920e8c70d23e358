"""Seconds and peak memory from files to the first batch: loading, splits, samplers, graph; by interactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmarks import problem
from benchmarks.measuring import (
    MIB,
    arguments,
    machine,
    new_process,
    prepare,
    seconds,
    told,
    whole_numbers,
    workplace,
    write_results,
)
from benchmarks.problem import Size
from recbole_mm.base.memory import peak_memory

COUNTS = [1_000_000, 2_000_000, 4_000_000]
PER_USER, PER_ITEM = 10, 100  # interactions


def load(name: str, folder: str) -> tuple[float, float]:
    """Return the seconds, and the MiB by which the peak of this process, which must be new, grows."""
    before = peak_memory()["ram"]
    took = seconds(lambda: next(iter(prepare("LightGCN", name, data_path=folder)[1][0])))
    return took, peak_memory()["ram"] - before


def bench(counts: Sequence[int], threads: int) -> dict[str, Any]:
    """Return the machine, and by number of interactions the seconds and the memory."""
    found = []
    with workplace(threads) as folder:
        about = machine()
        for n in counts:
            name = f"interactions-{n}"
            problem.write(name, folder, size=Size(n // PER_USER, n // PER_ITEM, n, {}))
            with new_process() as pool:
                took, memory = pool.submit(load, name, str(folder)).result()
            found.append({"interactions": n, "seconds": took, "memory_mib": memory})
    return {"machine": about, "counts": found}


def slope(result: dict[str, Any], key: str) -> float:
    """Return by how much a value grows with an interaction."""
    counts = result["counts"]
    return float(np.polyfit([one["interactions"] for one in counts], [one[key] for one in counts], 1)[0])


def markdown(result: dict[str, Any]) -> str:
    rows = [
        (f"{one['interactions']:,}", f"{one['seconds']:.1f}", f"{one['memory_mib']:,.0f}") for one in result["counts"]
    ]
    each = (
        f"{1e6 * slope(result, 'seconds'):.1f} us and {MIB * slope(result, 'memory_mib'):,.0f} bytes an interaction, "
        f"with a user for {PER_USER} of them and an item for {PER_ITEM}"
    )
    headers = ("interactions", "seconds", "peak, MiB")
    about = f"From files to the first batch of LightGCN; {told(result['machine'])}. {each}."
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.loading", __doc__)
    parser.add_argument("--interactions", default=COUNTS, type=whole_numbers, help="two counts or more, comma between")
    args = parser.parse_args(argv)
    result = bench(args.interactions, args.threads)
    write_results(args.out, "loading", result, markdown(result))


if __name__ == "__main__":
    main()
