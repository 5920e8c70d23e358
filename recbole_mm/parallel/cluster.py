"""Ray for a sweep: started on this machine's loopback, or a cluster that runs already."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recbole_mm.base.errors import InputError

# Off: Ray's own table (only the older one, which can be replaced, is left) and its report of each use to its makers.
SETTINGS = {"RAY_AIR_NEW_OUTPUT": "0", "RAY_USAGE_STATS_ENABLED": "0"}
# Off: addresses that other machines reach, whatever the operating system; Ray reads it when it is imported.
ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

TIMEOUT = 10  # seconds for a connection
ANSWER = 60  # seconds for a cluster to let a process join


@contextmanager
def ray_running(address: str) -> Iterator[None]:
    """Have Ray within the block; one that this process has started before is used, and left as it is.

    Parameters
    ----------
    address : str
        Of a cluster to join, such as ``auto`` or ``10.0.0.1:6379``. Empty: Ray is started for the block, without its
        dashboard, and listens on 127.0.0.1 alone.

    Raises
    ------
    InputError
        There is no such cluster.
    """
    settings = SETTINGS | ({} if address else ALONE)
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update({name: before[name] or value for name, value in settings.items()})
    import ray  # noqa: PLC0415 (heavy)

    started = not ray.is_initialized()
    try:
        if started:
            _start(address)
        with ray_silent():
            yield
    finally:
        if started:
            ray.shutdown()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def ray_silent() -> Iterator[None]:
    """Have no warnings of Ray's within the block: what they are about is in the record of the sweep."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _start(address: str) -> None:
    import ray  # noqa: PLC0415

    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if not address:
        ray.init(address="local", include_dashboard=False, **quiet)  # by itself Ray joins what runs on the machine
        if ray.util.get_node_ip_address() != "127.0.0.1":
            logging.getLogger(__name__).warning(
                "Ray was imported before the sweep and listens to other machines: import it later, "
                f"or set {next(iter(ALONE))}=0 first"
            )
        return
    try:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if host and port.isdecimal():  # Ray waits for minutes for a cluster that is not there
            socket.create_connection((host, int(port)), TIMEOUT).close()
            _check_answer(address)
        ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError, OverflowError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"--address={address}: there is no Ray cluster that can be joined ({reason})") from error


def _check_answer(address: str) -> None:
    """Join a cluster in a process that can be ended: Ray goes on waiting for what listens there and is no cluster."""
    join = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
    try:
        subprocess.run(  # noqa: S603 (Python, with a text in quotes)
            [sys.executable, "-c", join], timeout=ANSWER, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"nothing there answers as a Ray cluster within {ANSWER} seconds") from error


def room(cpus: float, gpus: float, options: str) -> float:
    """Return the GPUs of a task, after checking that a machine of the running cluster has room for it.

    Parameters
    ----------
    cpus, gpus : float
        That it needs; below 0 GPUs: 1 where a machine has one, else none.
    options : str
        With which the user can ask for less.

    Raises
    ------
    InputError
        No machine has: Ray would wait for one.
    """
    import ray  # noqa: PLC0415

    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if gpus < 0:
        gpus = float(any(machine.get("GPU", 0) >= 1 for machine in machines))
    asked = {"CPU": cpus, "GPU": gpus}
    if not any(all(machine.get(kind, 0) >= n for kind, n in asked.items()) for machine in machines):
        has = "; ".join(f"{machine.get('CPU', 0):g} CPUs and {machine.get('GPU', 0):g} GPUs" for machine in machines)
        raise InputError(
            f"no machine has room for a trial of {cpus:g} CPUs and {gpus:g} GPUs (there are {has}): lower {options}"
        )
    return gpus
