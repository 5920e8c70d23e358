"""Cells, several at a time: in processes of this machine, or as tasks of Ray."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any

from recbole_mm.comparison.options import Plan
from recbole_mm.comparison.plan import Cell
from recbole_mm.comparison.training import train_alone, train_cell, write_error
from recbole_mm.parallel.cluster import ray_running, room
from recbole_mm.parallel.devices import devices_kept, devices_of_trial

# To glibc: memory that is given back is kept for the next tensor. Else every large one is mapped and cleared anew, in
# up to a third of a training's time.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}


def in_processes(cells: Sequence[Cell], jobs: int) -> Iterator[Cell]:
    """Train cells, `jobs` at a time, each in a new process; give each when it has ended.

    A process that is killed, as by a lack of memory, is a failed cell. Those that run are ended where the iteration is.
    """
    context = _new_processes()
    waiting, running = list(reversed(cells)), dict[Any, tuple[Any, Cell]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop()
                process = context.Process(target=train_alone, args=(cell,))
                process.start()
                running[process.sentinel] = process, cell
            for sentinel in wait(running):
                process, cell = running.pop(sentinel)
                process.join()
                if process.exitcode:
                    write_error(cell, f"its process ended with {process.exitcode}: out of memory, or killed")
                yield cell
    finally:
        for process, _ in running.values():
            process.kill()
            process.join()


def _new_processes() -> Any:
    """Return what starts processes in which nothing was done before; where it can, imports are made once for all."""
    os.environ.update({name: os.environ.get(name, value) for name, value in KEEP_MEMORY.items()})
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["recbole_mm.comparison.training"])
    return context


def in_ray(cells: Sequence[Cell], plan: Plan, address: str) -> Iterator[Cell]:
    """Train cells as tasks of Ray, as many at a time as there is room for; give each when it has ended.

    Parameters
    ----------
    cells : sequence of Cell
        All machines must see their folders, and the data, under the same paths.
    plan : Plan
        Has the CPUs and GPUs of a cell.
    address : str
        Of a Ray cluster to join; empty: Ray is started on this machine.

    Raises
    ------
    InputError
        There is no such cluster, or a cell fits on no machine.
    """
    with devices_kept(), ray_running(address):
        import ray  # noqa: PLC0415 (heavy)

        gpus = room(plan.cpus, plan.gpus, "--cpus or --gpus")
        task = ray.remote(num_cpus=plan.cpus, num_gpus=gpus, max_retries=0)(_train_in_ray)
        running = {task.remote(cell): cell for cell in cells}
        try:
            while running:
                (done,), _ = ray.wait(list(running), num_returns=1)
                cell = running.pop(done)
                try:
                    ray.get(done)
                except ray.exceptions.RayError as error:
                    write_error(cell, " ".join(str(error).split()))
                yield cell
        finally:
            for task_left in running:
                ray.cancel(task_left, force=True)


def _train_in_ray(cell: Cell) -> None:
    train_cell(cell, **devices_of_trial())
