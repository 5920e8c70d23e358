"""What of each item is encoded: columns of the item file or of a table, or a file that a folder or a table names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.data.folder import DatasetFolder, place_of
from recbole_mm.extraction.item_tables import TABLE_FORMS, named_table, read_cells, read_columns

JOINT = ". "  # between the columns of a text


@dataclass(frozen=True, slots=True)
class Sources:
    """The items of a dataset, what of them is encoded, and why there is nothing of the others."""

    of: dict[str, str | Path]
    without: dict[str, str]
    foreign: int = 0  # files, or rows of a table, that belong to no item
    kind: str = "files"  # what may be foreign


def find_sources(folder: DatasetFolder, source: str, endings: Sequence[str]) -> Sources:
    """Return what the command's ``--source`` names.

    Parameters
    ----------
    source : str
        ``FILE:COLUMN[,COLUMN]``, a table; else a folder of files, or columns of the item file.
    endings : sequence of str
        Of the files that the encoder reads; empty where it reads texts.

    Raises
    ------
    InputError
        There is no such thing, or nothing in it belongs to an item.
    """
    table = named_table(source)
    if table is not None and not table[0].is_file():
        raise InputError(f"--source={source}: {table[0]} does not exist")
    if table is None and Path(source).suffix in (*TABLE_FORMS, ".gz") and Path(source).is_file():
        names = ", ".join(next(read_cells(Path(source)), (0, {}))[1])
        raise InputError(f"--source={source}: name the columns, {source}:COLUMN; it has {names or 'none'}")
    if table is None and endings:
        if not Path(source).is_dir():
            raise InputError(
                f"--source={source}: no such folder; files ITEM_ID{endings[0]} are to lie in it, or give a table of "
                "paths, FILE.tsv:COLUMN"
            )
        return files(folder, Path(source), endings)
    if table is None:
        return texts(folder, [column.strip() for column in source.split(",")])
    return table_files(folder, *table) if endings else table_texts(folder, *table)


def texts(folder: DatasetFolder, columns: Sequence[str]) -> Sources:
    """Return the texts of the items: columns of the item file, joined where there are several.

    Raises
    ------
    InputError
        No item file, or no such column.
    """
    file = folder.item_file
    if not file.is_file():
        raise InputError(f"{file} does not exist: texts are columns of it; add it, or give a table, FILE.tsv:COLUMN")
    header, rows = folder.read(file)
    for column in columns:
        if column not in header:
            raise InputError(
                f"{file}: no column {column} but {', '.join(header)}. A table is FILE.tsv:COLUMN, a folder is for "
                f"encoders of files.{nearest(column, header)}"
            )
    names, item = list(header), place_of(file, header, folder.item_field)
    places = [names.index(column) for column in columns]
    found, without = dict[str, str | Path](), dict[str, str]()
    for number, cells in rows:
        if len(cells) != len(names):
            raise InputError(f"{file}, line {number}: {len(cells)} fields, but the header has {len(names)}")
        _add_text(found, without, cells[item], columns, [cells[place].strip() for place in places])
    return Sources(found, without)


def table_texts(folder: DatasetFolder, file: Path, columns: Sequence[str]) -> Sources:
    """Return the texts of the items: columns of a table, joined where there are several.

    Raises
    ------
    InputError
        See `read_columns`; or no row is of an item.
    """
    found, without = dict[str, str | Path](), dict[str, str]()
    rows, foreign, ids = _rows_of_items(folder, file, columns)
    for item in ids:
        if item in rows:
            _add_text(found, without, item, columns, rows[item])
        else:
            without[item] = f"no row in {file.name}"
    return Sources(found, without, len(foreign), f"rows of {file.name}")


def table_files(folder: DatasetFolder, file: Path, columns: Sequence[str]) -> Sources:
    """Return the files of the items, whose paths are in a column of a table, relative to the folder of it.

    Raises
    ------
    InputError
        See `read_columns`; more than one column, or no item whose file exists.
    """
    if len(columns) != 1:
        raise InputError(f"--source={file}:{','.join(columns)}: a table of paths has them in one column; name one")
    found, without = dict[str, str | Path](), dict[str, str]()
    rows, foreign, ids = _rows_of_items(folder, file, columns)
    for item in ids:
        path = rows.get(item, [""])[0]
        if item not in rows:
            without[item] = f"no row in {file.name}"
        elif not path:
            without[item] = f"{columns[0]} empty"
        elif (place := file.parent / path).is_file():
            found[item] = place
        else:
            without[item] = "no file"
    if not found:
        example = next((rows[item][0] for item, reason in without.items() if reason == "no file"), "")
        such = f", such as {file.parent / example}" if example else ""
        raise InputError(f"{file}: no file of the column {columns[0]} exists{such}; paths are relative to the table")
    return Sources(found, without, len(foreign), f"rows of {file.name}")


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


def _rows_of_items(
    folder: DatasetFolder, file: Path, columns: Sequence[str]
) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """Return the rows of a table that are of items, by their ids, the ids of the others, and those of all items."""
    items = dict.fromkeys(folder.item_ids())
    rows, foreign = read_columns(file, columns, folder.item_field, items)
    if not rows:
        example = f", such as '{foreign[0]}' where there is an item '{next(iter(items))}'" if foreign and items else ""
        raise InputError(f"{file}: no row is of an item{example}; ids are in {folder.item_field} or the first column")
    return rows, foreign, list(items)


def _add_text(
    found: dict[str, str | Path], without: dict[str, str], item: str, columns: Sequence[str], parts: Sequence[str]
) -> None:
    if text := JOINT.join(filter(None, parts)):
        found[item] = text
    else:
        without[item] = f"{' and '.join(columns)} empty"
