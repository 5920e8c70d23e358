"""What every test that runs RecBole needs: no arguments, a folder of its own, one cache of ml-100k's features."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as every command has it, before torch is loaded

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("seeded", derandomize=True)
hypothesis.settings.load_profile("seeded")  # the same examples every time
OF_PROCESSES = ("recbole_mm.comparison.training", "recbole_mm.commands.run", "torch._dynamo", "torch.profiler")


@pytest.fixture(scope="session")
def feature_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="session", autouse=True)
def imported_once() -> Iterator[None]:
    """Let the server that forks processes, one for all tests, import what any of these processes needs."""
    own = forkserver.set_forkserver_preload
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forkserver, "set_forkserver_preload", lambda names: own([*names, *OF_PROCESSES]))
        yield


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, feature_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run in `tmp_path`: RecBole reads sys.argv, writes ./log, ./log_tensorboard and ./saved, and sets up logging."""
    monkeypatch.setattr("sys.argv", ["x"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECBOLE_MM_CACHE", str(feature_cache))
    gpus, logger = os.environ.get("CUDA_VISIBLE_DEVICES"), logging.getLogger()
    level, handlers = logger.level, list(logger.handlers)
    yield tmp_path
    logger.setLevel(level)
    for handler in set(logger.handlers) - set(handlers):
        logger.removeHandler(handler)
        handler.close()
    if gpus is None:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus


@pytest.fixture
def float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
