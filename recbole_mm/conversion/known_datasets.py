"""The datasets that the pack knows: what they are, where they come from, and whether a folder has their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recbole_mm.base.errors import InputError, near
from recbole_mm.conversion.folders import files_in
from recbole_mm.settings.names import properties_folder

_NEAREST = 3  # names that a message about an unknown dataset has
_SHOWN = 12  # digits of a checksum that is not the right one


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file of a dataset.

    Attributes
    ----------
    name : str
        Its name, or a pattern of names.
    size : int, optional
        In bytes; None where the published file was not measured.
    sha256 : str
        Empty where the published file was not measured.
    optional : bool
        The dataset can be made without it.
    """

    name: str
    size: int | None = None
    sha256: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """What is known of a dataset; None is what is not verified.

    Attributes
    ----------
    name : str
        Of the dataset.
    about : str
        What it is, in a line.
    users, items : int, optional
        How many.
    interactions : int or mapping, optional
        How many, or how many in each part of a split that comes with it.
    modalities : sequence of str, optional
        Their names.
    layout : str
        A kind of `recbole-mm convert`, `real_data` or `none`.
    source : sequence of str
        Where it comes from.
    paper, terms : str
        Who introduced it, and what its source says of its use.
    commands : sequence of str
        What makes a folder of it, or uses it where nothing is to be made.
    notes : sequence of str
        What else is to be known.
    files : sequence of KnownFile
        What is to be in the folder.
    """

    name: str
    about: str
    users: int | None
    items: int | None
    interactions: int | Mapping[str, int] | None
    modalities: Sequence[str] | None
    layout: str
    source: Sequence[str]
    paper: str
    terms: str
    commands: Sequence[str]
    notes: Sequence[str]
    files: Sequence[KnownFile]

    @property
    def all_interactions(self) -> int | None:
        """How many interactions there are in all parts."""
        if self.interactions is None or isinstance(self.interactions, int):
            return self.interactions
        return sum(self.interactions.values())


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of a folder, or one that it lacks.

    Attributes
    ----------
    name : str
        Of the file.
    state : str
        `right`, `unmeasured` (there, with nothing to compare it with), `missing`, `left out` (missing, and not
        needed), `differs` or `other` (not of the dataset).
    why : str
        In what it differs; else empty.
    """

    name: str
    state: str
    why: str = ""


def known_datasets() -> dict[str, KnownDataset]:
    """Return the datasets by name, in the order in which they are listed."""
    found: dict[str, Any] = yaml.safe_load((properties_folder() / "datasets.yaml").read_text(encoding="utf-8"))
    return {
        name: KnownDataset(name, **{**facts, "files": [KnownFile(**file) for file in facts["files"]]})
        for name, facts in found.items()
    }


def known_dataset(name: str) -> KnownDataset:
    """Return one dataset; an unknown name is an `InputError` with the nearest ones."""
    known = known_datasets()
    if name not in known:
        close = ", ".join(near(name, known, _NEAREST))
        raise InputError(f"unknown dataset '{name}'; the nearest are {close} (recbole-mm datasets lists all)")
    return known[name]


def check_folder(dataset: KnownDataset, folder: Path) -> list[FoundFile]:
    """Compare the files of a folder with what is known of a dataset's, first those of the dataset, then the others.

    Raises
    ------
    InputError
        There is no such folder.
    """
    found: list[FoundFile] = []
    for known in dataset.files:
        there = files_in(folder, known.name)
        found += [_compared(known, path) for path in there]
        if not there:
            found.append(FoundFile(known.name, "left out" if known.optional else "missing"))
    seen = {one.name for one in found}
    return found + [FoundFile(path.name, "other") for path in files_in(folder, "*") if path.name not in seen]


def _compared(known: KnownFile, path: Path) -> FoundFile:
    size = path.stat().st_size
    if known.size is not None and size != known.size:
        return FoundFile(path.name, "differs", f"{size:,} bytes, not {known.size:,}")
    if not known.sha256:
        return FoundFile(path.name, "unmeasured", f"{size:,} bytes")
    from recbole_mm.data.cache import Digests  # noqa: PLC0415 (numpy, which the rest does without)

    digest = Digests().of(path).hex()
    if digest != known.sha256:
        return FoundFile(path.name, "differs", f"sha256 {digest[:_SHOWN]}..., not {known.sha256[:_SHOWN]}...")
    return FoundFile(path.name, "right")
