"""What of each item is encoded: columns of the item file, or a file of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.data.folder import DatasetFolder

JOINT = ". "  # between the columns of a text


@dataclass(frozen=True, slots=True)
class Sources:
    """The items of a dataset, what of them is encoded, and why there is nothing of the others."""

    of: dict[str, str | Path]
    without: dict[str, str]
    foreign: int = 0  # files that belong to no item


def texts(folder: DatasetFolder, columns: Sequence[str]) -> Sources:
    """Return the texts of the items: columns of the item file, joined where there are several.

    Raises
    ------
    InputError
        No item file, or no such column.
    """
    file = folder.item_file
    if not file.is_file():
        raise InputError(
            f"{file} does not exist: texts are columns of it; add it, or give a folder of files as --source"
        )
    header, rows = folder.read(file)
    for column in columns:
        if column not in header:
            raise InputError(
                f"{file}: no column {column} but {', '.join(header)}, and no such folder.{nearest(column, header)}"
            )
    names = list(header)
    places, item = [names.index(column) for column in columns], names.index(folder.item_field)
    found, without = dict[str, str | Path](), dict[str, str]()
    for number, cells in rows:
        if len(cells) != len(names):
            raise InputError(f"{file}, line {number}: {len(cells)} fields, but the header has {len(names)}")
        text = JOINT.join(part for place in places if (part := cells[place].strip()))
        if text:
            found[cells[item]] = text
        else:
            without[cells[item]] = f"{' and '.join(columns)} empty"
    return Sources(found, without)


def files(folder: DatasetFolder, place: Path, endings: Sequence[str]) -> Sources:
    """Return the files of the items, which are named ``ITEM_ID.ENDING``.

    Raises
    ------
    InputError
        No file with such an ending, or two of one item.
    """
    here = sorted(file for file in place.iterdir() if file.suffix.lower() in endings)
    if not here:
        raise InputError(f"{place}: no file that ends in {', '.join(endings)}; name the file of an item ITEM_ID.ENDING")
    of = dict[str, Path]()
    for file in here:
        if file.stem in of:
            raise InputError(f"{file} and {of[file.stem].name} are both of item '{file.stem}': keep one of them")
        of[file.stem] = file
    ids = list(dict.fromkeys(folder.item_ids()))
    found = {item: of[item] for item in ids if item in of}
    if not found:
        example = f"such as {here[0].name} where there is an item '{ids[0]}'" if ids else "and there are no items"
        raise InputError(f"{place}: no file is named as an item, {example}; name the file of an item ITEM_ID.ENDING")
    return Sources(dict(found), {item: "no file" for item in ids if item not in of}, len(of) - len(found))
