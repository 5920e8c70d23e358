"""Where in a csv a mistake is: only after one was found is the file gone through for its lines."""

from __future__ import annotations

import csv
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from recbole_mm.base.errors import InputError, first_line


def line_of(file: Path, separator: str, row: int) -> str:
    """Go through the file once more for the line of a row; blank lines and line breaks in quotes count."""
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        reader = csv.reader(lines, delimiter=separator)
        last, end = -1, 0  # row, and line it ends in; the header is row 0
        with suppress(csv.Error):
            for cells in reader:
                begin, end = end + 1, reader.line_num
                last += bool(cells)
                if last == row + 1:
                    return f"{file}, line {begin}"
    return f"{file}, row {row + 1}"


def explain(file: Path, separator: str, error: Exception) -> NoReturn:
    """Go through the file once more for the line that could not be read, and raise `InputError`."""
    with file.open("rb") as raw:
        for number, line in enumerate(raw, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as problem:
                advice = "convert the file, e.g. with iconv -t UTF-8"
                raise InputError(f"{file}, line {number}: not valid UTF-8 ({problem.reason}): {advice}") from error
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, delimiter=separator, strict=True)
        width, end = 0, 0
        try:
            for cells in reader:
                width = width or len(cells)
                if cells and len(cells) != width:
                    raise InputError(f"{file}, line {end + 1}: {len(cells)} fields, but the header has {width}")
                end = reader.line_num
        except csv.Error as problem:
            raise InputError(f"{file}, line {end + 1}: {problem}: correct its quotes") from error
    raise InputError(f"{file}: cannot be read ({first_line(error)})") from error
