"""The same trials of a model with ASHA and without: epochs that were trained, wall clock, and the best validation."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from tabulate import tabulate

from benchmarks.measuring import arguments, machine, some_of, told, workplace, write_results
from recbole_mm.configuration.request import Request
from recbole_mm.settings.space_files import default_space, read_space
from recbole_mm.tuning.results import read_sweep
from recbole_mm.tuning.searching import SCHEDULERS, SweepOptions
from recbole_mm.tuning.spec import sweep_spec
from recbole_mm.tuning.store import Store
from recbole_mm.tuning.sweep import load_shared, run_trials
from recbole_mm.tuning.trials import Sweep


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def bench(request: Request, trials: int, schedulers: Sequence[str], threads: int) -> dict[str, Any]:
    """Return the machine, and by scheduler what its sweep has come to; no model is tested."""
    found = {}
    with workplace(threads) as folder:
        about = machine()
        space = read_space(default_space(request.model) or Path(f"{request.model}.yaml"))
        for scheduler in schedulers:
            spec, store = sweep_spec(request, space, SweepOptions(trials, scheduler)), Store(str(folder / scheduler))
            start = perf_counter()
            run_trials(spec, load_shared(spec), store, restore=False, address="", say=say)
            found[scheduler] = summary(read_sweep(spec, store, perf_counter() - start))
    return {"machine": about, "model": request.model, "dataset": request.dataset, "trials": trials, "sweeps": found}


def summary(sweep: Sweep) -> dict[str, Any]:
    """Return what is compared of a sweep, and its trials."""
    trials = [
        {
            "trial": one.name,
            "status": one.status,
            "epochs": len(one.epochs),
            "best": one.best_score(sweep.valid_metric),
            **one.params,
        }
        for one in sweep.trials
    ]
    return {
        "epochs": sum(one["epochs"] for one in trials),
        "seconds": sweep.seconds,
        "metric": sweep.valid_metric,
        "best": sweep.best.best_score(sweep.valid_metric) if sweep.best else None,
        "best_trial": sweep.best.name if sweep.best else None,
        "default": sweep.default_score,
        "stopped": sum(one["status"] == "stopped" for one in trials),
        "failed": sum(one["status"] == "failed" for one in trials),
        "trials": trials,
    }


def markdown(result: dict[str, Any]) -> str:
    rows = [
        (
            name,
            one["epochs"],
            f"{one['seconds'] / 60:.1f}",
            one["stopped"],
            f"{one['best']:.4f}",
            one["best_trial"],
            f"{one['default']:.4f}",
        )
        for name, one in result["sweeps"].items()
    ]
    metric = next(iter(result["sweeps"].values()))["metric"]
    about = f"{result['trials']} trials of {result['model']} on {result['dataset']}; {told(result['machine'])}."
    headers = ("scheduler", "epochs", "minutes", "stopped", f"best valid {metric}", "of trial", "defaults")
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.sweeps", __doc__, threads=1)
    parser.add_argument("--model", default="MHCR")
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--trials", default=16, type=int)
    parser.add_argument("--epochs", default=0, type=int, help="at most, of a trial; 0 is the model's own number")
    parser.add_argument(
        "--schedulers", default="asha,none", type=some_of("scheduler", SCHEDULERS), help="comma between"
    )
    args = parser.parse_args(argv)
    settings = {"epochs": args.epochs} if args.epochs else {}
    request = Request(args.model, args.dataset, settings=settings)
    result = bench(request, args.trials, args.schedulers, args.threads)
    write_results(args.out, "sweeps", result, markdown(result))


if __name__ == "__main__":
    main()
