"""Runs that kill themselves, as `kill -9` does, each in a child of one process: `python killed_runs.py FOLDER`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch._dynamo  # of torch's optimizers; what is imported here, the children share
import torch.utils.tensorboard  # noqa: F401
from model_contract import DATASETS

import recbole_mm.commands.run  # noqa: F401
from recbole_mm.base import files
from recbole_mm.commands import cli
from recbole_mm.training import run
from recbole_mm.training.trainer import RunTrainer

RUN = [
    *("run", "--model=BPR", "--dataset=microvideo", f"--data_path={DATASETS}", "--embedding_size=8", "--epochs=5"),
    *("--train_batch_size=1024", "--learning_rate=0.01", "--last_state_every=0"),
]


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before_the_first_epoch() -> None:
    RunTrainer._train_epoch = die  # type: ignore[method-assign]


def in_an_epoch() -> None:
    RunTrainer._check_nan = lambda self, loss: die() if len(self.history) == 3 else None  # type: ignore[method-assign]


def while_saving() -> None:
    """At the third state, of which half has reached the disk."""
    replace, states = os.replace, []

    def third(source: Any, target: Any) -> None:
        states.extend([target] if target.suffix in (".pth", ".last") else [])
        if len(states) == 3:
            Path(source).write_bytes(Path(source).read_bytes()[:1000])
            die()
        replace(source, target)

    files.os.replace = third


def in_the_test() -> None:
    run.held_out = die  # type: ignore[assignment]


PHASES = (before_the_first_epoch, in_an_epoch, while_saving, in_the_test)


def main(folder: Path) -> None:
    """Leave a folder of each phase in which a run was killed."""
    for phase in PHASES:
        child = os.fork()
        if not child:
            phase()
            cli.main([*RUN, f"--checkpoint_dir={folder / phase.__name__}"])
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, phase.__name__


if __name__ == "__main__":
    main(Path(sys.argv.pop()))
