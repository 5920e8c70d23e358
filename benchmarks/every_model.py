"""Every model of RecBole and of the pack through `recbole-mm run`, one epoch each: it runs, or a line says why not."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

from tabulate import tabulate
from tqdm import tqdm

from benchmarks import all_columns
from benchmarks.measuring import arguments, machine, some_of, told, workplace, write_results
from recbole_mm.commands.cli import main as recbole_mm
from recbole_mm.configuration.valid_names import model_names

RUNS, ONE_LINE, TRACEBACK, TOO_LONG = "runs", "one line", "traceback", "too long"
FAILED = (TRACEBACK, TOO_LONG)
LIMIT = 180  # seconds

# What a model needs beside one epoch.
BY_KIND: dict[str, dict[str, Any]] = {
    "context_aware_recommender": {"threshold": {"rating": 4}},
    "exlib_recommender": {"threshold": {"rating": 4}},
    "sequential_recommender": {"MAX_ITEM_LIST_LENGTH": 10},
}
BY_MODEL: dict[str, dict[str, Any]] = {
    "GRU4RecKG": all_columns.PRETRAINED,
    "KSR": all_columns.PRETRAINED,
    "NCL": {"num_clusters": 20},
    "RaCT": {"pretrain_epochs": 1},
    "S3Rec": {"pretrain_epochs": 1},
}


def command(model: str, data_path: Path, threads: int) -> list[str]:
    """Return the arguments of `recbole-mm` that train a model."""
    needs = {**BY_KIND.get(model_names()[model].parent.name, {}), **BY_MODEL.get(model, {})}
    settings = {"data_path": data_path, "epochs": 1, "threads": threads, **needs}
    return ["run", f"--model={model}", f"--dataset={all_columns.NAME}", *(f"--{k}={v}" for k, v in settings.items())]


def _work(arguments: Sequence[str], log: Path) -> None:
    """Run the command with all that it writes in a file."""
    with log.open("wb") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
        code = recbole_mm(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    raise SystemExit(code)


def train(model: str, data_path: Path, threads: int, limit: float, context: Any) -> dict[str, Any]:
    """Train a model in a process of its own; return its result, the seconds and the line that tells of it."""
    log, start = Path(f"{model}.log"), perf_counter()
    process = context.Process(target=_work, args=(command(model, data_path, threads), log))
    process.start()
    process.join(limit)
    took, code = perf_counter() - start, process.exitcode
    if code is None:
        process.kill()
        process.join()
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    result, line = read(code, text)
    return {"model": model, "result": result, "seconds": round(took, 1), "line": line, "exit": code}


def read(code: int | None, text: str) -> tuple[str, str]:
    """Return what an exit code, None for none within the time, and all that was written come to, and its line."""
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    last = lines[-1] if lines else ""
    if code is None:
        return TOO_LONG, last
    errors = [line for line in lines if line.startswith("error: ")]
    if "Traceback (most recent call last)" in text or code not in (0, 2) or (code == 2 and len(errors) != 1):
        return TRACEBACK, f"exit code {code}: {last}"
    return (ONE_LINE, errors[0].removeprefix("error: ")) if code else (RUNS, _metric(lines))


def _metric(lines: Sequence[str]) -> str:
    """Return the first line of the table of metrics, with single spaces."""
    rules = [number for number, line in enumerate(lines) if line.startswith("-----")]
    return " ".join(lines[rules[0] + 1].split()) if rules else ""


def bench(models: Sequence[str], threads: int, limit: float) -> dict[str, Any]:
    """Return the machine, and what came of every model."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["recbole_mm.commands.run"])
    with workplace(threads) as folder:
        about = machine()
        all_columns.write(folder)
        found = [train(model, folder, threads, limit, context) for model in tqdm(models, unit="model")]
    return {"machine": about, "limit": limit, "models": found}


def markdown(result: dict[str, Any]) -> str:
    found = result["models"]
    counts = {name: sum(one["result"] == name for one in found) for name in (RUNS, ONE_LINE, *FAILED)}
    about = f"{len(found)} models, one epoch each; {told(result['machine'])}."
    total = ", ".join(f"{count} {name}" for name, count in counts.items())
    headers = ("model", "result", "seconds", "line, or the first metric on validation and test")
    rows = [(one["model"], one["result"], f"{one['seconds']:.1f}", one["line"].replace("|", "/")) for one in found]
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n\n{total}\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the table; return 1 where a model left a traceback or did not end in time."""
    names = sorted(model_names(), key=str.lower)
    parser = arguments("benchmarks.every_model", __doc__)
    parser.add_argument("--models", default=names, type=some_of("model", names), help="comma between; all by default")
    parser.add_argument("--limit", default=LIMIT, type=float, help="seconds that a model may take")
    args = parser.parse_args(argv)
    result = bench(args.models, args.threads, args.limit)
    write_results(args.out, "every-model", result, markdown(result))
    return int(any(one["result"] in FAILED for one in result["models"]))


if __name__ == "__main__":
    sys.exit(main())
