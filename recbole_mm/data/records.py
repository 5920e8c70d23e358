"""Features that stand beside their item ids: RecBole's atomic files and Parquet."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.data.feature_table import BLOCK_VALUES, Blocks, FeatureTable
from recbole_mm.data.folder import DatasetFolder, place_of
from recbole_mm.data.formats import intact


def read_atomic(file: Path, field: str | None, folder: DatasetFolder) -> FeatureTable:
    """Return the float_seq column `field` of an atomic file, or its only one; an empty cell is a missing row."""
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
        where = f"{file}, line {number}, item '{item}'"
        if len(cells) != len(header):
            raise InputError(f"{where}: {len(cells)} columns, the header has {len(header)}.")
        texts = [text for text in cells[place].split(folder.seq_separator) if text]
        if not texts:
            continue  # this item lacks the modality
        dim = dim or len(texts)
        if len(texts) != dim:
            raise InputError(f"{where}: {len(texts)} numbers, the rows above have {dim}.")
        try:
            values.extend(map(float, texts))
        except (ValueError, OverflowError) as error:
            raise InputError(f"{where}: {error}.") from error
        ids.append(item)
    rows = np.frombuffer(values, dtype=np.float32) if ids else np.zeros(0, dtype=np.float32)
    return FeatureTable.of(str(file), ids, rows.reshape(len(ids), dim))


def read_parquet(file: Path, field: str | None, folder: DatasetFolder) -> FeatureTable:
    """Return the list column `field` of a Parquet file, or its only one; a null cell is a missing row.

    The ids are in the column that the dataset calls its items, text or whole numbers. The lists may be of
    float16, float32 or float64 and are of one length.
    """
    with intact(file, "Parquet"):
        schema = pq.read_schema(file)
        item_field = _id_column(file, schema, folder.item_field)
        field = _list_column(file, schema, field)
        column = pq.read_table(file, columns=[item_field]).column(item_field)
        if column.null_count:
            raise InputError(f"{file}: {column.null_count} rows have no {item_field}: fill it in or remove them.")
        ids = [str(item) for item in column.to_pylist()]
        dim = _width(file, field)

    def read() -> Blocks:
        first = 0
        with intact(file, "Parquet"):
            for lists in _lists(file, field, max(1, BLOCK_VALUES // dim)):
                numbers = first + np.flatnonzero(lists.is_valid().to_numpy(zero_copy_only=False))
                _check_lengths(file, lists, first, ids, dim)
                values = lists.drop_null().flatten().to_numpy(zero_copy_only=False)
                yield numbers, values.reshape(len(numbers), dim)
                first += len(lists)

    return FeatureTable(str(file), ids, dim, read)


def _id_column(file: Path, schema: Any, item_field: str) -> str:
    columns = [field.name for field in schema if pa.types.is_integer(field.type) or _is_text(field.type)]
    if item_field in columns:
        return item_field
    if len(columns) == 1:
        return str(columns[0])
    there = ", ".join(columns) or "none"
    close = nearest(item_field, columns)
    raise InputError(f"{file}: no column {item_field} of text or whole numbers; columns of this kind: {there}.{close}")


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _list_column(file: Path, schema: Any, field: str | None) -> str:
    columns = [one.name for one in schema if _is_list(one.type) and pa.types.is_floating(one.type.value_type)]
    if field is None and len(columns) == 1:
        return str(columns[0])
    if field is None or field not in columns:
        asked = "needs one list column of floats, or `field:` to pick one" if field is None else f"no list '{field}'"
        raise InputError(f"{file}: {asked}; it has {', '.join(columns) or 'none'}.{nearest(field or '', columns)}")
    return field


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _lists(file: Path, field: str, n_rows: int) -> Iterator[Any]:
    """Yield a list column in arrays of at most `n_rows`."""
    with pq.ParquetFile(file, buffer_size=BLOCK_VALUES, pre_buffer=False) as parquet:
        try:
            for batch in parquet.iter_batches(n_rows, columns=[field]):
                yield batch.column(0)
        except pa.ArrowInvalid as error:
            if "lists to be of size" not in str(error):
                raise
            raise InputError(
                f"{file}: '{field}' has lists of a fixed size and rows without a list, which pyarrow before 26 cannot "
                "read: update pyarrow, or save the column as lists of any size."
            ) from error


def _width(file: Path, field: str) -> int:
    """Return the length of the first list, 0 where there is none."""
    return next((len(lists[0]) for lists in _lists(file, field, 1) if lists[0].is_valid), 0)


def _check_lengths(file: Path, lists: Any, first: int, ids: list[str], dim: int) -> None:
    """Refuse a list that is not of length `dim`, or that has an empty place."""
    lengths = pa.compute.list_value_length(lists)
    wrong = pa.compute.fill_null(pa.compute.not_equal(lengths, dim), False).to_numpy(zero_copy_only=False)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{file}, row {first + row + 1}, item '{ids[first + row]}': {lengths[row].as_py()} numbers, "
            f"the first row has {dim}."
        )
    if lists.flatten().null_count:
        raise InputError(f"{file}: {lists.flatten().null_count} numbers within lists are null: fill them in.")
