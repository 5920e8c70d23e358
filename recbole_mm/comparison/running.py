"""Runs of a comparison, several at a time: in processes of this machine, or as tasks of Ray."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any

from recbole_mm.comparison.options import CompareOptions
from recbole_mm.comparison.planned_runs import PlannedRun
from recbole_mm.comparison.training import train_alone, train_run, write_error
from recbole_mm.parallel.cluster import ray_running, room
from recbole_mm.parallel.devices import devices_kept, devices_of_trial


def in_processes(planned_runs: Sequence[PlannedRun], jobs: int) -> Iterator[PlannedRun]:
    """Train runs, `jobs` at a time, each in a new process; give each when it has ended.

    A process that is killed, as by a lack of memory, is a failed run. The others end with the iteration.
    """
    context = _new_processes()
    waiting, running = list(reversed(planned_runs)), dict[Any, tuple[Any, PlannedRun]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                planned = waiting.pop()
                process = context.Process(target=train_alone, args=(planned,))
                process.start()
                running[process.sentinel] = process, planned
            for sentinel in wait(running):
                process, planned = running.pop(sentinel)
                process.join()
                if process.exitcode:
                    write_error(planned, f"its process ended with {process.exitcode}: out of memory, or killed")
                yield planned
    finally:
        for process, _ in running.values():
            process.kill()
            process.join()


def _new_processes() -> Any:
    """Return what starts processes in which nothing was done before; where it can, imports are made once for all."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context: Any = multiprocessing.get_context("forkserver")
    # torch._dynamo is what the first optimizer of a process imports, for two seconds
    context.set_forkserver_preload(["recbole_mm.comparison.training", "torch._dynamo"])
    return context


def in_ray(planned_runs: Sequence[PlannedRun], options: CompareOptions, address: str) -> Iterator[PlannedRun]:
    """Train runs as tasks of Ray, as many at a time as there is room for; give each when it has ended.

    Parameters
    ----------
    planned_runs : sequence of PlannedRun
        All machines must see their folders, and the data, under the same paths.
    options : CompareOptions
        Has the CPUs and GPUs of a run.
    address : str
        Of a Ray cluster to join; empty: Ray is started on this machine.

    Raises
    ------
    InputError
        There is no such cluster, or a run fits on no machine.
    """
    with devices_kept(), ray_running(address):
        import ray  # noqa: PLC0415 (heavy)

        gpus = room(options.cpus, options.gpus, "--cpus or --gpus")
        task = ray.remote(num_cpus=options.cpus, num_gpus=gpus, max_retries=0)(_train_in_ray)
        running = {task.remote(planned): planned for planned in planned_runs}
        try:
            while running:
                (done,), _ = ray.wait(list(running), num_returns=1)
                planned = running.pop(done)
                try:
                    ray.get(done)
                except ray.exceptions.RayError as error:
                    write_error(planned, " ".join(str(error).split()))
                yield planned
        finally:
            for task_left in running:
                ray.cancel(task_left, force=True)


def _train_in_ray(planned: PlannedRun) -> None:
    train_run(planned, **devices_of_trial())
