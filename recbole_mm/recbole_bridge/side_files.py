"""RecBole's log and its events for Tensorboard: a run does without where ./log or ./log_tensorboard takes none."""

from __future__ import annotations

import contextlib
import functools
import logging
from typing import Any

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


class NoEvents:
    """Stands in for Tensorboard's writer, and writes nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: None


def events_where_possible(get_tensorboard: Any) -> Any:
    """Wrap `get_tensorboard`: a folder that cannot be made leaves the events out, with a warning."""

    @functools.wraps(get_tensorboard)
    def wrapped(logger: Any) -> Any:
        try:
            return get_tensorboard(logger)
        except OSError as error:
            logging.getLogger().warning(
                f"log_tensorboard cannot be written ({error.strerror}): events for Tensorboard are left out"
            )
            return NoEvents()

    return wrapped
