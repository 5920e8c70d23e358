"""One modality, from its description in the yaml of a dataset to a table of features by item id."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_mm.base.errors import InputError, nearest, number_of
from recbole_mm.data import ml100k
from recbole_mm.data.feature_table import FeatureTable
from recbole_mm.data.folder import DatasetFolder, errors_named
from recbole_mm.data.formats import READERS
from recbole_mm.data.records import read_atomic, read_parquet

NORMALIZE = ("none", "l2", "standard")
_COMMON_KEYS = ("normalize", "pca")  # of every modality
_KEYS = {  # of a file, by its ending; any other is an atomic file
    ".npy": ("file", "ids"),
    ".npz": ("file", "ids", "key"),
    ".safetensors": ("file", "ids", "key"),
    ".parquet": ("file", "field"),
}


def read_features(name: str, spec: Mapping[str, Any], folder: DatasetFolder) -> FeatureTable:
    """Open or compute one modality as the ``modalities`` key of a dataset's yaml describes it.

    Parameters
    ----------
    name : str
        Name of the modality, a Python identifier.
    spec : mapping
        ``{file: F}`` or ``{compute: KIND}`` with the options of that kind; each may have ``normalize`` and
        ``pca``. F is a matrix (.npy; .npz or .safetensors with ``key: NAME`` where it has more than one) whose
        rows belong to the lines of ``ids: FILE``, to an array `ids` inside the .npz, or else to those of
        ``<dataset>.item``; or it has the ids beside the features: .parquet with a list column, or a RecBole atomic
        file with a float_seq column, ``field: NAME`` where it has more than one. An empty cell there means that
        the item lacks this modality.
    folder : DatasetFolder
        Relative files are relative to it.

    Returns
    -------
    FeatureTable
        At least one row; ids unique. The numbers are read, and checked, when its blocks are.

    Raises
    ------
    InputError
        On a wrong description, and on a file that is missing or malformed.
    """
    check_spec(name, spec)
    if "compute" in spec:
        options = {key: value for key, value in spec.items() if key not in ("compute", *_COMMON_KEYS)}
        table = ml100k.compute(spec["compute"], folder.path, folder.digests, **options)
    else:
        file, form = folder.path / spec["file"], Path(spec["file"]).suffix
        if form in READERS:
            table = _read_matrix(file, spec, folder)
        else:
            read = read_parquet if form == ".parquet" else read_atomic
            table = read(file, spec.get("field"), folder)
    _check_table(name, table)
    return table


def feature_files(name: str, spec: Mapping[str, Any], folder: DatasetFolder) -> tuple[Path, ...]:
    """Return every file that `read_features` reads for the same arguments."""
    check_spec(name, spec)
    if "compute" in spec:
        return ml100k.inputs(spec["compute"], folder.path)
    file = folder.path / spec["file"]
    if "ids" in spec:
        return file, folder.path / spec["ids"]
    if file.suffix in READERS and (file.suffix != ".npz" or READERS[".npz"](file, spec.get("key")).ids is None):
        return file, folder.item_file
    return (file,)


def check_choice(key: str, value: object, choices: Sequence[str]) -> None:
    """Raise `InputError`, naming the key and its choices, unless the value is one of them."""
    if value not in choices:
        close = nearest(str(value), choices)
        raise InputError(f"{key} must be one of {', '.join(choices)}, not {value!r}.{close}")


def check_spec(name: str, spec: Mapping[str, Any]) -> None:
    """Raise `InputError` on a wrong name or description of a modality; its files are not looked at."""
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
    for key in ("file", "ids", "key", "field", "compute"):
        if key in spec and not (isinstance(spec[key], str) and spec[key]):
            raise InputError(f"{where}: {key} must be a text, not {spec[key]!r}.")
    if "normalize" in spec:
        check_choice(f"{where}: normalize", spec["normalize"], NORMALIZE)
    width = spec.get("pca", 1)
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        raise InputError(f"{where}: pca must be a whole number of at least 1, the width to reduce to, not {width!r}.")
    if "compute" in spec:
        return  # the computation checks its own options
    form = Path(spec["file"]).suffix
    keys = (*_KEYS.get(form, ("file", "field")), *_COMMON_KEYS)
    for key in spec:
        if key not in keys:
            kind = f"a {form} file" if form in _KEYS else "an atomic file"
            close = nearest(str(key), keys)
            raise InputError(f"{where}: unknown key '{key}', {kind} takes {', '.join(keys)}.{close}")


def _check_table(name: str, table: FeatureTable) -> None:
    where = f"modality '{name}', {table.source}"
    if not table.ids or not table.dim:
        raise InputError(f"{where}: no features, the shape is {(len(table.ids), table.dim)}.")
    repeated = [item for item, count in Counter(table.ids).items() if count > 1]
    if repeated:
        raise InputError(
            f"{where}: {len(repeated)} item ids stand there more than once: {some(repeated)}. "
            "Keep one row for each item."
        )


def _read_matrix(file: Path, spec: Mapping[str, Any], folder: DatasetFolder) -> FeatureTable:
    matrix = READERS[file.suffix](file, spec.get("key"), folder.digests)
    if "ids" in spec:
        source, ids = folder.path / spec["ids"], _read_ids(folder.path / spec["ids"], folder)
    elif matrix.ids is not None:
        source, ids = "its array ids", list(matrix.ids)
    elif folder.item_file.is_file():
        source, ids = folder.item_file, folder.item_ids()
    else:
        raise InputError(
            f"{file}: which item each row belongs to is not known; add {folder.item_file}, rows in the order of its "
            f"lines, or a file with one item id a line: {{file: {file.name}, ids: {file.stem}.ids}}."
        )
    if len(ids) != matrix.n_rows:
        raise InputError(
            f"{file} has {number_of(matrix.n_rows, 'row')} but {source} has {number_of(len(ids), 'item')}; "
            "row i belongs to item i."
        )
    return FeatureTable(str(file), ids, matrix.dim, matrix.read)


def _read_ids(file: Path, folder: DatasetFolder) -> list[str]:
    """Return the lines that are not blank."""
    with errors_named(file, folder.encoding), folder.digests.reading(file) as stream:
        text = io.TextIOWrapper(stream, encoding=folder.encoding).read().removeprefix("\ufeff")
    return [line for line in text.split("\n") if line.strip()]


def some(ids: Sequence[str]) -> str:
    """Quote the first ids and count the rest."""
    shown = ", ".join(f"'{item}'" for item in ids[:3])
    return f"{shown} and {len(ids) - 3} more" if len(ids) > 3 else shown
