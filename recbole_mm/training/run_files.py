"""Where the files of a run go: its folder, and another one for what that folder does not take."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from logging import getLogger
from pathlib import Path

Put = Callable[[Path], object]


class RunFiles:
    """The folder of a run; a file that it does not take, as on a full disk, goes to a new folder for temporary files.

    Attributes
    ----------
    folder : Path
        Of the run.
    spare : Path or None
        The other one, once it was needed.
    failed : str
        Why the last file could not be written anywhere; empty where it could.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.failed = folder, ""
        self.spare: Path | None = None
        self._told: set[tuple[str, Path | None]] = set()

    def write(self, name: str, put: Put) -> Path | None:
        """Write a file into the first folder that takes it, with a warning where that is not the run's.

        Parameters
        ----------
        name : str
            Of the file.
        put : callable
            Writes to the path that it is given, all or nothing (see `recbole_mm.base.files.replaced`).

        Returns
        -------
        Path or None
            Where it is; None where no folder took it.
        """
        try:
            put(self.folder / name)
        except OSError as error:
            return self._elsewhere(name, put, error)
        if self.spare is not None:
            (self.spare / name).unlink(missing_ok=True)  # older than this one
        self.failed = ""
        return self.folder / name

    def remove(self, name: str) -> None:
        """Delete a file wherever it is; in a folder that has become read-only it stays."""
        for folder in (self.folder, self.spare):
            if folder is not None:
                with suppress(OSError):
                    (folder / name).unlink(missing_ok=True)

    def _elsewhere(self, name: str, put: Put, why: OSError) -> Path | None:
        told = f"{self.folder / name} cannot be written ({_reason(why)})"
        try:
            if self.spare is None:
                self.spare = Path(tempfile.mkdtemp(prefix=f"{self.folder.name}-"))
            put(self.spare / name)
        except OSError as error:
            there = self.spare or tempfile.gettempdir()
            self.failed = f"{told}, nor in {there} ({_reason(error)})"
            self._warn(name, None, f"{self.failed}: it is kept in memory, and tried again after the next epoch")
            return None
        self.failed = ""
        self._warn(name, self.spare, f"{told}: it is in {self.spare}")
        return self.spare / name

    def _warn(self, name: str, place: Path | None, line: str) -> None:
        """Warn once a file and place, and not after every epoch."""
        if (name, place) not in self._told:
            self._told.add((name, place))
            getLogger().warning(line)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
