"""Feature files of the modalities, read and checked.

A feature file is a ``.npy`` matrix, whose rows belong to the lines of an ids file or of ``<dataset>.item``,
or a RecBole atomic file with a token column and a float_seq column. Nothing is ever unpickled.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_mm.data import ml100k
from recbole_mm.data.folder import DatasetFolder, FeatureTable, errors_named, place_of
from recbole_mm.errors import InputError, nearest

NORMALIZE = ("none", "l2", "standard")
_NPY_KEYS = ("file", "ids", "normalize")
_ATOMIC_KEYS = ("file", "field", "normalize")
_CHUNK = 2**20  # values handled at a time


def read_features(name: str, spec: Mapping[str, Any], folder: DatasetFolder) -> FeatureTable:
    """Read or compute one modality as the ``modalities`` key of a dataset's yaml describes it.

    Parameters
    ----------
    name : str
        Name of the modality, a Python identifier.
    spec : mapping
        ``{file: F.npy}``, ``{file: F.npy, ids: F.ids}``, ``{file: F}`` or ``{file: F, field: X}`` for an
        atomic file, or ``{compute: KIND}`` with the options of that kind; each may have ``normalize``.
        An empty cell of an atomic file means that the item lacks this modality.
    folder : DatasetFolder
        Relative files are relative to it.

    Returns
    -------
    FeatureTable
        At least one row; ids unique, numbers finite.

    Raises
    ------
    InputError
        On a wrong description, and on a file that is missing, malformed or not finite.
    """
    _check_spec(name, spec)
    if "compute" in spec:
        options = {key: value for key, value in spec.items() if key not in ("compute", "normalize")}
        table = ml100k.compute(spec["compute"], folder.path, **options)
    elif _is_npy(spec):
        table = _read_npy(folder.path / spec["file"], spec.get("ids"), folder)
    else:
        table = _read_atomic(folder.path / spec["file"], spec.get("field"), folder)
    _check_table(name, table)
    return table


def feature_files(name: str, spec: Mapping[str, Any], folder: DatasetFolder) -> tuple[Path, ...]:
    """Return every file that `read_features` reads for the same arguments."""
    _check_spec(name, spec)
    if "compute" in spec:
        return ml100k.inputs(spec["compute"], folder.path)
    file = folder.path / spec["file"]
    if not _is_npy(spec):
        return (file,)
    return file, folder.path / spec["ids"] if "ids" in spec else folder.item_file


def check_choice(key: str, value: object, choices: Sequence[str]) -> None:
    """Raise `InputError`, naming the key and its choices, unless the value is one of them."""
    if value not in choices:
        close = nearest(str(value), choices)
        raise InputError(f"{key} must be one of {', '.join(choices)}, not {value!r}.{close}")


def _is_npy(spec: Mapping[str, Any]) -> bool:
    return Path(spec["file"]).suffix == ".npy"


def _check_spec(name: str, spec: Mapping[str, Any]) -> None:
    if not (isinstance(name, str) and name.isidentifier()):
        raise InputError(
            f"modality {name!r}: the name must be a Python identifier (letters, digits, _), such as image."
        )
    where = f"modality '{name}'"
    if not isinstance(spec, Mapping) or ("file" in spec) == ("compute" in spec):
        raise InputError(
            f"{where}: give either a file or a computation, such as {{file: {name}.npy}} or "
            f"{{compute: title}}, not {spec!r}."
        )
    for key in ("file", "ids", "field", "compute"):
        if key in spec and not (isinstance(spec[key], str) and spec[key]):
            raise InputError(f"{where}: {key} must be a text, not {spec[key]!r}.")
    if "normalize" in spec:
        check_choice(f"{where}: normalize", spec["normalize"], NORMALIZE)
    if "compute" in spec:
        return  # the computation checks its own options
    form, keys = ("a .npy file", _NPY_KEYS) if _is_npy(spec) else ("an atomic file", _ATOMIC_KEYS)
    for key in spec:
        if key not in keys:
            close = nearest(str(key), keys)
            raise InputError(f"{where}: unknown key '{key}', {form} takes {', '.join(keys)}.{close}")


def _check_table(name: str, table: FeatureTable) -> None:
    where = f"modality '{name}', {table.source}"
    if 0 in table.rows.shape:
        raise InputError(f"{where}: no features, the shape is {table.rows.shape}.")
    repeated = [item for item, count in Counter(table.ids).items() if count > 1]
    if repeated:
        raise InputError(
            f"{where}: {len(repeated)} item ids stand there more than once: {some(repeated)}. "
            "Keep one row for each item."
        )
    bad: list[int] = []
    for rows in chunks(np.arange(len(table.ids)), table.rows.shape[1]):
        bad.extend(rows[~_finite(table.rows[rows]).all(axis=1)])
    if bad:
        row = bad[0]
        column = int(_finite(table.rows[row]).argmin())
        raise InputError(
            f"{where}: item '{table.ids[row]}' has {table.rows[row, column]} in column {column} (from 0), "
            f"no finite float32; {len(bad)} of {len(table.ids)} rows are affected. Correct these rows, or "
            "remove them: their items then count as missing."
        )


def _finite(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
        return np.isfinite(values.astype(np.float32))


def _read_npy(file: Path, ids: str | None, folder: DatasetFolder) -> FeatureTable:
    try:
        rows = np.load(file, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, EOFError) as error:
        raise InputError(
            f"{file}: is no .npy file of numbers ({error}) Save it as a float array: "
            f"np.save('{file.name}', rows.astype('float32'))."
        ) from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "biuf":
        found = f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else "an archive of arrays"
        raise InputError(f"{file}: must hold one matrix of numbers, an item a row, but holds {found}.")
    ids_file = folder.path / ids if ids else folder.item_file
    if ids is None and not ids_file.is_file():
        raise InputError(
            f"{file}: which item each row belongs to is not known; add {ids_file}, rows in the order of its "
            f"lines, or a file with one item id a line: {{file: {file.name}, ids: {file.stem}.ids}}."
        )
    names = _read_ids(ids_file, folder.encoding) if ids else folder.item_ids()
    if len(names) != len(rows):
        raise InputError(f"{file} has {len(rows)} rows but {ids_file} has {len(names)} items; row i belongs to item i.")
    return FeatureTable(str(file), names, rows)


def _read_ids(file: Path, encoding: str) -> list[str]:
    """Return the lines that are not blank."""
    with errors_named(file, encoding):
        text = file.read_text(encoding=encoding).removeprefix("\ufeff")
    return [line for line in text.split("\n") if line.strip()]


def _read_atomic(file: Path, field: str | None, folder: DatasetFolder) -> FeatureTable:
    header, lines = folder.read(file)
    tokens = [column for column, kind in header.items() if kind == "token"]
    item_place = place_of(file, header, tokens[0] if len(tokens) == 1 else folder.item_field)
    sequences = [column for column, kind in header.items() if kind == "float_seq"]
    if field is None and len(sequences) != 1:
        found = ", ".join(sequences) or "none"
        raise InputError(f"{file}: needs one float_seq column, or `field:` to pick one; it has {found}.")
    place = place_of(file, header, field or sequences[0], "float_seq")

    ids: list[str] = []
    values = array("f")
    dim = 0
    for number, cells in lines:
        item = cells[item_place] if item_place < len(cells) else ""
        if len(cells) != len(header):
            raise InputError(
                f"{file}, line {number}, item '{item}': {len(cells)} columns, the header has {len(header)}."
            )
        texts = [text for text in cells[place].split(folder.seq_separator) if text]
        if not texts:
            continue  # this item lacks the modality
        dim = dim or len(texts)
        if len(texts) != dim:
            raise InputError(f"{file}, line {number}, item '{item}': {len(texts)} numbers, the rows above have {dim}.")
        try:
            values.extend(map(float, texts))
        except ValueError as error:
            raise InputError(f"{file}, line {number}, item '{item}': {error}.") from error
        ids.append(item)
    rows = np.frombuffer(values, dtype=np.float32) if ids else np.zeros(0, dtype=np.float32)
    return FeatureTable(str(file), ids, rows.reshape(len(ids), dim))


def chunks(rows: np.ndarray, dim: int) -> Iterator[np.ndarray]:
    """Cut the row numbers of a matrix of `dim` columns into pieces of about `_CHUNK` values."""
    step = max(1, _CHUNK // dim)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def some(ids: Sequence[str]) -> str:
    """Quote the first ids and count the rest."""
    shown = ", ".join(f"'{item}'" for item in ids[:3])
    return f"{shown} and {len(ids) - 3} more" if len(ids) > 3 else shown
