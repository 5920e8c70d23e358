"""How the time of an epoch and the memory of a step grow with users, items, interactions and widths of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tabulate import tabulate
from tqdm import tqdm

from benchmarks import problem
from benchmarks.measuring import arguments, build, machine, seconds, some_of, told, workplace, write_results
from benchmarks.problem import Size
from benchmarks.steps import memory
from recbole_mm.graphs.products import MET_OFTEN

BASE = Size(4_000, 4_000, 48_000, {"image": 256, "text": 128})
FACTORS = (1, 2, 4, 8)
KNOBS = ("users", "items", "interactions", "dims")
MODELS = {"MHCR": 1, "SEA": 1, "LightGCN": MET_OFTEN}  # and the steps after which it is as fast as it will be
WHAT = {"seconds": "seconds an epoch", "memory_mib": "memory of a step, MiB"}


def scaled(knob: str, factor: int) -> Size:
    if knob == "dims":
        return replace(BASE, modalities={name: dim * factor for name, dim in BASE.modalities.items()})
    return replace(BASE, **{knob: getattr(BASE, knob) * factor})


def point(folder: Path, name: str, model: str, steps: int) -> dict[str, float]:
    """Return the seconds of an epoch, from the median of some steps, and the memory of one."""
    entrant = build(model, name, data_path=str(folder))
    for _ in range(MODELS[model]):
        entrant.step()
    times = [seconds(entrant.step) for _ in range(steps)]
    return {"seconds": float(np.median(times)) * entrant.n_batches, "memory_mib": memory(entrant)}


def exponent(values: Sequence[float]) -> float:
    """Return the slope of log value over log factor: 1 where doubling the size doubles the value."""
    return float(np.polyfit(np.log(FACTORS), np.log(values), 1)[0])


def bench(knobs: Sequence[str], steps: int, threads: int) -> dict[str, Any]:
    """Return the machine, and by knob and model a point for each of `FACTORS`."""
    found: dict[str, Any] = {knob: {model: [] for model in MODELS} for knob in knobs}
    with workplace(threads) as folder:
        about = machine()
        for knob in knobs:
            for factor in tqdm(FACTORS, desc=knob, unit="size"):
                name = f"{knob}-{factor}"
                problem.write(name, folder, size=scaled(knob, factor))
                for model in MODELS:
                    found[knob][model].append(point(folder, name, model, steps))
    return {"base": repr(BASE), "factors": FACTORS, "steps": steps, "machine": about, "knobs": found}


def markdown(result: dict[str, Any]) -> str:
    rows = []
    for knob, models in result["knobs"].items():
        for model, points in models.items():
            cells = []
            for key in WHAT:
                values = [one[key] for one in points]
                cells += [" ".join(f"{value:.3g}" for value in values), f"{exponent(values):.2f}"]
            rows.append((knob, model, *cells))
    about = (
        f"Growth from {result['base']} by factors {', '.join(map(str, FACTORS))}, medians of {result['steps']} steps; "
        f"{told(result['machine'])}. An exponent of 1 is growth in proportion."
    )
    headers = ("grows", "model", WHAT["seconds"], "exponent", WHAT["memory_mib"], "exponent")
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def plot(result: dict[str, Any], file: Path) -> None:
    figure = Figure(figsize=(3.2 * len(result["knobs"]), 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(WHAT), len(result["knobs"]), squeeze=False, sharey="row")
    for column, (knob, models) in enumerate(result["knobs"].items()):
        for row, (key, label) in enumerate(WHAT.items()):
            axis = axes[row][column]
            for model, points in models.items():
                values = [one[key] for one in points]
                axis.loglog(FACTORS, values, marker=".", label=f"{model} ^{exponent(values):.2f}")
            axis.set_title(knob, loc="left")
            axis.set_xticks(FACTORS, [f"x{factor}" for factor in FACTORS])
            axis.set_xticks([], minor=True)
            axis.grid(alpha=0.3)
            axis.legend(fontsize="small")
            if column == 0:
                axis.set_ylabel(label)
    figure.savefig(file, dpi=110)


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.scale", __doc__)
    parser.add_argument("--knobs", default=",".join(KNOBS), type=some_of("knob", KNOBS), help="comma between")
    parser.add_argument("--steps", default=5, type=int, help="steps that are timed at each size")
    args = parser.parse_args(argv)
    result = bench(args.knobs, args.steps, args.threads)
    write_results(args.out, "scale", result, markdown(result))
    plot(result, args.out / "scale.png")


if __name__ == "__main__":
    main()
