"""`recbole-mm run`: one training, from names and settings to the table of its metrics."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import torch

from recbole_mm.base.errors import InputError
from recbole_mm.commands import Say
from recbole_mm.commands.given import checked_resume
from recbole_mm.commands.parser import Arguments
from recbole_mm.configuration.request import Request, configure
from recbole_mm.training.interrupting import Interrupted
from recbole_mm.training.run import run
from recbole_mm.training.run_screen import metrics_table


def main(arguments: Arguments, say: Say) -> int:
    """Train and test one model; return 0, 130 after Ctrl-C, or 143 after SIGTERM."""
    known = arguments.options
    files = (known.config_files or "").split()
    resume = checked_resume(known.resume)
    request = Request(known.model or "", known.dataset or "", files, arguments.settings, resume)
    if known.nproc > 1 or known.world_size > 1:
        return _run_distributed(known, request, say)
    try:
        run(request, say)
    except Interrupted as stop:
        if stop.checkpoint is None:
            say(f"\n{stop}; nothing to resume from.", sys.stderr)
        else:
            command = shlex.join(["recbole-mm", "run", f"--resume={stop.checkpoint}"])
            say(f"\n{stop}; the last state and the best one are kept. Resume with:\n{command}", sys.stderr)
        return stop.exit_code
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
