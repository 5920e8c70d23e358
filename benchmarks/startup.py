"""Seconds until help, the version or a mistake in a command answers, each a new process, beside importing torch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.measuring import arguments, machine, measure, summarise, told, workplace, write_results

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "import sys, recbole_mm_cli; sys.exit(recbole_mm_cli.main())"  # as the installed script has it
BASELINE = "import torch"
CASES = {
    BASELINE: ["-c", "import torch"],
    "import recbole_mm": ["-c", "import recbole_mm"],
    "python -c pass": ["-c", "pass"],
    "recbole-mm --help": ["-c", COMMAND, "--help"],
    "recbole-mm --version": ["-c", COMMAND, "--version"],
    "recbole-mm run --help": ["-c", COMMAND, "run", "--help"],
    "recbole-mm convert --help": ["-c", COMMAND, "convert", "--help"],
    "recbole-mm rnu": ["-c", COMMAND, "rnu"],
    "recbole-mm run --modle=MHCR": ["-c", COMMAND, "run", "--modle=MHCR"],
    "python -m recbole_mm run --help": ["-m", "recbole_mm", "run", "--help"],
    "python run_recbole_mm.py --help": [str(ROOT / "run_recbole_mm.py"), "--help"],
}


def bench(repeats: int, threads: int) -> dict[str, Any]:
    """Return the machine, and by case the seconds of each round and their ratio to importing torch."""
    work: dict[str, Callable[[], object]] = {name: partial(_start, words) for name, words in CASES.items()}
    with workplace(threads):
        about = machine()
        found = summarise(measure(work, repeats), BASELINE)
    return {"machine": about, "repeats": repeats, "cases": found}


def _start(words: Sequence[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, check=False)  # noqa: S603 - ours
    if done.returncode not in (0, 2):
        raise RuntimeError(done.stderr.decode())


def markdown(result: dict[str, Any]) -> str:
    rows = []
    for name, case in result["cases"].items():
        low, median, high = case["ratio"]
        rows.append((name, f"{case['seconds'][1]:.2f}", f"{median:.2f} ({low:.2f} to {high:.2f})"))
    about = f"A new process each, median (quartiles) of {result['repeats']} rounds; {told(result['machine'])}."
    headers = ("process", "seconds", f"to {BASELINE}")
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.startup", __doc__)
    parser.add_argument("--repeats", default=20, type=int, help="number of rounds (default: 20)")
    args = parser.parse_args(argv)
    result = bench(args.repeats, args.threads)
    write_results(args.out, "startup", result, markdown(result))


if __name__ == "__main__":
    main()
