"""The interactions of a dataset, all in the order of its files, with the line of each."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from recbole_mm.base.errors import InputError
from recbole_mm.data.atomic import MISSING, head_of, interaction_files, is_parquet, parse_header, read_rows
from recbole_mm.data.exact_times import beyond_floats, whole_numbers
from recbole_mm.data.parquet import parquet_columns
from recbole_mm.data.parquet_frame import read_parquet_frame


@dataclass(frozen=True, slots=True)
class Interactions:
    """The interactions of a dataset in the order of its files.

    Attributes
    ----------
    files : sequence of Path
        They have the same header.
    header : str
        Its line; of Parquet, the names and types of the columns.
    file, line : int array (n,)
        The place of the file, and the number of the line, or of the row of Parquet, there, from 1.
    users, items : int array (n,)
        Places in `user_ids` and `item_ids`.
    times : float or int array (n,) or None
        As exact as in the files; None where the files have none.
    user_ids, item_ids : list of str
        External ids.
    """

    files: Sequence[Path]
    header: str
    file: np.ndarray
    line: np.ndarray
    users: np.ndarray
    items: np.ndarray
    times: np.ndarray | None
    user_ids: list[str]
    item_ids: list[str]


def read_interactions(config: Any) -> Interactions:
    """Read the interactions that a configuration names, all parts of a split together.

    Raises
    ------
    InputError
        Files with different columns; `recbole_mm.configuration.request.configure` has refused every other mistake.
    """
    files = interaction_files(config)
    header = ""
    codes: tuple[dict[str, int], dict[str, int]] = {}, {}  # of users and items
    columns: list[tuple[np.ndarray, ...]] = []  # file, line, user, item, time
    for number, path in enumerate(files):
        own, *read = (_of_parquet if is_parquet(path) else _of_text)(path, config, codes)
        header = header or own
        if own != header:
            raise InputError(f"{head_of(path)}: the header differs from that of {files[0]}: give them the same columns")
        columns.append((np.full(len(read[0]), number, dtype=np.int8), *read))
    file, line, users, items, times = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    known = _exact(times, files, config) if len(times) else None
    return Interactions(files, header, file, line, users, items, known, *map(list, codes))


def _of_text(path: Path, config: Any, codes: Sequence[dict[str, int]]) -> tuple[Any, ...]:
    """Return the header of a file, and of each row the line, the place of user and item, and the time, if any."""
    separator, encoding = config["field_separator"], config["encoding"] or "utf-8"
    fields = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"], config["TIME_FIELD"]
    rows = read_rows(path, separator, encoding)
    _, head = next(rows)
    names = list(parse_header(head)[0])
    places = [names.index(field) for field in fields if field in names]
    lines, users, items, times = array("q"), array("q"), array("q"), array("d")
    for line, cells in tqdm(rows, desc=f"reading {path.name}", unit=" rows", dynamic_ncols=True):
        user, item, *time = (cells[place] for place in places)
        lines.append(line)
        users.append(codes[0].setdefault(user, len(codes[0])))
        items.append(codes[1].setdefault(item, len(codes[1])))
        times.extend(_number(path, line, fields[2], text) for text in time)
    return separator.join(head), *map(np.array, (lines, users, items, times))


def _of_parquet(path: Path, config: Any, codes: Sequence[dict[str, int]]) -> tuple[Any, ...]:
    """Return the same of a Parquet file, whose rows count from 1."""
    fields = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"], config["TIME_FIELD"]
    frame = read_parquet_frame(path, config, fields)
    places = []
    for field, known in zip(fields, codes, strict=False):
        texts = frame[field].cat
        of_text = [known.setdefault(text, len(known)) for text in texts.categories]
        places.append(np.array(of_text, dtype=np.int64)[texts.codes])
    times = frame[fields[2]].to_numpy() if fields[2] in frame else np.empty(0)
    schema = " ".join(f"{column.name} {column.type}" for column in parquet_columns(path, config).values())
    return schema, np.arange(1, len(frame) + 1), *places, times


def _number(path: Path, line: int, field: str, text: str) -> float:
    """Return a time, NaN where it is missing."""
    try:
        return float("nan" if text in MISSING else text)
    except ValueError:
        raise InputError(f"{path}, line {line}: invalid number '{text}' in {field}: correct it") from None


def _exact(times: np.ndarray, files: Sequence[Path], config: Any) -> np.ndarray:
    """Return times (n,), read as floats, as integers where they are whole numbers that floats do not hold."""
    if not beyond_floats(times):
        return times
    whole = [whole_numbers(file, config, config["TIME_FIELD"]) for file in files]
    return times if any(one is None for one in whole) else np.concatenate([one for one in whole if one is not None])
