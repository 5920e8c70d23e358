"""MicroLens' own layout: pairs, titles and features, whose items count from 1."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa

from recbole_mm.base.errors import InputError
from recbole_mm.conversion.feature_files import look_all
from recbole_mm.conversion.folders import files_in, only_file
from recbole_mm.conversion.record_batches import Field, checked_batches, column_names, find_column
from recbole_mm.conversion.source import Source
from recbole_mm.conversion.values import Times, ids


def read(folder: Path) -> Source:
    """Describe a folder of MicroLens'; an `InputError` says what it lacks."""
    file = only_file(folder, "*pairs*.csv")
    names = column_names(file)
    fields: dict[str, Field] = {
        "user_id": (find_column(file, names, ("user", "userID"), ""), ids),
        "item_id": (find_column(file, names, ("item", "itemID", "video", "videoID"), ""), ids),
        "timestamp": (find_column(file, names, ("timestamp", "time"), ""), Times()),
    }
    prefix = file.stem[: file.stem.lower().index("pairs")]
    titles = _titles(only_file(folder, "*title*.csv")) if files_in(folder, "*title*.csv") else {}
    features = look_all(files_in(folder, "*.npy"), prefix)
    interactions = (("", batch) for batch in checked_batches(file, fields))
    return Source(file, list(fields), interactions, False, features, titles, numbered_from=(0, 1))


def _titles(file: Path) -> dict[str, str]:
    """Return the cleaned title of each item."""
    names = column_names(file)
    item = names.index(find_column(file, names, ("item", "itemID", "video", "videoID"), ""))
    title = names.index(find_column(file, names, ("title",), ""))
    found: dict[str, str] = {}
    lines: list[int] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            rows = filter(None, reader)
            next(rows)
            for cells in rows:
                lines.append(reader.line_num)
                _check_row(f"{file}, line {reader.line_num}", cells, names, found, item)
                found[cells[item]] = _cleaned(cells[title])
    except csv.Error as error:
        raise InputError(f"{file}, line {reader.line_num}: {error}: correct its quotes") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not valid UTF-8 ({error.reason}): convert it, e.g. with iconv -t UTF-8") from error
    ids(pa.array(list(found), pa.string()), names[item], lambda row: f"{file}, line {lines[row]}")
    return found


def _check_row(where: str, cells: list[str], names: list[str], found: dict[str, str], item: int) -> None:
    if len(cells) != len(names):
        advice = 'put a title with commas in quotes (")'
        raise InputError(f"{where}: {len(cells)} fields, but the header has {len(names)}: {advice}")
    if cells[item] in found:
        raise InputError(f"{where}: item '{cells[item]}' has a title already: keep one")


def _cleaned(title: str) -> str:
    """Return a title without what ends a cell or a line, or opens a quote, in RecBole's reader."""
    printable = "".join(letter if letter.isprintable() else " " for letter in title.replace('"', "'"))
    return " ".join(printable.split())
