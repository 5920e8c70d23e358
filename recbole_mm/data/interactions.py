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
from recbole_mm.data.atomic import MISSING, interaction_files, parse_header, read_rows
from recbole_mm.data.exact_times import beyond_floats, whole_numbers


@dataclass(frozen=True, slots=True)
class Interactions:
    """The interactions of a dataset in the order of its files.

    Attributes
    ----------
    files : sequence of Path
        They have the same header.
    header : str
        Its line.
    file, line : int array (n,)
        The place of the file, and the number of the line there, from 1.
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
        Files with different headers; `recbole_mm.configuration.request.configure` has refused every other mistake.
    """
    files = interaction_files(config)
    separator, encoding = config["field_separator"], config["encoding"] or "utf-8"
    fields = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"], config["TIME_FIELD"]
    header: list[str] = []
    user_codes: dict[str, int] = {}
    item_codes: dict[str, int] = {}
    columns = array("b"), array("q"), array("q"), array("q"), array("d")  # file, line, user, item, time
    for number, path in enumerate(files):
        rows = read_rows(path, separator, encoding)
        _, head = next(rows)
        header = header or head
        if head != header:
            raise InputError(f"{path}, line 1: the header differs from that of {files[0]}: give them the same columns")
        names = list(parse_header(head)[0])
        places = [names.index(field) for field in fields if field in names]
        for line, cells in tqdm(rows, desc=f"reading {path.name}", unit=" rows", dynamic_ncols=True):
            user, item, *time = (cells[place] for place in places)
            columns[0].append(number)
            columns[1].append(line)
            columns[2].append(user_codes.setdefault(user, len(user_codes)))
            columns[3].append(item_codes.setdefault(item, len(item_codes)))
            columns[4].extend(_number(path, line, fields[2], text) for text in time)
    file, line_numbers, users, items, times = map(np.array, columns)
    known = _exact(times, files, config) if len(times) else None
    ids = list(user_codes), list(item_codes)
    return Interactions(files, separator.join(header), file, line_numbers, users, items, known, *ids)


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
    column, separator, encoding = f"{config['TIME_FIELD']}:float", config["field_separator"], config["encoding"]
    whole = [whole_numbers(file, column, separator, encoding) for file in files]
    return times if any(one is None for one in whole) else np.concatenate([one for one in whole if one is not None])
