"""What every kind of source is read into, and the writer writes: one description of a data set."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

FIELDS = {"user_id": "token", "item_id": "token", "rating": "float", "timestamp": "float"}
PARTS = ("train", "valid", "test")


Interactions = Generator[tuple[str, pa.RecordBatch], None, None]  # part, and checked texts


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """A checked feature file of one modality.

    Attributes
    ----------
    modality : str
        A Python identifier.
    file : Path
        A `.npy`, `.npz`, `.safetensors` or `.parquet` file.
    shape : (int, int)
        Rows and width of the matrix.
    dtype : str
        Type of its numbers, for the summary.
    ids : sequence of str, optional
        External item ids, one a row; None if row i belongs to the item with number i.
    """

    modality: str
    file: Path
    shape: tuple[int, int]
    dtype: str
    ids: Sequence[str] | None = None

    @property
    def carries_ids(self) -> bool:
        return self.file.suffix.lower() == ".parquet"


@dataclass(frozen=True, slots=True)
class Source:
    """A data set about to be written.

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
    interactions: Interactions
    split: bool
    features: Sequence[FeatureFile]
    titles: Mapping[str, str] = field(default_factory=dict)
    numbered_from: tuple[int, ...] = (0,)
    assumed: Sequence[str] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        return PARTS if self.split else ("",)
