"""Any table of interactions, csv, tsv or Parquet, split or not, with any feature files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.conversion.feature_files import look, look_all
from recbole_mm.conversion.folders import files_in
from recbole_mm.conversion.layouts import USUAL
from recbole_mm.conversion.record_batches import Field, checked_batches, column_names, find_column, has_column
from recbole_mm.conversion.source import FeatureFile, Source, Stream
from recbole_mm.conversion.values import Check, Times, ids, numbers
from recbole_mm.data.atomic import head_of
from recbole_mm.data.folder import SPLIT_NAMES

_FIELDS = {"user": "user_id", "item": "item_id", "rating": "rating", "time": "timestamp"}
_TABLES = ("*.csv", "*.tsv", "*.parquet")
_STEMS = {"train": ("train",), "valid": ("valid", "val"), "test": ("test",)}


def read(source: Path, columns: Mapping[str, str], features: Mapping[str, str]) -> Source:
    """Describe a table, or a folder with one.

    Parameters
    ----------
    source : Path
        A file or a folder.
    columns : mapping
        Columns that were named, by `user`, `item`, `rating`, `time`; the others are looked for.
    features : mapping
        Modality to feature file, a path or a name in the folder; if empty, those in the folder are taken.

    Raises
    ------
    InputError
        What is missing or cannot be told.
    """
    folder = source if source.is_dir() else source.parent
    files = _part_files(source, columns) if source.is_dir() else {"": _table(source)}
    first = next(iter(files.values()))
    fields = _fields(first, columns)
    assumed = [f"{name} is column {column} of {first.name}" for name, (column, _) in fields.items() if name != column]
    found = [look(name, _feature_file(folder, file)) for name, file in features.items()]
    if not features:
        found = _features_in(folder, set(files.values()), columns)
    return Source(source, list(fields), _interactions(files, fields), len(files) > 1, found, assumed=assumed)


def _table(file: Path) -> Path:
    if not file.is_file():
        raise InputError(f"{file} does not exist: give a table, or the folder that holds it")
    if f"*{file.suffix.lower()}" not in _TABLES:
        close = nearest(file.suffix, [kind[1:] for kind in _TABLES])
        raise InputError(f"{file}: a table is a .csv, .tsv or .parquet file.{close}")
    return file


def _part_files(folder: Path, columns: Mapping[str, str]) -> dict[str, Path]:
    """Return the file of each part, or of part "" without a split."""
    tables = files_in(folder, *_TABLES)
    parts = {part: [file for file in tables if file.stem.lower() in stems] for part, stems in _STEMS.items()}
    if not any(parts.values()):
        return {"": _only_table(folder, tables, columns)}
    for part in SPLIT_NAMES:
        if len(parts[part]) != 1:
            there = ", ".join(file.name for file in parts[part])
            problem = f"the {part} part is {there}" if there else f"has no {part} part"
            raise InputError(f"{folder}: {problem}; a split is one file each of train, valid (or val) and test")
    return {part: parts[part][0] for part in SPLIT_NAMES}


def _only_table(folder: Path, tables: Sequence[Path], columns: Mapping[str, str]) -> Path:
    fitting = [file for file in tables if _is_interactions(file, columns)]
    if len(fitting) > 1:
        raise InputError(f"{folder}: interactions may be {', '.join(file.name for file in fitting)}: give the file")
    if fitting:
        return fitting[0]
    if len(tables) != 1:
        there = ", ".join(file.name for file in tables) or "no table"
        raise InputError(f"{folder}: no table with columns user_id and item_id (.csv, .tsv, .parquet) but {there}")
    return tables[0]  # what it lacks is said with its columns


def _is_interactions(file: Path, columns: Mapping[str, str]) -> bool:
    names = column_names(file)
    return all(has_column(names, (columns[role],) if columns.get(role) else USUAL[role]) for role in ("user", "item"))


def _fields(file: Path, columns: Mapping[str, str]) -> dict[str, Field]:
    """Return the fields of the dataset with the columns of the file that they come from."""
    names = column_names(file)
    fields: dict[str, Field] = {}
    for role, check in _checks().items():
        named = columns.get(role)
        if named and named not in names:
            close = nearest(named, names)
            raise InputError(
                f"{head_of(file)}: no column {named} (--{role}); the columns are {', '.join(names)}.{close}"
            )
        if named or role in ("user", "item") or has_column(names, USUAL[role]):
            fields[_FIELDS[role]] = (named or find_column(file, names, USUAL[role], f"--{role}"), check)
    return fields


def _checks() -> dict[str, Check]:
    return {"user": ids, "item": ids, "rating": numbers, "time": Times()}


def _interactions(files: Mapping[str, Path], fields: Mapping[str, Field]) -> Stream:
    for part, file in files.items():
        for batch in checked_batches(file, fields):
            yield part, batch


def _feature_file(folder: Path, file: str) -> Path:
    for path in (folder / file, Path(file)):
        if path.is_file():
            return path
    raise InputError(f"{file} does not exist, neither here nor in {folder}: correct --features")


def _features_in(folder: Path, tables: set[Path], columns: Mapping[str, str]) -> list[FeatureFile]:
    files = files_in(folder, "*.npy", "*.npz", "*.safetensors", "*.parquet")
    wanted = [file for file in files if file not in tables and not _holds_interactions(file, columns)]
    try:
        return look_all(wanted)
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}. Or name the files to take with --features=NAME=FILE.") from error


def _holds_interactions(file: Path, columns: Mapping[str, str]) -> bool:
    return file.suffix.lower() == ".parquet" and _is_interactions(file, columns)
