"""An atomic file checked column by column: many times as fast as line by line, where there is nothing to find.

What might be a mistake is only noticed here, never named: the file is then read line by line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from recbole_mm.data.atomic import MISSING
from recbole_mm.data.ids import mistake_in_id

BLOCK_BYTES = 1 << 22  # bytes; a longer line is left to the other way
UTF_8 = ("utf-8", "utf8")
UNLIKE = (b'"', b"\r")  # what pandas, Python and pyarrow read each in its own way


class PlainFile:
    """A file that is hashed while it is read.

    Attributes
    ----------
    plain : bool
        Whether none of `UNLIKE` has been read so far.
    """

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.sha, self.plain = stream, hashlib.sha256(), True

    def header(self, separator: str, encoding: str) -> list[str] | None:
        """Return the cells of the first line, None where the file is not one to be read by columns."""
        if encoding.lower() not in UTF_8 or len(separator) != 1:
            return None
        try:
            text = self._seen(self.stream.readline()).decode()
        except UnicodeDecodeError:
            return None
        return text.removesuffix("\n").split(separator) if self.plain else None

    def read(self, size: int = -1) -> bytes:
        return self._seen(self.stream.read(size))

    def _seen(self, data: bytes) -> bytes:
        self.sha.update(data)
        self.plain = self.plain and not any(mark in data for mark in UNLIKE)
        return data


@contextmanager
def plain_file(path: Path) -> Iterator[PlainFile]:
    with path.open("rb") as stream:
        yield PlainFile(stream)


def check_columns(
    file: PlainFile,
    columns: Collection[str],
    separator: str,
    *,
    ids: Mapping[str, set[str]],
    numbers: Mapping[str, str | None],
    time: str,
    times: set[float],
) -> int | None:
    """Read the rows of a file behind its header, and return how many there are; None where any may be a mistake.

    Parameters
    ----------
    file : PlainFile
        Its header is read.
    columns : collection of str
        All fields.
    separator : str
        Of fields.
    ids : mapping
        The fields of ids -> the ids, which are added.
    numbers : mapping
        The fields of numbers -> what is between those of a list, None for a single number.
    time : str
        The field of times, empty where it is not loaded.
    times : set
        Two of them are added, one where all are the same.
    """
    n_rows = 0
    try:
        for batch in _batches(file, columns, separator):
            n_rows += batch.num_rows
            if not (file.plain and all(_add_ids(batch.column(field), known) for field, known in ids.items())):
                return None
            if not all(_are_numbers(batch.column(field), between) for field, between in numbers.items()):
                return None
            if time and not _add_times(batch.column(time), times):
                return None
    except pa.ArrowException:
        return None
    return n_rows if n_rows and file.plain else None


def _batches(file: PlainFile, columns: Collection[str], separator: str) -> Any:
    return csv.open_csv(
        pa.PythonFile(file, mode="r"),
        read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=list(columns)),
        parse_options=csv.ParseOptions(delimiter=separator, quote_char=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
    )


def _add_ids(values: Any, known: set[str]) -> bool:
    new = set(pc.unique(values).to_pylist()) - known
    known |= new
    return not any(map(mistake_in_id, new))


def _are_numbers(values: Any, between: str | None) -> bool:
    """Tell whether all are finite numbers, or missing."""
    values = values.filter(pc.invert(pc.is_in(values, pa.array(sorted(MISSING)))))
    if between is not None:
        values = pc.split_pattern(values, between).flatten()
        values = values.filter(pc.not_equal(values, ""))
    return _all_finite(pc.cast(values, pa.float64()))


def _add_times(values: Any, times: set[float]) -> bool:
    found = pc.cast(values, pa.float64())
    if not _all_finite(found):
        return False
    if len(times) < 2:
        times.update(pc.unique(found).to_pylist()[: 2 - len(times)])
    return True


def _all_finite(values: Any) -> bool:
    return bool(pc.all(pc.is_finite(values), min_count=0).as_py())
