"""RecBole's atomic files: read as RecBole reads them, and refused where it would misread them.

RecBole meets these mistakes late, with another message, or not at all.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recbole_mm.errors import InputError, nearest

TYPES = ("token", "token_seq", "float", "float_seq")
SEPARATORS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "pipe", " ": "space"}

# What pandas reads as a missing value by default.
MISSING = frozenset(
    {"", "NA", "N/A", "n/a", "<NA>", "#NA", "#N/A", "#N/A N/A", "NULL", "null", "None"}
    | {"nan", "NaN", "-nan", "-NaN", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
)

Columns = dict[str, str]  # field -> type, in the order of the file
Row = tuple[int, list[str]]  # line number (from 1) and cells


def read_rows(file: Path, separator: str = "\t", encoding: str = "utf-8") -> Iterator[Row]:
    """Yield the header, then every line that is not blank, split as RecBole splits the one and pandas the others.

    Raises
    ------
    InputError
        On quotes that pandas cannot read.
    OSError, UnicodeDecodeError
        The file cannot be read.
    """
    with file.open(encoding=encoding) as lines:
        for number, line in enumerate(lines, start=1):
            text = line.removesuffix("\n")
            if '"' in text and number > 1 and len(separator) == 1:
                cells = _unquote(file, number, text, separator)
            else:
                cells = text.split(separator)
            if len(cells) > 1 or number == 1 or text.strip():
                yield number, cells


def _unquote(file: Path, number: int, text: str, separator: str) -> list[str]:
    """Split a line as pandas does: a field that starts with a quote goes on to the closing one."""
    reader = csv.reader([text, '"'], delimiter=separator, strict=True)
    try:
        cells = next(reader)
    except csv.Error as error:
        raise InputError(f'{file}, line {number}: {error}: remove the quotes (")') from None
    if reader.line_num > 1:
        raise InputError(f'{file}, line {number}: a quote (") at the start of a field is never closed: remove it')
    return cells


def parse_header(cells: Sequence[str]) -> tuple[Columns, str | None]:
    """Return the columns up to the first cell that is not NAME:TYPE or stands there twice, and that cell.

    A byte-order mark is passed over.
    """
    columns: Columns = {}
    for cell in cells:
        field, _, kind = cell.removeprefix("\ufeff").partition(":")
        if kind not in TYPES or field in columns:
            return columns, cell
        columns[field] = kind
    return columns, None


def as_list(value: Any) -> list[Any]:
    """Return a setting that may be absent, one value or many as a new list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def check_files(config: Any) -> None:
    """Read once every atomic file that RecBole will load, and refuse what it would misread.

    The content passes line by line; only the sets of user and item ids are kept.

    Parameters
    ----------
    config : Config
        `data_path` is the folder of the dataset and `dataset` the prefix of its files.

    Raises
    ------
    InputError
        One line naming the file and, where there is one, the line, the field and the value: a missing file, a
        header without types or with another separator, a missing column, a row with more or fewer fields
        than the header, an id that pandas reads as missing, text among numbers, no rows, or ids of a
        `.user` or `.item` file that never occur in the `.inter` file.
    """
    for mistake in mistakes_in_files(config):
        raise mistake


def mistakes_in_files(config: Any) -> Iterator[InputError]:
    """Yield what `check_files` refuses, the first mistake of every file; each file is read when its turn comes."""
    ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)  # of a suffix, with dot, and an id field
    for path in _files_and_gaps(config):
        if isinstance(path, InputError):
            yield path
            continue
        try:
            found = _check_file(path, config)
        except InputError as error:
            yield error
        except UnicodeDecodeError as error:
            yield InputError(f"{path}: is not {error.encoding} ({error.reason}): set encoding to what it is")
        else:
            for field, values in found.items():
                ids[path.suffix, field] |= values
    if config["filter_inter_by_user_or_item"] is True and config["benchmark_filename"] is None:
        for suffix, field in ((".user", config["USER_ID_FIELD"]), (".item", config["ITEM_ID_FIELD"])):
            yield from _overlap_mistakes(config, suffix, ids[".inter", field], ids[suffix, field], field)


def _overlap_mistakes(config: Any, suffix: str, here: set[str], there: set[str], field: str) -> Iterator[InputError]:
    if here and there and here.isdisjoint(there):
        inter, feat = f"{config['dataset']}.inter", f"{config['dataset']}{suffix}"
        yield InputError(
            f"{Path(config['data_path'])}: {inter} and {feat} share no {field}, so every interaction would "
            f"be filtered out: {inter} has {min(here)!r}, {feat} has {min(there)!r}"
        )


def atomic_files(config: Any) -> Iterator[Path]:
    """Yield every atomic file that RecBole will load.

    Raises
    ------
    InputError
        The folder, an `.inter` file, or a file that the settings ask for does not exist.
    """
    for path in _files_and_gaps(config):
        if isinstance(path, InputError):
            raise path
        yield path


def interaction_files(config: Any) -> list[Path]:
    """Return where RecBole looks for the interactions: a file, or one for each part where they come split."""
    name, parts = config["dataset"], config["benchmark_filename"]
    stems = [name] if parts is None else [f"{name}.{part}" for part in as_list(parts)]
    return [Path(config["data_path"]) / f"{stem}.inter" for stem in stems]


def _files_and_gaps(config: Any) -> Iterator[Path | InputError]:
    """Yield every file that RecBole will load, and in the place of one that does not exist the mistake."""
    folder, name = Path(config["data_path"]), config["dataset"]
    if not folder.is_dir():
        yield InputError(f"{folder}: the folder of dataset '{name}' does not exist: make it or set data_path")
        return
    for path in interaction_files(config):
        if path.is_file():
            yield path
        else:
            there = ", ".join(sorted(file.name for file in folder.glob("*.inter"))) or "no .inter file"
            yield InputError(f"{path} does not exist; the folder has {there}")
    needed = as_list(config["additional_feat_suffix"])
    if getattr(config["MODEL_TYPE"], "name", None) == "KNOWLEDGE":
        needed += ["kg", "link"]
    for suffix in dict.fromkeys(("user", "item", *needed)):
        path = folder / f"{name}.{suffix}"
        if path.is_file() and _is_loaded(suffix, config):
            yield path
        elif suffix in needed and _is_loaded(suffix, config):
            yield InputError(f"{path} does not exist, but the settings ask for its features")


def _is_loaded(suffix: str, config: Any) -> bool:
    return config["load_col"] is None or bool(config["load_col"].get(suffix))


def _check_file(path: Path, config: Any) -> dict[str, set[str]]:
    """Return the ids of each loaded id column."""
    separator = config["field_separator"] or "\t"
    rows = read_rows(path, separator, config["encoding"] or "utf-8")
    _, head = next(rows, (1, [""]))
    columns = _check_header(path, head, separator)
    loaded = _check_columns(path, columns, config)
    return _check_rows(path, rows, columns, loaded, config)


def _check_header(path: Path, head: Sequence[str], separator: str) -> Columns:
    text = separator.join(head)
    if not text.strip():
        raise InputError(f"{path}, line 1: no header, such as user_id:token{separator}item_id:token")
    if text.startswith("\ufeff"):
        raise InputError(f"{path}, line 1: starts with a byte-order mark: set encoding: utf-8-sig")
    columns, wrong = parse_header(head)
    if wrong is None:
        return columns
    field, colon, kind = wrong.partition(":")
    if kind in TYPES:
        raise InputError(f"{path}, line 1: '{field}' is there twice")
    other = next((other for other in SEPARATORS if other in text), None) if len(head) == 1 else None
    if other is not None:
        raise InputError(
            f"{path}, line 1: looks {SEPARATORS[other]}-separated: set field_separator: {json.dumps(other)} "
            f"or convert it to {SEPARATORS.get(separator, repr(separator))}s"
        )
    if not colon:
        raise InputError(f"{path}, line 1: '{wrong}' has no type, write {wrong}:token")
    raise InputError(f"{path}, line 1: '{wrong}' has no type of {', '.join(TYPES)}.{nearest(kind, TYPES)}")


def _check_columns(path: Path, columns: Columns, config: Any) -> set[str]:
    """Return the columns that RecBole loads."""
    suffix, load_col = path.suffix[1:], config["load_col"]
    if not _is_loaded(suffix, config):
        raise InputError(f"load_col has no '{suffix}': list there the columns to load of {path}")
    asked = list(columns) if load_col is None or load_col[suffix] == "*" else as_list(load_col[suffix])
    left_out = set(as_list((config["unload_col"] or {}).get(suffix)))
    for field in _needed_fields(suffix, config):
        _check_column(path, field, columns, "no column")
        if field not in asked or field in left_out:
            raise InputError(f"load_col and unload_col leave out '{field}' of {path}: it must be loaded")
        if field != config["TIME_FIELD"] and columns[field] != "token":
            raise InputError(f"{path}, line 1: '{field}:{columns[field]}' holds ids, write {field}:token")
    # RecBole's defaults for some kinds of models ask for columns that a dataset need not have.
    if load_col != getattr(config, "internal_config_dict", {}).get("load_col", ()):
        for field in asked:
            _check_column(path, field, columns, f"no column for load_col.{suffix},")
    return {field for field in asked if field in columns} - left_out


def _needed_fields(suffix: str, config: Any) -> list[str]:
    user, item, time = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"], config["TIME_FIELD"]
    sequential = getattr(config["MODEL_TYPE"], "name", None) == "SEQUENTIAL"
    ordered = sequential or (config["eval_args"] or {}).get("order") == "TO"
    inter = [user, item, time] if ordered and config["benchmark_filename"] is None else [user, item]
    fields = {"inter": inter, "user": [user], "item": [item]}.get(suffix, [])
    return [field for field in fields if field]


def _check_column(path: Path, field: str, columns: Columns, problem: str) -> None:
    if field not in columns:
        there = ", ".join(columns)
        raise InputError(f"{path}, line 1: {problem} '{field}'; the columns are {there}.{nearest(field, columns)}")


def _check_rows(
    path: Path, rows: Iterator[Row], columns: Columns, loaded: set[str], config: Any
) -> dict[str, set[str]]:
    """Check every row; return the ids of each loaded id column."""
    places = {field: place for place, field in enumerate(columns) if field in loaded}
    fields = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
    ids: dict[str, set[str]] = {field: set() for field in places if field in fields}
    id_cells = [(places[field], field, ids[field]) for field in ids]
    separators = {"float": None, "float_seq": config["seq_separator"] or " "}
    numbers = [
        (place, field, separators[columns[field]]) for field, place in places.items() if columns[field] in separators
    ]
    line = 1
    for line, cells in rows:
        if len(cells) != len(columns):
            raise InputError(f"{path}, line {line}: {len(cells)} fields, but the header has {len(columns)}")
        for place, field, known in id_cells:
            if cells[place] not in known:
                _check_id(path, line, field, cells[place])
                known.add(cells[place])
        for place, field, separator in numbers:
            text = cells[place]
            for part in text.split(separator) if separator else (text,):
                if part and not _is_number(part) and text not in MISSING:
                    raise InputError(f"{path}, line {line}: {field} has '{part}', which is no number")
    if line == 1:
        raise InputError(f"{path}: has a header but no rows")
    return ids


def _check_id(path: Path, line: int, field: str, text: str) -> None:
    if text in MISSING:
        advice = f"rename it, e.g. 'id_{text}'" if text else "fill it in or remove the line"
        raise InputError(f"{path}, line {line}: {field} '{text}' would be read as missing and dropped: {advice}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
