"""The folder of a sweep: on this machine, on a shared file system, or at an address such as s3://bucket/sweeps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pyarrow import ArrowInvalid
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem, copy_files

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import replace_text


class Store:
    """The files of one sweep.

    Parameters
    ----------
    address : str
        Path or address of the folder; it need not exist.

    Attributes
    ----------
    address : str
        As Ray takes it: an absolute path, or what was given.
    fs : pyarrow.fs.FileSystem
    path : str
        Of the folder within `fs`.

    Raises
    ------
    InputError
        An address that pyarrow cannot read.
    """

    def __init__(self, address: str) -> None:
        if "://" not in address:
            self.address = self.path = str(Path(address).resolve())
            self.fs: FileSystem = LocalFileSystem()
            return
        self.address = address
        try:
            self.fs, self.path = FileSystem.from_uri(address)
        except (ArrowInvalid, OSError, NotImplementedError) as error:
            raise InputError(f"--storage: {address} cannot be used: {error}") from error

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def read(self, file: str) -> str | None:
        """Return the text of a file, None where there is none."""
        path = f"{self.path}/{file}"
        if self.fs.get_file_info(path).type is not FileType.File:
            return None
        with self.fs.open_input_stream(path) as stream:
            return bytes(stream.read()).decode("utf-8")

    def names(self) -> list[str]:
        """Return the names of what is in the folder."""
        return [found.base_name for found in self.fs.get_file_info(FileSelector(self.path, allow_not_found=True))]

    def write(self, file: str, text: str) -> None:
        """Write or replace a file; none is ever seen half written.

        Raises
        ------
        InputError
            It cannot be written.
        """
        try:
            if isinstance(self.fs, LocalFileSystem):
                replace_text(Path(self.path) / file, text)
                return
            with self.fs.open_output_stream(f"{self.path}/{file}") as stream:  # is there once it is closed
                stream.write(text.encode("utf-8"))
        except OSError as error:
            raise InputError(f"--storage: {file} cannot be written to {self.address}: {error}") from error

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """Give a folder on this machine for what is to be found in the folder `name` of the sweep afterwards."""
        if isinstance(self.fs, LocalFileSystem):
            yield Path(self.path) / name
            return
        with tempfile.TemporaryDirectory() as local:
            yield Path(local)
            copy_files(local, f"{self.path}/{name}", destination_filesystem=self.fs)


def around(address: str) -> str:
    """Return the path or address of the folder that holds this one."""
    if "://" not in address:
        return str(Path(address).parent)
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=parts.path.rpartition("/")[0]))


def within(storage: str, name: str) -> str:
    """Return the path or address of the folder `name` in a storage."""
    if "://" not in storage:
        return str(Path(storage) / name)
    parts = urlsplit(storage)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))
