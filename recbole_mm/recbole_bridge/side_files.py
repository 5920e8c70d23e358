"""RecBole's log and its events for TensorBoard: where they go, and a run without them where no file can be written."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from recbole_mm.recbole_bridge.applying import Overlay


def log_where_possible(module: Any) -> None:
    """Let `init_logger` go on without a file, with a warning, as where `log` is a file or cannot be written."""
    ensure = module.ensure_dir

    @functools.wraps(ensure)
    def ensure_dir(path: str) -> None:
        with contextlib.suppress(OSError):  # opening the log says why
            ensure(path)

    def open_log(path: str) -> logging.Handler:
        try:
            return logging.FileHandler(path)
        except OSError as error:
            logging.getLogger().warning(f"{path} cannot be written ({error.strerror}): RecBole's log is left out")
            return logging.NullHandler()

    module.ensure_dir = ensure_dir
    module.logging = Overlay(logging, FileHandler=open_log)


_events: ContextVar[Path | None] = ContextVar("events")  # the folder for them, None for no events


@contextlib.contextmanager
def events_in(folder: Path | None) -> Iterator[None]:
    """Let a trainer that is made within the block write its events into a folder, or none at all.

    RecBole makes a folder in `log_tensorboard`, in the working folder.
    """
    before = _events.set(folder)
    try:
        yield
    finally:
        _events.reset(before)


class NoEvents:
    """Stands in for TensorBoard's writer, and writes nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: None


def events_where_possible(get_tensorboard: Any) -> Any:
    """Wrap `get_tensorboard`: events go where `events_in` says; where they cannot, they are left out with a warning."""

    @functools.wraps(get_tensorboard)
    def wrapped(logger: Any) -> Any:
        folder = _events.get(Path("log_tensorboard"))
        if folder is None:
            return NoEvents()
        try:
            return SummaryWriter(str(folder)) if _events.get(None) else get_tensorboard(logger)
        except OSError as error:
            logging.getLogger().warning(
                f"{folder} cannot be written ({error.strerror}): events for TensorBoard are left out"
            )
            return NoEvents()

    return wrapped
