"""What every kind of source is read into, and the writer writes: one description of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from recbole_mm.data.feature_table import Blocks, FeatureTable
from recbole_mm.data.folder import SPLIT_NAMES

FIELDS = {"user_id": "token", "item_id": "token", "rating": "float", "timestamp": "float"}


Stream = Generator[tuple[str, pa.RecordBatch], None, None]  # part, and checked texts


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """A feature file of one modality.

    Attributes
    ----------
    modality : str
        A Python identifier.
    file : Path
        Of a form that `recbole_mm.data.features` reads.
    n_rows, dim : int
        Shape of its matrix.
    read : callable
        Gives the rows block by block, as in `FeatureTable`.
    own_ids : sequence of str, optional
        The ids of the rows that stand in the file itself.
    ids : sequence of str, optional
        External item ids, one a row; None if row i belongs to the item with number i.
    """

    modality: str
    file: Path
    n_rows: int
    dim: int
    read: Callable[[], Blocks]
    own_ids: Sequence[str] | None = None
    ids: Sequence[str] | None = None

    def check_numbers(self) -> None:
        """Read the rows of a file whose ids are known; an `InputError` names the item of one that is not finite."""
        for _ in FeatureTable(str(self.file), self.ids or (), self.dim, self.read).blocks():
            pass


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset about to be written.

    Attributes
    ----------
    place : Path
        What was read, for messages.
    fields : sequence of str
        Names out of `FIELDS`, `user_id` and `item_id` first.
    interactions : generator of (str, RecordBatch)
        The part, one of `PARTS`, and its next interactions: checked texts, a column each of `fields`. It is
        gone through once, and raises `InputError` at the first mistake.
    split : bool
        The parts are `PARTS`; else all interactions are of the part "".
    features : sequence of FeatureFile
        One each modality.
    titles : mapping
        Item id to cleaned title.
    numbered_from : tuple of int
        What number the item of a feature file's first row may have.
    assumed : sequence of str
        What the reader took for granted, for the summary.
    """

    place: Path
    fields: Sequence[str]
    interactions: Stream
    split: bool
    features: Sequence[FeatureFile]
    titles: Mapping[str, str] = field(default_factory=dict)
    numbered_from: tuple[int, ...] = (0,)
    assumed: Sequence[str] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        return SPLIT_NAMES if self.split else ("",)
