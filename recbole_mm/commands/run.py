"""`recbole-mm run`: one training, from names and settings to the table of its metrics."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from typing import Any

import torch

from recbole_mm.base.errors import InputError
from recbole_mm.commands import Say
from recbole_mm.commands.given import checked_resume
from recbole_mm.commands.parser import Arguments
from recbole_mm.configuration.request import Request, settings_given
from recbole_mm.parallel.process_group import ProcessGroup, joined
from recbole_mm.parallel.processes import Machines, placed_by_torchrun, silenced, together
from recbole_mm.training.following import follow
from recbole_mm.training.interrupting import Interrupted
from recbole_mm.training.run import run


def main(arguments: Arguments, say: Say) -> int:
    """Train and test one model; return 0, 130 after Ctrl-C, or 143 after SIGTERM."""
    known = arguments.options
    files = (known.config_files or "").split()
    resume = checked_resume(known.resume)
    request = Request(known.model or "", known.dataset or "", files, arguments.settings, resume)
    try:
        if known.nproc > 1 or known.world_size > 1 or placed_by_torchrun() is not None:
            _run_in_processes(known, request, say)
        else:
            run(request, say)
    except Interrupted as stop:
        if stop.checkpoint is None:
            say(f"\n{stop}; nothing to resume from.", sys.stderr)
        else:
            command = shlex.join(["recbole-mm", "run", f"--resume={stop.checkpoint}"])
            say(f"\n{stop}; the last state and the best one are kept. Resume with:\n{command}", sys.stderr)
        return stop.exit_code
    return 0


def _run_in_processes(known: Any, request: Request, say: Say) -> None:
    """Train in several processes, of which this is one: the first, which writes and says what is found, or another."""
    place = placed_by_torchrun()
    if place is not None:
        request = _with_a_share_of_the_machine(request, int(os.environ.get("LOCAL_WORLD_SIZE", place.size)))
        with joined(place) as group:
            _take_part(request, say, group)
        return
    size = known.world_size if known.world_size > 0 else known.nproc
    if known.nproc < 1 or known.group_offset < 0 or known.group_offset + known.nproc > size:
        raise InputError(
            f"--nproc={known.nproc} from --group_offset={known.group_offset} on are not among --world_size={size}"
        )
    request = _with_a_share_of_the_machine(request, known.nproc)
    machines = Machines(known.nproc, size, known.group_offset, f"{known.ip}:{known.port}")
    with together(follow, request, machines) as group:
        _take_part(request, say, group)


def _take_part(request: Request, say: Say, group: ProcessGroup) -> None:
    if group.leads:
        run(request, say, group)
    else:
        with silenced():
            follow(request, group)


def _with_a_share_of_the_machine(request: Request, n: int) -> Request:
    """Return the request with a GPU for each process, or with as many threads as leave cores for the others."""
    given = settings_given(request)
    on_cpu = given.get("use_gpu") is False or given.get("gpu_id", 0) in ("", None)
    on_cpu = on_cpu or str(given.get("device", "")).startswith("cpu")
    n_gpus, n_cores = 0 if on_cpu else torch.cuda.device_count(), os.cpu_count() or 1
    if n_gpus:
        if n > n_gpus:
            raise InputError(f"--nproc={n} needs {n} GPUs and there are {n_gpus}: lower it, or set use_gpu=False")
        share: dict[str, Any] = {"gpu_id": ",".join(map(str, range(n)))}
    else:
        if n > n_cores:
            raise InputError(f"--nproc={n} needs {n} cores and this machine has {n_cores}: lower it")
        share = {"threads": n_cores // n}
    return request if share.keys() & given.keys() else replace(request, settings={**(request.settings or {}), **share})
