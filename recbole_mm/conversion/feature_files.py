"""Feature files looked through before they are copied: their shape, and whose rows they are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from recbole_mm.base.errors import InputError, nearest, number_of
from recbole_mm.conversion import values
from recbole_mm.conversion.source import FeatureFile
from recbole_mm.data.folder import DatasetFolder
from recbole_mm.data.formats import READERS, Matrix
from recbole_mm.data.records import read_parquet

FEATURE_TYPES = (*READERS, ".parquet")


def modality_name(stem: str) -> str:
    """Return a file's stem without `_feat` or `_features`, made a Python identifier."""
    name = re.sub(r"\W", "_", re.sub(r"[_-](feat|feats|feature|features)$", "", stem))
    return name if name.isidentifier() else f"m_{name}"


def look_all(files: Iterable[Path], prefix: str = "") -> list[FeatureFile]:
    """Look at feature files, each a modality named after it; two of one name are an `InputError`."""
    named: dict[str, Path] = {}
    for file in sorted(files):
        name = modality_name(file.stem.removeprefix(prefix))
        if name in named:
            raise InputError(f"{named[name]} and {file} are both modality '{name}': rename or remove one")
        named[name] = file
    return [look(name, file) for name, file in named.items()]


def look(modality: str, file: Path) -> FeatureFile:
    """Open a feature file, and read the ids in it or in the file `STEM.ids` beside it; its numbers are not looked at.

    Raises
    ------
    InputError
        On a file that cannot be read, that holds no matrix of numbers, whose ids do not fit its rows, and on ids
        that are empty, reserved or there twice.
    """
    form, beside = file.suffix.lower(), file.with_suffix(".ids")
    if form not in FEATURE_TYPES:
        raise InputError(f"{file}: features are one of {', '.join(FEATURE_TYPES)} files.{nearest(form, FEATURE_TYPES)}")
    if form == ".parquet":
        table = read_parquet(file, None, DatasetFolder(file.parent, ""))
        matrix = Matrix(len(table.ids), table.dim, table.read, table.ids)
    else:
        matrix = READERS[form](file, None)
    n_rows, own = matrix.n_rows, matrix.ids
    if not n_rows or not matrix.dim:
        raise InputError(f"{file}: no features, the shape is {(n_rows, matrix.dim)}")
    ids = own
    if own is not None:
        _check_ids(file, own, "row")
    elif beside.is_file():
        ids = _read_ids(beside)
        if len(ids) != n_rows:
            raise InputError(
                f"{file} has {number_of(n_rows, 'row')} but {beside} has {number_of(len(ids), 'id')}: "
                "write one a line, in the order of the rows"
            )
    return FeatureFile(modality, file, n_rows, matrix.dim, matrix.read, own, ids)


def _check_ids(file: Path, ids: Sequence[str], unit: str) -> None:
    values.ids(pa.array(ids, pa.string()), "item id", lambda row: f"{file}, {unit} {row + 1}")
    place_of: dict[str, int] = {}
    for place, item in enumerate(ids, start=1):
        if place_of.setdefault(item, place) != place:
            raise InputError(f"{file}: duplicate item id '{item}' in {unit}s {place_of[item]} and {place}: keep one")


def _read_ids(file: Path) -> list[str]:
    try:
        ids = file.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}: not valid UTF-8 ({error.reason}): convert the file, e.g. with iconv -t UTF-8"
        ) from error
    _check_ids(file, ids, "line")
    return ids


def number_rows(feature: FeatureFile, items: Collection[str], numbered_from: Sequence[int]) -> list[str]:
    """Return the ids of rows that have none: consecutive integers, if all items that occur are among them.

    Parameters
    ----------
    feature : FeatureFile
        Its rows count.
    items : collection of str
        Item ids that occur.
    numbered_from : sequence of int
        What the number of the first row may be.

    Raises
    ------
    InputError
        On an id that is no integer or beyond the rows, and where more than one first number would do.
    """
    count, cure = feature.n_rows, f"put {feature.file.stem}.ids beside it, one item id a line, a line a row"
    for item in items:
        if not re.fullmatch(r"0|[1-9][0-9]{0,17}", item):
            raise InputError(
                f"{feature.file}: which item each row belongs to is not known, as item id '{item}' is not a row "
                f"number: {cure}"
            )
    low, high = min(map(int, items)), max(map(int, items))
    firsts = [first for first in numbered_from if first <= low and high < first + count]
    if not firsts:
        beyond = low if low < min(numbered_from) else high
        counted = " or ".join(map(str, numbered_from))
        raise InputError(
            f"{feature.file} has {number_of(count, 'row')}, but item id '{beyond}' occurs, and row i is taken for item "
            f"i (from {counted}): give it a row for every item, or {cure}"
        )
    if len(firsts) > 1:
        raise InputError(
            f"{feature.file}: its {count} rows may be items {firsts[0]} to {firsts[0] + count - 1} or {firsts[1]} to "
            f"{firsts[1] + count - 1}, as the item ids that occur fit both: {cure}"
        )
    return [str(number) for number in range(firsts[0], firsts[0] + count)]
