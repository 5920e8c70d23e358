"""What every encoder is: it reads one source of an item, and makes vectors of some that were read."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recbole_mm.base.errors import InputError
from recbole_mm.data.cache import Digests, hash_files


class Unreadable(Exception):
    """A source that cannot be encoded: the item has no row, and the report says why."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """How an encoder makes vectors, for the card.

    Attributes
    ----------
    encoder : str
        As the command names it.
    weights : str
        File or folder of the weights; empty where there are none.
    weights_sha256 : str
        Of their content.
    preprocessing : str
        What happens to a source before the encoder sees it.
    libraries : sequence of str
        Whose versions the vectors depend on.
    """

    encoder: str
    preprocessing: str
    weights: str = ""
    weights_sha256: str = ""
    libraries: Sequence[str] = field(default=())


def optional(module: str, install: str) -> Any:
    """Import a library that not everybody needs.

    Raises
    ------
    InputError
        It is not installed, or does not fit the other libraries that are.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # libraries that do not fit each other fail in many ways
        if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
            raise InputError(f"{module} is not installed, and the encoder needs it: {install}") from error
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{module} cannot be imported ({reason}): install versions that fit each other") from error


class Encoder(ABC):
    """Vectors of the sources of items.

    Attributes
    ----------
    endings : tuple of str
        Of the files it reads; empty for texts.
    """

    endings: tuple[str, ...] = ()

    @property
    @abstractmethod
    def provenance(self) -> Provenance:
        """Return how the vectors are made."""

    def fit(self, sources: Mapping[str, Any]) -> dict[str, str]:
        """Learn what depends on all sources, by item id; return those that cannot be encoded, each with the reason."""
        return {}

    @abstractmethod
    def read(self, source: Any) -> Any:
        """Read one source: a text, or a file.

        Raises
        ------
        Unreadable
            It cannot be encoded.
        """

    @abstractmethod
    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        """Return a row of float32 for each source that was read, (len(batch), dim)."""


def content_hash(path: Path, digests: Digests) -> str:
    """Return the sha256 (hex) of a file, or one over the names and contents of all files of a folder."""
    if not path.is_dir():
        return digests.of(path).hex()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return hash_files(files, "\n".join(file.relative_to(path).as_posix() for file in files), digests)
