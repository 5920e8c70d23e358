"""Items that a split leaves out: they stand only in files of interactions that are not loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from recbole_mm.base.errors import InputError
from recbole_mm.data.atomic import atomic_suffix, interaction_files, is_parquet
from recbole_mm.data.encoded import read_encoded
from recbole_mm.data.folder import folder_of, place_of
from recbole_mm.data.parquet_checks import all_ids_in_parquet


def items_left_out(config: Any, items: Collection[str]) -> set[str]:
    """Return those of some items that are in other files of interactions of the dataset, where the data come split.

    Files are read until all items are found. One that cannot be read is passed over: it is not loaded either.
    """
    wanted, found = set(items), set[str]()
    for path in _other_files(config) if wanted and config["benchmark_filename"] is not None else ():
        with suppress(InputError, OSError):
            found.update(wanted.intersection(_items_in(path, config)))
        if found == wanted:
            break
    return found


def _other_files(config: Any) -> list[Path]:
    """Return the files of interactions that are not loaded, the one that is not split first."""
    folder, name, loaded = Path(config["data_path"]), config["dataset"], interaction_files(config)
    files = [path for path in folder.glob("*.inter*") if path.name.startswith(f"{name}.") and path not in loaded]
    return sorted((path for path in files if atomic_suffix(path) == "inter"), key=lambda path: len(path.name))


def _items_in(path: Path, config: Any) -> Iterator[str]:
    folder, field = folder_of(config), config["ITEM_ID_FIELD"]
    if is_parquet(path):
        yield from all_ids_in_parquet(path, config, field).to_pylist()
        return
    frame = read_encoded(path, {f"{field}:token": False}, folder.field_separator, folder.encoding)
    if frame is not None:
        yield from frame.iloc[:, 0].cat.categories
        return
    columns, rows = folder.read(path)
    place = place_of(path, columns, field)
    yield from (cells[place] for _, cells in rows if place < len(cells))
