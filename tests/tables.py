"""Tables of features for tests: written in every format, and read back as one array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from recbole_mm.data.feature_table import FeatureTable


def rows_of(table: FeatureTable) -> np.ndarray:
    """Return the rows that any block has, in their order, as the source has them."""
    return np.concatenate([values for _, values in table.read()])


FORMS = ("npy", "npz", "compressed npz", "npz by columns", "safetensors", "parquet", "atomic")


def write_features(folder: Path, name: str, form: str, ids: Sequence[str], rows: np.ndarray) -> dict[str, str]:
    """Write rows (n, dim) and their ids in one of `FORMS`, and return how the yaml describes them."""
    file = folder / f"{name}.{form.removeprefix('compressed ').removesuffix(' by columns')}"
    spec = {"file": file.name}
    if form == "parquet":
        values = pa.array(list(rows), pa.list_(pa.from_numpy_dtype(rows.dtype)))
        pq.write_table(pa.table({"item_id": list(ids), "x": values}), file, row_group_size=2)
        return spec
    if form == "atomic":
        lines = [f"{item}\t{' '.join(map(repr, row.tolist()))}\n" for item, row in zip(ids, rows, strict=True)]
        file.write_text("item_id:token\tx:float_seq\n" + "".join(lines), encoding="utf-8")
        return spec
    if form == "npz":
        np.savez(file, rows, ids=np.array(ids))
        return spec
    if form == "npy":
        np.save(file, rows)
    elif form == "npz by columns":
        np.savez(file, np.asfortranarray(rows))
    else:
        write = save_file if form == "safetensors" else lambda arrays, file: np.savez_compressed(file, **arrays)
        write({"x": rows.copy(), "other": rows[:1].copy()}, file)
        spec["key"] = "x"
    (folder / f"{name}.ids").write_text("".join(f"{item}\n" for item in ids), encoding="utf-8")
    return spec | {"ids": f"{name}.ids"}
