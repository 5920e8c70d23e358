"""The command line of a sweep in a process of its own, for tests of whole sweeps."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import yaml
from model_contract import DATASETS
from new_process import command

from recbole_mm.settings.space import Domain

ROOT = Path(__file__).resolve().parents[1]
DATA = ["--dataset=microvideo", f"--data_path={DATASETS}"]
RATES = {"learning_rate": Domain("choice", (0.02, 1e-5, 1e30))}


def command_of(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "recbole_mm", "tune", *arguments]


def tune(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, as Ray is for the whole process."""
    return command("tune", *arguments, cwd=folder, env=environment())


def environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}  # RecBole sets it
    return own | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "RAY_USE_MULTIPROCESSING_CPU_COUNT": "1",  # Ray's CPUs are os.cpu_count() in a container, too
        "RAY_worker_niceness": "0",  # by default 15: other tests would starve a trial
        "RAY_prestart_worker_first_driver": "0",  # by default a worker for every CPU, whether or not it is needed
    }


def write_space(folder: Path, space: dict[str, Domain]) -> str:
    file = folder / "space.yaml"
    file.write_text(yaml.safe_dump({name: domain.described() for name, domain in space.items()}), encoding="utf-8")
    return f"--space={file}"


def trials(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
