"""`recbole-mm run`: one training, from names and settings to the table of its metrics."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import torch

from recbole_mm.base.errors import InputError
from recbole_mm.commands import Say
from recbole_mm.commands.settings import checked_resume, read_settings
from recbole_mm.settings.request import Request, configure
from recbole_mm.training.run import Interrupted, run
from recbole_mm.training.screen import metrics_table

USAGE = "recbole-mm run [--model=MHCR] [--dataset=ml-100k] [--config_files='a.yaml b.yaml'] [--key=value ...]"


def main(arguments: Sequence[str], say: Say) -> int:
    """Train and test one model; return 0, or 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="recbole-mm run",
        usage=USAGE,
        allow_abbrev=False,
        epilog="Every setting of RecBole and of the model can be given as --key=value; it wins over the files.",
    )
    parser.add_argument("--model", default="", help="a model of the pack or of RecBole (default MHCR)")
    parser.add_argument("--dataset", default="", help="folder name in data_path (default ml-100k, which is embedded)")
    parser.add_argument("--config_files", default="", help="yaml files, separated by spaces")
    parser.add_argument("--resume", help="checkpoint to train on from, with the settings that it was trained with")
    parser.add_argument("--nproc", type=int, default=1, help="processes on this machine, one GPU each")
    parser.add_argument("--ip", default="localhost", help="address of the first machine")
    parser.add_argument("--port", default="5678", help="port of the first machine")
    parser.add_argument("--world_size", type=int, default=-1, help="processes on all machines (default nproc)")
    parser.add_argument("--group_offset", type=int, default=0, help="rank of this machine's first process")
    known, rest = parser.parse_known_args(arguments)

    files, settings = known.config_files.split(), read_settings(rest)
    request = Request(known.model, known.dataset, files, settings, checked_resume(known.resume))
    if known.nproc > 1 or known.world_size > 1:
        return _run_distributed(known, request, say)
    try:
        run(request, say)
    except Interrupted as stop:
        if stop.checkpoint is None:
            say(f"\n{stop}; nothing to resume from.", sys.stderr)
        else:
            command = shlex.join(["recbole-mm", "run", f"--resume={stop.checkpoint}"])
            say(f"\n{stop}; the best checkpoint so far is kept. Resume with:\n{command}", sys.stderr)
        return 130
    return 0


def _run_distributed(known: Any, request: Any, say: Say) -> int:
    """Hand the run to RecBole's own `run`, which starts one process a GPU."""
    if request.resume:
        raise InputError("--resume trains on in one process: leave --nproc and --world_size out")
    if torch.cuda.device_count() < known.nproc:
        raise InputError(
            f"--nproc={known.nproc} needs {known.nproc} GPUs and this machine has {torch.cuda.device_count()}: "
            "RecBole trains in several processes only on GPUs (NCCL). Leave --nproc out to train in one process."
        )
    from recbole.quick_start import run as run_distributed  # noqa: PLC0415 (imports Ray)

    config = configure(request)
    if config["device"].type != "cuda":
        raise InputError(
            f"--nproc={known.nproc} trains on GPUs and the settings ask for the CPU: leave one of them out"
        )
    source = {"model_source": config["model_source"]} if config["model_source"] else {}
    result = run_distributed(
        config["model"], config["dataset"], list(request.config_files), {**(request.settings or {}), **source},
        nproc=known.nproc, world_size=known.world_size, ip=known.ip, port=known.port,
        group_offset=known.group_offset,
    )  # fmt: skip
    if result is not None:
        say(metrics_table(result["best_valid_result"], result["test_result"]))
    return 0
