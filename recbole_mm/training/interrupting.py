"""Training that is ended from outside: by Ctrl-C, or by SIGTERM, as batch systems and containers send it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recbole_mm.base.errors import number_of


class Interrupted(Exception):
    """Training was ended from outside.

    Attributes
    ----------
    checkpoint : Path or None
        What `--resume` takes to go on; None where nothing is to go on from.
    exit_code : int
        Of a command that it ends: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, checkpoint: Path | None, epochs: int, cause: BaseException) -> None:
        super().__init__(f"interrupted after {number_of(epochs, 'epoch')}")
        self.checkpoint = checkpoint
        self.exit_code = 128 + (signal.SIGTERM if isinstance(cause, _Terminated) else signal.SIGINT)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which goes the way of Ctrl-C."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does.

    Whoever has a handler of their own keeps it. Outside the main thread Python handles no signals: there SIGTERM ends
    the process at once, as ever.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: Any) -> None:
    raise _Terminated
