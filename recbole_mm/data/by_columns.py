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

from recbole_mm.base.memory import give_back
from recbole_mm.data.atomic import MISSING
from recbole_mm.data.ids import RESERVED

BLOCK_BYTES = 1 << 22  # bytes; a longer line is left to the other way
KNOWN_ROWS = 1 << 20  # whose ids are kept
UTF_8 = ("utf-8", "utf8")
UNLIKE = (b'"', b"\r", b"\x1c", b"\x1d", b"\x1e", b"\x1f")  # what pandas, Python and pyarrow read each in its own way


class PlainFile:
    """A file that is hashed, where that is asked for, while it is read.

    Attributes
    ----------
    plain : bool
        Whether none of `UNLIKE` has been read so far.
    """

    closed = False

    def __init__(self, stream: IO[bytes], hashed: bool) -> None:
        self.stream, self.hashed, self.sha, self.plain = stream, hashed, hashlib.sha256(), True

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
        if self.hashed:
            self.sha.update(data)
        self.plain = self.plain and not any(mark in data for mark in UNLIKE)
        return data


@contextmanager
def plain_file(path: Path, hashed: bool = True) -> Iterator[PlainFile]:
    with path.open("rb") as stream:
        yield PlainFile(stream, hashed)


def check_columns(
    file: PlainFile,
    columns: Collection[str],
    separator: str,
    *,
    ids: Collection[str],
    numbers: Mapping[str, str | None],
    time: str,
    times: set[float],
    unique: str = "",
) -> tuple[int, dict[str, Any]] | None:
    """Read the rows of a file behind its header; return their number and ids, None where there may be a mistake.

    Parameters
    ----------
    file : PlainFile
        Its header is read.
    columns : collection of str
        All fields.
    separator : str
        Of fields.
    ids : collection of str
        The fields of ids. Of each, those of the first `KNOWN_ROWS` rows are an arrow array.
    numbers : mapping
        The fields of numbers -> what is between those of a list, None for a single number.
    time : str
        The field of times, empty where it is not loaded.
    times : set
        Two of them are added, one where all are the same.
    unique : str
        The field of ids that may stand there only once, empty where there is none. All of its ids are kept.
    """
    known: dict[str, list[Any]] = {field: [] for field in ids}
    n_rows = 0
    try:
        for batch in batches_of(file, columns, separator, dict.fromkeys(columns, pa.string())):
            if not (
                file.plain
                and not any(pc.any(may_be_mistaken(batch.column(field)), min_count=0).as_py() for field in ids)
                and all(_are_numbers(batch.column(field), between) for field, between in numbers.items())
                and (not time or _add_times(batch.column(time), times))
            ):
                return None
            for field, found in known.items():
                if n_rows < KNOWN_ROWS or field == unique:
                    found.append(batch.column(field))
            n_rows += batch.num_rows
    except pa.ArrowException:
        return None
    finally:
        give_back()
    if not n_rows or not file.plain:
        return None  # the end of the file may be read after its last rows
    distinct = {field: pc.unique(pa.chunked_array(found, type=pa.string())) for field, found in known.items()}
    if unique and len(distinct[unique]) < n_rows:
        return None
    return n_rows, distinct


def batches_of(
    file: PlainFile,
    columns: Collection[str],
    separator: str,
    kinds: Mapping[str, Any],
    missing: Collection[str] = (),
) -> Iterator[Any]:
    """Yield the rows of a file behind its header, as arrow's batches of the columns that have a kind.

    Parameters
    ----------
    columns : collection of str
        All of the file.
    separator : str
        Of them.
    kinds : mapping
        Columns that are read -> arrow's type.
    missing : collection of str
        What becomes null.
    """
    with csv.open_csv(
        pa.PythonFile(file, mode="r"),
        read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=list(columns)),
        parse_options=csv.ParseOptions(delimiter=separator, quote_char=False),
        convert_options=csv.ConvertOptions(
            column_types=dict(kinds),
            include_columns=list(kinds),
            null_values=sorted(missing),
            strings_can_be_null=bool(missing),
        ),
        memory_pool=pa.system_memory_pool(),  # which gives memory back
    ) as batches:
        yield from batches


def may_be_mistaken(ids: Any) -> Any:
    """Return which of the ids (n,), an Arrow array, may be such as `mistake_in_id` refuses."""
    blank = pc.not_equal(ids, pc.utf8_trim_whitespace(ids))
    return pc.or_(pc.is_in(ids, pa.array(sorted(RESERVED))), blank)


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
