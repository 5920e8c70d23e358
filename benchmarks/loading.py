"""Seconds and peak memory from files to the first batch: loading, splits, samplers, model; by interactions."""

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
MODELS = ["BPR", "LightGCN"]
PER_USER, PER_ITEM = 10, 100  # interactions


def load(model: str, name: str, folder: str) -> tuple[float, float]:
    """Return the seconds, and the MiB by which the peak of this process, which must be new, grows."""
    before = peak_memory()["ram"]
    took = seconds(lambda: next(iter(prepare(model, name, data_path=folder)[1][0])))
    return took, peak_memory()["ram"] - before


def bench(models: Sequence[str], counts: Sequence[int], threads: int) -> dict[str, Any]:
    """Return the machine, and by model and number of interactions the seconds and the memory."""
    found: dict[str, list[dict[str, float]]] = {model: [] for model in models}
    with workplace(threads) as folder:
        about = machine()
        for n in counts:
            name = f"interactions-{n}"
            problem.write(name, folder, size=Size(n // PER_USER, n // PER_ITEM, n, {}))
            for model in models:
                with new_process() as pool:
                    took, memory = pool.submit(load, model, name, str(folder)).result()
                found[model].append({"interactions": n, "seconds": took, "memory_mib": memory})
    return {"machine": about, "models": found}


def slope(counts: Sequence[dict[str, float]], key: str) -> float:
    """Return by how much a value grows with an interaction."""
    return float(np.polyfit([one["interactions"] for one in counts], [one[key] for one in counts], 1)[0])


def markdown(result: dict[str, Any]) -> str:
    rows = [
        (model, f"{one['interactions']:,}", f"{one['seconds']:.1f}", f"{one['memory_mib']:,.0f}")
        for model, counts in result["models"].items()
        for one in counts
    ]
    each = "; ".join(
        f"{model} {1e6 * slope(counts, 'seconds'):.1f} us and {MIB * slope(counts, 'memory_mib'):,.0f} bytes"
        for model, counts in result["models"].items()
    )
    headers = ("model", "interactions", "seconds", "peak, MiB")
    about = (
        f"From files to the first batch, with the model; {told(result['machine'])}. An interaction more, with a user "
        f"for {PER_USER} of them and an item for {PER_ITEM}: {each}."
    )
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.loading", __doc__)
    parser.add_argument("--interactions", default=COUNTS, type=whole_numbers, help="two counts or more, comma between")
    parser.add_argument("--models", default=MODELS, type=lambda text: text.split(","), help="comma between")
    args = parser.parse_args(argv)
    result = bench(args.models, args.interactions, args.threads)
    write_results(args.out, "loading", result, markdown(result))


if __name__ == "__main__":
    main()
