"""What a user asks lists for: files of ids, and of histories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recbole_mm.base.errors import InputError
from recbole_mm.serving.scorer import RowsById
from recbole_mm.serving.user_items import UserItems


def read_ids(option: str, file: Path) -> list[str]:
    """Return the ids of a file, one a line, each once, in their order.

    Raises
    ------
    InputError
        The file cannot be read, or is empty.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in utf-8"
        raise InputError(f"{option}={file}: cannot be read ({reason}); give a file with an id a line") from error
    found = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not found:
        raise InputError(f"{option}={file}: no ids are in it; give an id a line")
    return found


def read_histories(file: Path, fields: tuple[str, str, str], items: RowsById) -> tuple[np.ndarray, UserItems, int]:
    """Return the users of a table of interactions, their histories, and how many interactions are with unknown items.

    The table is ``.csv``, ``.parquet``, or of columns between tabs, such as ``.inter``, with a column each for user and
    item, and for the time where the rows are not in its order.

    Parameters
    ----------
    fields : tuple of str
        The columns of the user, of the item and of the time.

    Raises
    ------
    InputError
        The table cannot be read, or lacks a column.
    """
    try:
        if file.suffix == ".parquet":
            table = pd.read_parquet(file)
        else:
            separator = "," if file.suffix == ".csv" else "\t"
            table = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False)
    except Exception as error:  # broken tables fail in many ways
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"--histories={file}: cannot be read as a table ({reason})") from error
    table.columns = [str(name).partition(":")[0] for name in table.columns]
    user_field, item_field, time_field = fields
    for name in (user_field, item_field):
        if name not in table:
            raise InputError(f"--histories={file}: no column {name} but {', '.join(map(str, table.columns))}")
    if time_field in table:
        times = pd.to_numeric(table[time_field], errors="coerce")
        if times.isna().any():
            row = int(np.flatnonzero(times.isna())[0])
            raise InputError(f"--histories={file}, row {row + 1}: {time_field} is no number")
        table = table.iloc[np.argsort(times.to_numpy(), kind="stable")]
    item = table[item_field].astype(str).map(items.of)
    known = item.notna().to_numpy()
    users, names = pd.factorize(table[user_field].astype(str))
    histories = UserItems.of(users[known], item[known].to_numpy().astype(np.int64), len(names))
    return np.asarray(names, dtype=str), histories, int((~known).sum())
