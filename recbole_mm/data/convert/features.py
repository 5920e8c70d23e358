"""Feature files looked through before they are copied: their shape, their numbers, and whose rows they are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from safetensors import SafetensorError, safe_open

from recbole_mm.data.convert import values
from recbole_mm.data.convert.source import FeatureFile
from recbole_mm.errors import InputError, nearest

SUFFIXES = (".npy", ".npz", ".safetensors", ".parquet")
_CHUNK = 1 << 22  # numbers looked at at a time


def modality_name(stem: str) -> str:
    """Return a file's stem without `_feat` or `_features`, made a Python identifier."""
    name = re.sub(r"\W", "_", re.sub(r"[_-](feat|feats|feature|features)$", "", stem))
    return name if name.isidentifier() else f"m_{name}"


def look_all(files: Iterable[Path], prefix: str = "") -> list[FeatureFile]:
    """Look through feature files, each a modality named after it; two of one name are an `InputError`."""
    named: dict[str, Path] = {}
    for file in sorted(files):
        name = modality_name(file.stem.removeprefix(prefix))
        if name in named:
            raise InputError(f"{named[name]} and {file} are both modality '{name}': rename or remove one")
        named[name] = file
    return [look(name, file) for name, file in named.items()]


def look(modality: str, file: Path) -> FeatureFile:
    """Check a feature file, and read the ids in it or in the file `STEM.ids` beside it.

    Raises
    ------
    InputError
        On a file that cannot be read, that holds no matrix of finite numbers, whose ids do not fit its rows, and
        on ids that are empty, reserved or there twice.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise InputError(f"{file}: features are one of {', '.join(SUFFIXES)} files.{nearest(file.suffix, SUFFIXES)}")
    try:
        return _look_parquet(modality, file) if file.suffix.lower() == ".parquet" else _look_matrix(modality, file)
    except InputError:
        raise
    except (OSError, EOFError, ValueError, KeyError, pa.ArrowException, SafetensorError, MemoryError) as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{file}: cannot be read ({said})") from error
    except Exception as error:  # a damaged archive fails in many ways
        raise InputError(f"{file}: is damaged ({type(error).__name__})") from error


def _look_matrix(modality: str, file: Path) -> FeatureFile:
    shape, dtype, chunks = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors}[file.suffix.lower()](file)
    if len(shape) != 2 or 0 in shape or not re.match(r"bool|u?int|b?float|[BIUF]", dtype):
        raise InputError(f"{file}: must hold one matrix of numbers, an item a row, but holds {dtype} {shape}")
    step, start = max(1, _CHUNK // shape[1]), 0
    for chunk in chunks(step):
        _refuse_infinite(file, chunk, start)
        start += len(chunk)
    beside = file.with_suffix(".ids")
    names = _read_ids(beside) if beside.is_file() else None
    if names is not None and len(names) != shape[0]:
        raise InputError(f"{file} has {shape[0]} rows but {beside} has {len(names)} ids: one id a line, a line a row")
    return FeatureFile(modality, file, (shape[0], shape[1]), dtype, names)


def _refuse_infinite(file: Path, chunk: np.ndarray, start: int) -> None:
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(chunk.astype(np.float32))
    if bad.any():
        row, column = (int(place) for place in np.argwhere(bad)[0])
        raise InputError(
            f"{file}: row {start + row}, column {column} (both from 0) is {chunk[row, column]}, which is no finite "
            "float32: correct it"
        )


Look = tuple[tuple[int, ...], str, Any]  # shape, type, and a function that gives pieces of so many rows


def _npy(file: Path) -> Look:
    def chunks(step: int) -> Iterator[np.ndarray]:
        for start in range(0, rows.shape[0], step):  # a map each, so that the pages read are let go
            yield np.asarray(np.load(file, mmap_mode="r", allow_pickle=False)[start : start + step])

    rows = np.load(file, mmap_mode="r", allow_pickle=False)
    if not isinstance(rows, np.ndarray):
        raise InputError(f"{file}: holds an archive, not one array: name it .npz")
    return rows.shape, str(rows.dtype.newbyteorder("=")), chunks


def _npz(file: Path) -> Look:
    with np.load(file, allow_pickle=False) as archive:
        if not hasattr(archive, "files") or len(archive.files) != 1:
            found = ", ".join(getattr(archive, "files", [])) or "none"
            raise InputError(f"{file}: must hold one array, but holds {found}: save a file each")
        rows = archive[archive.files[0]]
    dtype = str(rows.dtype.newbyteorder("="))
    return rows.shape, dtype, lambda step: (rows[i : i + step] for i in range(0, len(rows), step))


def _safetensors(file: Path) -> Look:
    def chunks(step: int) -> Iterator[np.ndarray]:
        with safe_open(file, framework="pt") as tensors:
            rows = tensors.get_slice(name)
            for start in range(0, shape[0], step):
                yield rows[start : start + step].float().numpy()

    with safe_open(file, framework="pt") as tensors:
        names = list(tensors.keys())
        if len(names) != 1:
            raise InputError(f"{file}: must hold one tensor, but holds {', '.join(names) or 'none'}: save a file each")
        name = names[0]
        shape, dtype = tuple(tensors.get_slice(name).get_shape()), tensors.get_slice(name).get_dtype()
    return shape, str(dtype), chunks


def _look_parquet(modality: str, file: Path) -> FeatureFile:
    names: list[str] = []
    width = 0
    with pa.parquet.ParquetFile(file) as table:
        column, kind = _list_column(file, table.schema_arrow)
        for batch in table.iter_batches(1 << 13, columns=["item_id", column]):
            start = len(names)
            found = values.ids(batch["item_id"], "item_id", partial(_row, file, start))
            lengths = pc.list_value_length(batch[column]).fill_null(0).to_numpy(zero_copy_only=False)
            width = width or int(lengths[0])
            if wrong := np.flatnonzero(lengths != width).tolist():
                where = f"{file}, row {start + wrong[0] + 1}, item '{found[wrong[0]]}'"
                raise InputError(f"{where}: {lengths[wrong[0]]} numbers, the rows above have {width}")
            flat = batch[column].flatten().to_numpy(zero_copy_only=False).reshape(-1, width or 1)
            _refuse_infinite(file, flat, start)
            names += found.to_pylist()
    if not names or not width:
        raise InputError(f"{file}: holds no features")
    _refuse_repeated(file, names)
    return FeatureFile(modality, file, (len(names), width), str(kind), names)


def _row(file: Path, start: int, row: int) -> str:
    return f"{file}, row {start + row + 1}"


def _list_column(file: Path, schema: pa.Schema) -> tuple[str, pa.DataType]:
    lists = [column.name for column in schema if hasattr(column.type, "value_field")]
    if "item_id" not in schema.names or len(lists) != 1:
        raise InputError(
            f"{file}: features need a column item_id and one column of lists of numbers (table: or name "
            "the files that hold features with --features); the columns are "
            f"{', '.join(schema.names)}.{nearest('item_id', schema.names) if 'item_id' not in schema.names else ''}"
        )
    kind = schema.field(lists[0]).type.value_type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise InputError(f"{file}: column {lists[0]} holds lists of {kind}, not of numbers")
    return lists[0], kind


def _read_ids(file: Path) -> list[str]:
    try:
        names = file.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is no UTF-8 ({error.reason}): convert the file, e.g. with iconv -t UTF-8") from error
    values.ids(pa.array(names), "item id", lambda row: f"{file}, line {row + 1}")
    _refuse_repeated(file, names)
    return names


def _refuse_repeated(file: Path, names: Sequence[str]) -> None:
    line_of: dict[str, int] = {}
    for line, name in enumerate(names, start=1):
        if line_of.setdefault(name, line) != line:
            raise InputError(
                f"{file}: item id '{name}' stands in lines {line_of[name]} and {line}: keep one row an item"
            )


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
    count, cure = feature.shape[0], f"put {feature.file.stem}.ids beside it, one item id a line, a line a row"
    for item in items:
        if not re.fullmatch(r"0|[1-9][0-9]{0,17}", item):
            raise InputError(
                f"{feature.file}: which item each row belongs to is not known, as item id '{item}' is no row number: "
                f"{cure}"
            )
    low, high = min(map(int, items)), max(map(int, items))
    firsts = [first for first in numbered_from if first <= low and high < first + count]
    if not firsts:
        beyond = low if low < min(numbered_from) else high
        counted = " or ".join(map(str, numbered_from))
        raise InputError(
            f"{feature.file} has {count} rows, but item id '{beyond}' occurs, and row i is taken for item i (from "
            f"{counted}): give it a row for every item, or {cure}"
        )
    if len(firsts) > 1:
        raise InputError(
            f"{feature.file}: its {count} rows may be items {firsts[0]} to {firsts[0] + count - 1} or {firsts[1]} to "
            f"{firsts[1] + count - 1}, as the item ids that occur fit both: {cure}"
        )
    return [str(number) for number in range(firsts[0], firsts[0] + count)]
