"""Tables of what items have, a row an item: .tsv, .csv, or a JSON object a line; each may be packed with gzip."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from recbole_mm.base.errors import InputError, nearest

TABLE_FORMS = (".tsv", ".csv", ".jsonl", ".json")
_NAMED = re.compile(rf"(.+(?:{'|'.join(map(re.escape, TABLE_FORMS))})(?:\.gz)?):(.+)")

Cells = dict[str, str]  # column -> text


def named_table(source: str) -> tuple[Path, list[str]] | None:
    """Return the file and the columns of ``FILE:COLUMN[,COLUMN]``; None where the text is anything else."""
    match = _NAMED.fullmatch(source)
    return None if match is None else (Path(match[1]), [column.strip() for column in match[2].split(",")])


def read_columns(
    file: Path, columns: Sequence[str], item_field: str, wanted: Collection[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the cells of some columns by item id, without the blanks around them, and the ids that are not wanted.

    Parameters
    ----------
    file : Path
        In UTF-8. Quotes in a ``.tsv`` are text; in a ``.csv`` they are around cells.
    columns : sequence of str
        Names of the header, or keys of the objects. A key that an object lacks is an empty cell.
    item_field : str
        The column of the ids; where there is none, the first column.
    wanted : collection of str
        Ids of the items whose cells are returned.

    Raises
    ------
    InputError
        A file that cannot be read, an unknown column, a row of another length, or a duplicate or empty id.
    """
    found, lines, names = dict[str, list[str]](), dict[str, int](), dict[str, None]()
    field = ""
    for line, cells in read_cells(file):
        names |= dict.fromkeys(cells)
        field = field or (item_field if item_field in cells else next(iter(cells), ""))
        item = cells.get(field, "").strip()
        if not line:
            continue
        if not item:
            raise InputError(f"{file}, line {line}: {field or item_field} is empty; it is the id of the item")
        if item in lines:
            raise InputError(f"{file}, lines {lines[item]} and {line}: duplicate item '{item}'; keep one of them")
        lines[item] = line
        if item in wanted:
            found[item] = [cells.get(column, "").strip() for column in columns]
    for column in columns:
        if column not in names:
            raise InputError(f"{file}: no column {column} but {', '.join(names)}.{nearest(column, names)}")
    return found, [item for item in lines if item not in found]


def read_cells(file: Path) -> Iterator[tuple[int, Cells]]:
    """Yield the line (from 1) and the cells of each row; before them, where there is a header, it as line 0."""
    unpack: Any = gzip.open if file.suffix == ".gz" else open
    form = file.with_suffix("").suffix if file.suffix == ".gz" else file.suffix
    rows = {".tsv": _plain, ".csv": _quoted}.get(form, _objects)
    try:
        with unpack(file, "rt", encoding="utf-8-sig", newline="\n" if form == ".tsv" else "") as stream:
            yield from rows(file, stream)
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not valid UTF-8 ({error.reason}): save it as utf-8") from error
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file}: cannot be read ({reason}); check the path") from error


def _plain(file: Path, stream: IO[str]) -> Iterator[tuple[int, Cells]]:
    rows = ((number, line.rstrip("\r\n")) for number, line in enumerate(stream, start=1))
    yield from _with_header(file, ((number, line.split("\t")) for number, line in rows if number == 1 or line.strip()))


def _quoted(file: Path, stream: IO[str]) -> Iterator[tuple[int, Cells]]:
    reader = csv.reader(stream, strict=True)

    def rows() -> Iterator[tuple[int, list[str]]]:
        start = 1
        for cells in reader:
            if start == 1 or cells:
                yield start, cells
            start = reader.line_num + 1  # a cell may have many lines

    try:
        yield from _with_header(file, rows())
    except csv.Error as error:
        raise InputError(f"{file}, line {reader.line_num}: {error}; check the quotes") from error


def _with_header(file: Path, rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, Cells]]:
    _, names = next(rows, (1, []))
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{file}, line 1: duplicate column '{twice[0]}'; rename one of them")
    yield 0, dict.fromkeys(names, "")
    for number, cells in rows:
        if len(cells) != len(names):
            raise InputError(f"{file}, line {number}: {len(cells)} fields, but the header has {len(names)}")
        yield number, dict(zip(names, cells, strict=True))


def _objects(file: Path, stream: IO[str]) -> Iterator[tuple[int, Cells]]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            try:
                found = json.loads(line)
                yield number, {name: _text(value) for name, value in found.items()}
            except (ValueError, AttributeError, TypeError) as error:
                raise InputError(
                    f"{file}, line {number}: no JSON object of texts, numbers and lists of them; write one a line"
                ) from error


def _text(value: Any) -> str:
    """Return a value of a JSON object as text: null is empty, a list is joined by blanks."""
    if isinstance(value, list):
        return " ".join(filter(None, map(_text, value)))
    if isinstance(value, dict):
        raise TypeError("an object within an object")
    return "" if value is None else str(value)
