"""A sweep on two machines, which are two nodes of Ray on this one, each with one CPU and what is taken for one GPU."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from test_tune import DATA, environment, trials, tune, write_space

from recbole_mm.tuning.space import Domain

OPEN = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}  # by default a cluster wants a token


@contextmanager
def node(folder: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a node of Ray, and end all of its processes behind the block."""
    command = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--block",
        "--num-cpus=1",
        "--num-gpus=1",
        *arguments,
    ]
    env = environment() | OPEN
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            family = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            _, alive = psutil.wait_procs(family, timeout=30)
            for one in alive:
                one.kill()


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Return the address of two nodes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    port = address.partition(":")[2]
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder, ExitStack() as nodes:
        head = ("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")
        both = [head, (f"--address={address}", "--node-ip-address=127.0.0.2")]
        for process in [nodes.enter_context(node(folder, *arguments)) for arguments in both]:
            assert process.stdout is not None
            assert any(b"Ray runtime started" in line for line in process.stdout), "Ray did not start"
        os.environ.update(OPEN)
        try:
            yield address
        finally:
            for name in OPEN:
                os.environ.pop(name)


def test_a_sweep_runs_on_every_node_of_a_cluster(cluster: str, tmp_path: Path) -> None:
    space = {"learning_rate": Domain("loguniform", (1e-3, 1e-2))}
    done = tune(
        tmp_path, "--model=BPR", *DATA, write_space(tmp_path, space), "--num-samples=2", "--scheduler=none",
        "--epochs=5", "--gpus-per-trial=0.5", f"--address={cluster}", "--storage=shared",
        "--name=two",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [row["status"] for row in trials(tmp_path / "shared" / "two")] == ["finished"] * 2
    told = [
        json.loads(line)
        for file in (tmp_path / "shared" / "two").glob("trial_*/result.json")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    assert len({(one["trial_id"], one["node_ip"]) for one in told}) == len({one["node_ip"] for one in told}) == 2
    assert {one["gpu"] for one in told} == {"0"}
