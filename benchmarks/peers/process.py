"""The driver's end of a process that answers every line on its standard input with a line of json."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LK_NUM_THREADS", "LK_NUM_BACKEND_THREADS")
OLD_KERNELS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # for old builds of OpenBLAS; they slow today's
NO_COMPILER = {"LK_TORCH_COMPILE": "0"}  # LensKit compiles its models by default; that took longer here in every epoch


class Side:
    """A process of another environment.

    Parameters
    ----------
    name : str
        How messages call it.
    command : sequence of str
        What is run.
    environment : mapping, optional
        Its environment variables; by default those of this process.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.process = subprocess.Popen(  # noqa: S603 - our own file
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, command: str, what: str) -> dict[str, Any]:
        """Return the answer to a command; `what` is asked for, for a message."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the process has no pipes")
        with suppress(BrokenPipeError):  # where it has ended there is no answer
            self.process.stdin.write(f"{command}\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended before {what}; its own message is above")
        found: dict[str, Any] = json.loads(answer)
        return found

    def __enter__(self) -> Side:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()  # at the end of its input a side ends
        if kind is not None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def environment(threads: int, path: Path) -> dict[str, str]:
    """Return the variables of a process that takes so many threads and finds our own scripts in `path`."""
    own = {name: value for name, value in os.environ.items() if name not in OLD_KERNELS}
    return own | dict.fromkeys(THREADS, str(threads)) | {"PYTHONPATH": str(path)} | NO_COMPILER
