"""Feature files of every format: the same rows, read in blocks; broken ones end in one line, whatever is broken."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tables import FORMS, rows_of, write_features

from recbole_mm.base.errors import InputError
from recbole_mm.data import feature_table as module
from recbole_mm.data import records
from recbole_mm.data.features import feature_files, read_features
from recbole_mm.data.folder import DatasetFolder

IDS = ["c", "007", "a", "é x", "b"]
NPY_HEADER = 128  # bytes
ROWS = np.array([[1, 2.5], [0, -4], [5, 6], [0.125, 8], [9, 10]])


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    return DatasetFolder(tmp_path, "toy")


@pytest.fixture
def one_row_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_VALUES", 2)
    monkeypatch.setattr(records, "BLOCK_VALUES", 2)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("form", FORMS)
def test_every_format_has_the_same_rows(form: str, dtype: str, folder: DatasetFolder, one_row_a_block: None) -> None:
    spec = write_features(folder.path, "x", form, IDS, ROWS.astype(dtype))
    table = read_features("x", spec, folder)
    assert (list(table.ids), table.dim) == (IDS, 2)
    np.testing.assert_array_equal(rows_of(table), ROWS)
    assert all(len(numbers) <= 2 or form == "atomic" for numbers, _ in table.read())
    np.testing.assert_array_equal(rows_of(table), ROWS)  # a second time
    assert set(feature_files("x", spec, folder)) == {folder.path / spec[key] for key in ("file", "ids") if key in spec}


@pytest.mark.parametrize("form", ["npy", "npz by columns", "compressed npz", "safetensors"])
def test_rows_in_the_order_of_the_item_file(form: str, folder: DatasetFolder) -> None:
    spec = write_features(folder.path, "x", form, IDS, ROWS)
    del spec["ids"]
    folder.item_file.write_text("item_id:token\n" + "".join(f"{item}\n" for item in IDS))
    table = read_features("x", spec, folder)
    assert table.ids == IDS
    assert feature_files("x", spec, folder) == (folder.path / spec["file"], folder.item_file)


def test_bfloat16(folder: DatasetFolder) -> None:
    save_file({"x": torch.tensor(ROWS).bfloat16()}, folder.path / "x.safetensors")
    folder.item_file.write_text("item_id:token\n" + "".join(f"{item}\n" for item in IDS))
    np.testing.assert_array_equal(rows_of(read_features("x", {"file": "x.safetensors"}, folder)), ROWS)


@pytest.mark.parametrize("kind", [pa.list_(pa.float16()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 2)])
def test_parquet_with_whole_numbers_as_ids_and_missing_rows(kind: Any, folder: DatasetFolder) -> None:
    columns = {"n": [0.5] * 4, "item": [7, 30, 2, 9], "x": pa.array([None, [1, 2], None, [3, 4]], kind)}
    pq.write_table(pa.table(columns), folder.path / "x.parquet")
    if pa.types.is_fixed_size_list(kind) and int(pa.__version__.split(".")[0]) < 26:
        with pytest.raises(InputError, match=r"x.parquet: 'x' has lists of a fixed size .+ pyarrow before 26"):
            read_features("x", {"file": "x.parquet", "field": "x"}, folder)
        return
    table = read_features("x", {"file": "x.parquet", "field": "x"}, folder)
    assert (table.ids, table.dim) == (["7", "30", "2", "9"], 2)
    assert [(numbers.tolist(), rows.tolist()) for numbers, rows in table.blocks()] == [([1, 3], [[1, 2], [3, 4]])]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item_id": ["a"], "x": [["1"]]}, "x.parquet: needs one list column of floats.*it has none"),
        ({"item_id": ["a"], "x": [[1.0]], "y": [[1.0]]}, "or `field:` to pick one; it has x, y"),
        ({"iid": ["a"], "user": ["b"], "x": [[1.0]]}, "no column item_id of text or whole numbers.*iid, user"),
        ({"item_id": ["a", "b"], "x": [[1.0], [1.0, 2.0]]}, "x.parquet, row 2, item 'b': 2 numbers.*has 1"),
        ({"item_id": ["a", "b"], "x": [[1.0, 2.0], [1.0, None]]}, "1 numbers within lists are null"),
        ({"item_id": ["a", None], "x": [[1.0], [2.0]]}, "1 rows have no item_id"),
        ({"item_id": ["a", "a"], "x": [[1.0], [2.0]]}, "1 item ids stand there more than once: 'a'"),
        ({"item_id": ["a"], "x": pa.array([None], pa.list_(pa.float32()))}, "no features"),
        ({"item_id": ["a"], "x": [[float("nan")]]}, "x.parquet: item 'a' has nan in column 0"),
    ],
)
def test_malformed_parquet(columns: Any, message: str, folder: DatasetFolder) -> None:
    pq.write_table(pa.table(columns), folder.path / "x.parquet")
    with pytest.raises(InputError, match=message):
        list(read_features("x", {"file": "x.parquet"}, folder).blocks())


@pytest.mark.parametrize(
    ("arrays", "spec", "message"),
    [
        ({"a": ROWS, "b": ROWS}, {}, "x.npz: needs `key:` to pick one array; it has a, b"),
        ({"image": ROWS}, {"key": "imgae"}, "has no array 'imgae'; it has image. Did you mean 'image'"),
        ({"a": np.ones(5)}, {}, r"x.npz: must hold one matrix.*float64 \(5,\)"),
        ({"a": np.array([["x"]])}, {}, "x.npz: must hold one matrix.*<U1"),
        ({"a": ROWS, "ids": np.ones(5)}, {}, "array `ids` must be one text or whole number a row, not float64"),
        ({"a": ROWS, "ids": np.arange(4)}, {}, "x.npz has 5 rows but its array ids has 4 items"),
        ({"a": np.array([[None]])}, {}, r"x.npz: must hold one matrix.*object \(1, 1\)"),
    ],
)
def test_malformed_npz(arrays: Any, spec: Any, message: str, folder: DatasetFolder) -> None:
    np.savez(folder.path / "x.npz", **arrays)
    with pytest.raises(InputError, match=message):
        list(read_features("x", {"file": "x.npz", **spec}, folder).blocks())


def test_whole_numbers_in_safetensors_are_no_features(folder: DatasetFolder) -> None:
    save_file({"x": torch.ones(2, 2, dtype=torch.int64)}, folder.path / "x.safetensors")
    with pytest.raises(InputError, match=r"x.safetensors: must hold one matrix of floats.*'x' is I64 \(2, 2\)"):
        read_features("x", {"file": "x.safetensors"}, folder)


@st.composite
def damages(draw: st.DrawFn) -> tuple[str, float, list[tuple[float, int]]]:
    """Draw a format, the share of the file that is left, and bytes that are replaced."""
    flips = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4)
    return draw(st.sampled_from(FORMS)), draw(st.just(1.0) | st.floats(0, 1)), draw(flips)


@settings(deadline=None, max_examples=400)
@given(damages())
def test_broken_bytes_end_in_one_line_or_in_rows_of_the_right_items(damage: tuple[str, float, Any]) -> None:
    """A changed byte of a number may go unseen; an exception from inside a library, or a shifted row, may not."""
    form, share, flips = damage
    with tempfile.TemporaryDirectory() as root:
        folder = DatasetFolder(Path(root), "toy")
        spec = write_features(folder.path, "x", form, IDS, ROWS.astype(np.float32))
        file = folder.path / spec["file"]
        content = bytearray(file.read_bytes())
        for place, value in flips:
            content[int(place * len(content))] = value
        file.write_bytes(content[: int(share * len(content))])
        try:
            table = read_features("x", spec, folder)
            blocks = list(table.blocks())
        except InputError as error:
            message = str(error)
        else:
            message = ""
    if message:
        assert "\n" not in message
        assert "x." in message
        return
    numbers = np.concatenate([numbers for numbers, _ in blocks])
    rows = np.concatenate([rows for _, rows in blocks])
    assert len(set(numbers.tolist())) == len(numbers) == len(rows) <= len(table.ids)
    in_header = form == "npy" and any(place * len(content) < NPY_HEADER for place, _ in flips)  # may change the type
    if share == 1 and form not in ("parquet", "atomic") and len(rows) and not in_header:
        same = (rows == ROWS[numbers]).all(axis=1)
        assert same.sum() >= len(ROWS) - len(flips)
