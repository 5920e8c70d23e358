"""All benchmarks of time and memory, one after the other, each in a process of its own; `make bench` runs this."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.measuring import arguments, some_of

COMMANDS = (
    "propagation",
    "data",
    "steps --size=tiktok,baby",
    "steps --size=elec --repeats=3",
    "neighbours",
    "neighbours --method=faiss --items=1000000 --dim=128",
    "scale",
    "loading",
    "features",
    "convert",
    "startup",
)


def main(argv: Sequence[str] | None = None) -> None:
    names = tuple(dict.fromkeys(command.split()[0] for command in COMMANDS))
    parser = arguments("benchmarks", __doc__)
    parser.add_argument("--only", default=",".join(names), type=some_of("benchmark", names), help="comma between")
    args = parser.parse_args(argv)
    root = Path(__file__).resolve().parents[1]
    common = [f"--threads={args.threads}", f"--out={args.out}"]
    for command in tqdm([command for command in COMMANDS if command.split()[0] in args.only], unit="benchmark"):
        name, *own = shlex.split(command)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *own, *common], cwd=root, check=True)  # noqa: S603 - our own


if __name__ == "__main__":
    main()
