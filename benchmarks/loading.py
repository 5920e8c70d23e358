"""Seconds and peak memory from files to the first batch: loading, splits, samplers, model; by interactions."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
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
    some_of,
    told,
    whole_numbers,
    workplace,
    write_results,
)
from benchmarks.problem import Size
from recbole_mm.base.memory import peak_memory

COUNTS = [1_000_000, 2_000_000, 4_000_000]
MODELS = ["BPR", "LightGCN"]
WRITERS: dict[str, Callable[..., Any]] = {"given": problem.write, "made": problem.write_timed}
FORMS: dict[str, Callable[[Path], Any]] = {"text": lambda folder: None, "parquet": problem.as_parquet}
CLOCKS = ("seconds", "cpu")
PER_USER, PER_ITEM = 10, 100  # interactions


def load(model: str, name: str, folder: str, width: int) -> tuple[float, float, float]:
    """Return the seconds, those of the CPU, and the MiB by which the peak of this process, which must be new, grows."""
    before, cpu = peak_memory()["ram"], time.process_time()
    took = seconds(lambda: next(iter(prepare(model, name, data_path=folder, embedding_size=width)[1][0])))
    return took, time.process_time() - cpu, peak_memory()["ram"] - before


def bench(
    models: Sequence[str], counts: Sequence[int], *, split: str, forms: Sequence[str], width: int, threads: int
) -> dict[str, Any]:
    """Return the machine, and by model, form of the files and number of interactions the seconds and the memory."""
    found: dict[str, list[dict[str, float]]] = {_row(model, form): [] for model in models for form in forms}
    with workplace(threads) as folder:
        about = machine()
        for n in counts:
            name = f"interactions-{n}"
            WRITERS[split](name, folder, size=Size(n // PER_USER, n // PER_ITEM, n, {}))
            for form in sorted(forms, reverse=True):  # the text is what the Parquet is made of
                FORMS[form](folder / name)
                for model in models:
                    with new_process() as pool:
                        took, cpu, memory = pool.submit(load, model, name, str(folder), width).result()
                    measured = {"interactions": n, "seconds": took, "cpu": cpu, "memory_mib": memory}
                    found[_row(model, form)].append(measured)
            shutil.rmtree(folder / name)
    return {"machine": about, "split": split, "width": width, "models": found}


def _row(model: str, form: str) -> str:
    return model if form == "text" else f"{model}, {form}"


def slope(counts: Sequence[dict[str, float]], key: str) -> float:
    """Return by how much a value grows with an interaction."""
    return float(np.polyfit([one["interactions"] for one in counts], [one[key] for one in counts], 1)[0])


def markdown(result: dict[str, Any]) -> str:
    rows = [
        (model, f"{one['interactions']:,}", *(f"{one[key]:.1f}" for key in CLOCKS), f"{one['memory_mib']:,.0f}")
        for model, counts in result["models"].items()
        for one in counts
    ]
    each = "; ".join(
        f"{model} {1e6 * slope(counts, 'cpu'):.1f} us of the CPU and {MIB * slope(counts, 'memory_mib'):,.0f} bytes"
        for model, counts in result["models"].items()
    )
    headers = ("model", "interactions", "seconds", "of the CPU", "peak, MiB")
    about = (
        f"From files to the first batch, split {result['split']}, with the model, {result['width']} wide; "
        f"{told(result['machine'])}. An interaction more, with a user for {PER_USER} of them and an item for "
        f"{PER_ITEM}: {each}."
    )
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.loading", __doc__)
    parser.add_argument("--interactions", default=COUNTS, type=whole_numbers, help="two counts or more, comma between")
    parser.add_argument("--models", default=MODELS, type=lambda text: text.split(","), help="comma between")
    parser.add_argument(
        "--split", default="given", choices=WRITERS, help="come with the files, or are made user by user from times"
    )
    parser.add_argument(
        "--form", default=["text"], type=some_of("form", FORMS), help="of the files; several with a comma between"
    )
    parser.add_argument("--width", default=64, type=int, help="of the models' tables")
    args = parser.parse_args(argv)
    result = bench(
        args.models, args.interactions, split=args.split, forms=args.form, width=args.width, threads=args.threads
    )
    write_results(args.out, "loading", result, markdown(result))


if __name__ == "__main__":
    main()
