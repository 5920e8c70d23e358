"""The two states of a training that are kept: the best one, and the last one, from which it goes on."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from time import perf_counter

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import replaced
from recbole_mm.configuration.resuming import LAST
from recbole_mm.training.run_files import RunFiles

# Of the time of a training, keeping its last state takes at most one part in so many: in memory, and on disk.
MEMORY_SHARE, DISK_SHARE = 50, 20


class StateKeeper:
    """Keeps the best state of a training in its file, and the last one in memory and, from time to time, in a file.

    The file of the best state is also that of the last one as long as every epoch is the best: a state is written only
    once it is later than all files.

    Parameters
    ----------
    files : RunFiles
        Of the run.
    best : Path
        The file of the best state so far, which need not be there yet.
    every : float
        Seconds between two writes of the last state; 0: after every epoch.
    written_epoch : int
        The last epoch of which a file has the state; -1: none.
    """

    def __init__(self, files: RunFiles, best: Path, every: float, written_epoch: int = -1) -> None:
        self.files, self.best_file, self.every = files, best, every
        self.last_file = best.with_suffix(LAST)
        self.written_epoch = written_epoch
        self._newest: tuple[int, BytesIO] | None = None  # later than all files
        self._unsaved: tuple[int, BytesIO] | None = None  # the best state, which no folder took
        self._taken = self._written = perf_counter()  # not the time of day, which may be set back
        self._taking = self._writing = 0.0

    def keep_best(self, file: Path, epoch: int, state: BytesIO) -> Path:
        """Write the best state so far to its file, and return where it is; where no folder takes it, it is kept."""
        self.best_file, self._unsaved = file, (epoch, state)
        self._write_best()
        return self.best_file

    def _write_best(self) -> None:
        if self._unsaved is None:
            return
        epoch, state = self._unsaved
        file = self.files.write(self.best_file.name, lambda path: _put(path, state))
        if file is not None:
            self.best_file, self._unsaved = file, None
            self._on_disk(epoch)

    def keep_last(self, epoch: int, save: Callable[[BytesIO], object]) -> None:
        """Keep the state after an epoch, unless another was kept so shortly before that it would slow the training.

        Parameters
        ----------
        epoch : int
            The last one that is part of the state.
        save : callable
            Writes the state.
        """
        self._write_best()
        now = perf_counter()
        if epoch <= self.written_epoch or (self.every and now - self._taken < MEMORY_SHARE * self._taking):
            return
        state = BytesIO()
        save(state)
        self._newest, self._taken = (epoch, state), perf_counter()
        self._taking = self._taken - now
        pause = max(self.every, DISK_SHARE * self._writing) if self.every else 0.0
        if now - self._written >= pause:
            self.write_last()

    def write_last(self) -> None:
        """Write the last state to its file, where it is later than all files, and the best one where it is not yet."""
        self._write_best()
        if self._newest is None:
            return
        (epoch, state), start = self._newest, perf_counter()
        file = self.files.write(self.last_file.name, lambda path: _put(path, state))
        if file is not None:
            self.last_file = file
            self._on_disk(epoch)
            self._writing = self._written - start

    def _on_disk(self, epoch: int) -> None:
        self.written_epoch, self._written = max(self.written_epoch, epoch), perf_counter()
        if self._newest is not None and self._newest[0] <= epoch:
            self._newest = None

    def resumable(self) -> Path | None:
        """Return the file that `--resume` takes to go on from the last state that was written; None without any."""
        return next((file for file in (self.best_file, self.last_file) if file.is_file()), None)

    def last_good(self) -> Path | None:
        """Return the file to go on from after a training that diverged; None without any.

        That is the best state: the last one is on the way to where it broke, and is forgotten. Where nothing was
        validated yet there is only the last one.
        """
        if self.best_file.is_file():
            self.forget_last()
        else:
            self.write_last()
        return self.resumable()

    def forget_last(self) -> None:
        """Drop the last state, in memory and in its file."""
        self._newest = None
        self.files.remove(self.last_file.name)

    def check_best(self) -> None:
        """Write the best state, where that could not be done before.

        Raises
        ------
        InputError
            It still cannot.
        """
        self._write_best()
        if self._unsaved is not None:
            file = self.resumable()
            again = "train again" if file is None else f"go on from an earlier state with --resume={file}"
            raise InputError(f"{self.files.failed}: the best state is lost; free space, or set TMPDIR, and {again}")


def _put(path: Path, state: BytesIO) -> None:
    with replaced(path) as partial:
        partial.write_bytes(state.getbuffer())
