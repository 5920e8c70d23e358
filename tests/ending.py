"""Commands that end in the middle of an epoch, as SIGKILL ends them."""

from __future__ import annotations

from typing import Any

import pytest

from recbole_mm.commands import cli
from recbole_mm.training.trainer import RunTrainer


class Killed(BaseException):
    """As SIGKILL: nothing of the run is done after it."""


def killed(monkeypatch: pytest.MonkeyPatch, arguments: list[str], epoch: int) -> None:
    """Run a command that ends in the middle of an epoch, and does nothing more."""
    check = RunTrainer._check_nan

    def end(self: Any, loss: Any) -> None:
        check(self, loss)
        if len(self.history) == epoch:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(RunTrainer, "_check_nan", end)
        with pytest.raises(Killed):
            cli.main(arguments)
