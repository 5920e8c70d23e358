"""Feature files: exact values by hand, and what each malformed input says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tables import rows_of

from recbole_mm.base.errors import InputError
from recbole_mm.data import feature_table as module
from recbole_mm.data.feature_table import FeatureTable
from recbole_mm.data.features import feature_files, read_features
from recbole_mm.data.folder import DatasetFolder

ITEMS = "item_id:token\tprice:float\nc\t1\na\t2\n007\t3\n"
ROWS = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    (tmp_path / "toy.item").write_text(ITEMS)
    return DatasetFolder(tmp_path, "toy")


def write(folder: DatasetFolder, name: str, content: str | np.ndarray) -> None:
    if isinstance(content, str):
        (folder.path / name).write_text(content, encoding=folder.encoding)
    else:
        np.save(folder.path / name, content)


def pairs(table: FeatureTable) -> dict[str, list[float]]:
    return dict(zip(table.ids, rows_of(table).tolist(), strict=True))


class TestReading:
    def test_npy_in_the_order_of_the_item_file(self, folder: DatasetFolder) -> None:
        write(folder, "image.npy", ROWS)
        table = read_features("image", {"file": "image.npy"}, folder)
        assert pairs(table) == {"c": [1, 2], "a": [3, 4], "007": [5, 6]}

    def test_npy_in_the_order_of_an_ids_file(self, folder: DatasetFolder) -> None:
        write(folder, "audio.npy", ROWS[:2].astype(np.float16))
        (folder.path / "audio.ids").write_bytes("\ufeff007\r\nc\r\n".encode())
        table = read_features("audio", {"file": "audio.npy", "ids": "audio.ids"}, folder)
        assert pairs(table) == {"007": [1, 2], "c": [3, 4]}

    def test_ids_stay_text(self, folder: DatasetFolder) -> None:
        ids = ["NA", "null", "007", " x ", "1.0"]
        write(folder, "t.ids", "\n".join(ids))
        write(folder, "t.npy", np.ones((5, 1)))
        assert read_features("t", {"file": "t.npy", "ids": "t.ids"}, folder).ids == ids

    def test_atomic_file(self, folder: DatasetFolder) -> None:
        write(folder, "toy.text", "emb:float_seq\titem_id:token\n0.5 -1e2  3\ta\n\tc\n1 2 3\t007\n")
        table = read_features("text", {"file": "toy.text"}, folder)
        assert pairs(table) == {"a": [0.5, -100, 3], "007": [1, 2, 3]}  # the cell of c is empty
        assert rows_of(table).dtype == np.float32

    def test_item_file_with_features_and_other_separators(self, tmp_path: Path) -> None:
        folder = DatasetFolder(tmp_path, "toy", "iid", ",", "|", "latin-1")
        write(folder, "toy.item", "iid:token,tag:token,x:float_seq,y:float_seq\né,t,1|2,3\nb,t,4|5,6\n")
        assert pairs(read_features("x", {"file": "toy.item", "field": "x"}, folder)) == {
            "é": [1, 2],
            "b": [4, 5],
        }
        assert pairs(read_features("y", {"file": "toy.item", "field": "y"}, folder)) == {"é": [3], "b": [6]}

    def test_one_token_column_of_another_name_holds_the_ids(self, folder: DatasetFolder) -> None:
        write(folder, "toy.text", "iid:token\temb:float_seq\na\t1 2\n")
        assert pairs(read_features("text", {"file": "toy.text"}, folder)) == {"a": [1, 2]}

    def test_quoted_ids_are_those_of_recbole(self, folder: DatasetFolder) -> None:
        write(folder, "toy.text", 'item_id:token\temb:float_seq\n"a ""b"""\t1\nmid"dle\t2\n\t\n')
        assert pairs(read_features("text", {"file": "toy.text"}, folder)) == {'a "b"': [1], 'mid"dle': [2]}

    def test_files_that_are_read(self, folder: DatasetFolder) -> None:
        path = folder.path
        assert feature_files("x", {"file": "x.npy"}, folder) == (path / "x.npy", path / "toy.item")
        assert feature_files("x", {"file": "x.npy", "ids": "i"}, folder) == (path / "x.npy", path / "i")
        assert feature_files("x", {"file": "toy.x"}, folder) == (path / "toy.x",)
        assert feature_files("x", {"compute": "genre"}, folder) == (path / f"{path.name}.item",)

    def test_absolute_paths(self, folder: DatasetFolder, tmp_path_factory: pytest.TempPathFactory) -> None:
        file = tmp_path_factory.mktemp("elsewhere") / "x.npy"
        np.save(file, ROWS)
        assert pairs(read_features("x", {"file": str(file)}, folder))["c"] == [1, 2]

    def test_computed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RECBOLE_MM_CACHE", str(tmp_path / "cache"))
        folder = DatasetFolder(tmp_path, tmp_path.name)
        write(folder, f"{tmp_path.name}.item", "item_id:token\tclass:token_seq\n1\tB A\n2\tB\n")
        assert pairs(read_features("g", {"compute": "genre", "normalize": "none"}, folder)) == {
            "1": [1, 1],
            "2": [0, 1],
        }


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("my image", {"file": "x.npy"}, "'my image'.*Python identifier"),
        (3, {"file": "x.npy"}, "modality 3.*Python identifier"),
        ("x", {}, "modality 'x'.*either a file or a computation"),
        ("x", "x.npy", "modality 'x'.*either a file or a computation.*'x.npy'"),
        ("x", {"file": "x.npy", "compute": "title"}, "either a file or a computation"),
        ("x", {"file": ["x.npy"]}, r"file must be a text, not \['x.npy'\]"),
        ("x", {"file": "x.npy", "ids": None}, "ids must be a text, not None"),
        (
            "x",
            {"file": "x.npy", "idz": "x.ids"},
            "unknown key 'idz'.*file, ids, normalize.*Did you mean 'ids'",
        ),
        ("x", {"file": "x.npy", "field": "emb"}, "unknown key 'field', a .npy file takes"),
        ("x", {"file": "toy.x", "ids": "x.ids"}, "unknown key 'ids', an atomic file takes"),
        (
            "x",
            {"file": "x.npy", "normalize": "L2"},
            "modality 'x': normalize must be one of.*Did you mean 'l2'",
        ),
        (
            "x",
            {"file": "x.npy", "normalize": None},
            "normalize must be one of.*not None.*Did you mean 'none'",
        ),
        ("x", {"file": "x.npy", "key": "a"}, "unknown key 'key', a .npy file takes file, ids, normalize, pca"),
        ("x", {"file": "x.npz", "field": "a"}, "unknown key 'field', a .npz file takes file, ids, key, normalize"),
        ("x", {"file": "x.parquet", "ids": "a"}, "unknown key 'ids', a .parquet file takes file, field"),
        ("x", {"file": "x.npy", "pca": 0}, "modality 'x': pca must be a whole number of at least 1.*not 0"),
        ("x", {"file": "x.npy", "pca": "8"}, "pca must be a whole number of at least 1.*not '8'"),
        ("x", {"compute": "titel"}, "'titel'.*Did you mean 'title'"),
        ("x", {"file": "absent.npy"}, "absent.npy: cannot be read.*No such file"),
        ("x", {"file": "toy.absent"}, "toy.absent: cannot be read.*No such file"),
    ],
)
def test_wrong_description(name: Any, spec: Any, message: str, folder: DatasetFolder) -> None:
    with pytest.raises(InputError, match=message):
        read_features(name, spec, folder)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.array([[1, None]] * 3), r"x.npy: not a complete .npy file of numbers.*Python objects.*array of floats"),
        (
            np.array([["1"]] * 3),
            r"x.npy: must hold one matrix of numbers, an item a row, but holds <U1 \(3, 1\)",
        ),
        (np.ones(3), r"x.npy: must hold one matrix.*float64 \(3,\)"),
        (np.ones((3, 2, 1)), r"must hold one matrix.*\(3, 2, 1\)"),
        (np.ones((3, 1), dtype=complex), "must hold one matrix.*complex128"),
        (np.ones((2, 1)), r"x.npy has 2 rows but .*toy.item has 3 items"),
        ("no array", "x.npy: not a complete .npy file of numbers"),
        ("", "x.npy: not a complete .npy file of numbers"),
    ],
)
def test_malformed_npy(rows: Any, message: str, folder: DatasetFolder) -> None:
    write(folder, "x.npy", rows)
    with pytest.raises(InputError, match=message):
        read_features("x", {"file": "x.npy"}, folder)


def test_pickles_and_archives_under_the_name_npy(folder: DatasetFolder) -> None:
    with open(folder.path / "x.npy", "wb") as file:
        np.savez(file, a=np.ones((3, 1)))
    with pytest.raises(InputError, match=r"x.npy: must hold one matrix.*archive"):
        read_features("x", {"file": "x.npy"}, folder)
    np.ones((3, 1)).dump(folder.path / "x.npy")
    with pytest.raises(InputError, match=r"x.npy: not a complete .npy file"):
        read_features("x", {"file": "x.npy"}, folder)


def test_rows_without_known_items(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path, "toy")
    write(folder, "x.npy", ROWS)
    with pytest.raises(InputError, match=r"x.npy: which item each row belongs.*toy.item.*ids: x.ids"):
        read_features("x", {"file": "x.npy"}, folder)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("a\nb\n", "x.npy has 3 rows but .*x.ids has 2 items"),
        ("a\n\nb\n", "x.npy has 3 rows but .*x.ids has 2 items"),  # a blank line is no item
        ("a\nb\na\n", "x.npy: 1 item ids stand there more than once: 'a'"),
    ],
)
def test_wrong_ids(ids: str, message: str, folder: DatasetFolder) -> None:
    write(folder, "x.npy", ROWS)
    write(folder, "x.ids", ids)
    with pytest.raises(InputError, match=message):
        read_features("x", {"file": "x.npy", "ids": "x.ids"}, folder)


def test_many_repeated_ids_are_counted(folder: DatasetFolder) -> None:
    write(folder, "x.npy", np.ones((10, 1)))
    write(folder, "x.ids", "a\nb\nc\nd\ne\n" * 2)
    with pytest.raises(InputError, match="5 item ids stand there more than once: 'a', 'b', 'c' and 2 more"):
        read_features("x", {"file": "x.npy", "ids": "x.ids"}, folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_not_finite(value: float, folder: DatasetFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_VALUES", 2)  # a row at a time
    rows = np.ones((3, 2))
    rows[1, 1] = rows[2, 0] = rows[2, 1] = value
    write(folder, "x.npy", rows)
    with pytest.raises(InputError, match=r"x.npy: item 'a' has .* in column 1 \(from 0\).*; 2 of 3 rows.*remove them"):
        list(read_features("x", {"file": "x.npy"}, folder).blocks())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id:token\temb:float_seq\na\t1 2\nc\t1 x\n", "toy.text, line 3, item 'c': .*'x'"),
        (
            "item_id:token\temb:float_seq\na\t1 2\n\nc\t1\n",
            "line 4, item 'c': 1 numbers, the rows above have 2",
        ),
        ("item_id:token\temb:float_seq\na\t1\t2\n", "line 2, item 'a': 3 columns, the header has 2"),
        ("emb:float_seq\titem_id:token\n1 2\n", "line 2, item '': 1 columns, the header has 2"),
        ("item_id:token\temb:float_seq\na\t1 nan\n", "toy.text: item 'a' has nan in column 1"),
        ("item_id:token\temb:float_seq\na\t1\na\t2\n", "toy.text: .*more than once: 'a'"),
        ("item_id:token\temb:float_seq\na\t\n", "toy.text: no features"),
        ("item_id\temb\na\t1\n", "toy.text, line 1: column 'item_id' is not NAME:TYPE"),
        ("item_id:token,emb:float_seq\na,1\n", r"column 'item_id:token,emb:float_seq' is not.*between '\\t'"),
        ("", "toy.text, line 1: column '' is not NAME:TYPE"),
        ("emb:float_seq\temb:float_seq\n1\t1\n", "line 1: column 'emb:float_seq' is not.*or a duplicate"),
        ("item_id:token\temb:float\na\t1\n", "toy.text: needs one float_seq column.*it has none"),
        ("item_id:token\tx:float_seq\ty:float_seq\na\t1\t1\n", "`field:` to pick one; it has x, y"),
        ("item:token\tuser:token\tx:float_seq\na\tb\t1\n", "no column item_id:token.*item, user"),
    ],
)
def test_malformed_atomic_file(text: str, message: str, folder: DatasetFolder) -> None:
    write(folder, "toy.text", text)
    with pytest.raises(InputError, match=message):
        list(read_features("text", {"file": "toy.text"}, folder).blocks())


def test_field_that_is_not_there(folder: DatasetFolder) -> None:
    write(folder, "toy.text", "item_id:token\ttext_emb:float_seq\na\t1\n")
    with pytest.raises(InputError, match=r"no column text_em:float_seq.*Did you mean 'text_emb'"):
        read_features("text", {"file": "toy.text", "field": "text_em"}, folder)


def test_binary_file_in_place_of_text(folder: DatasetFolder) -> None:
    (folder.path / "toy.x").write_bytes(b"PK\x03\x04\xff\xfe\n")
    with pytest.raises(InputError, match=r"toy.x: not valid utf-8.*\.npy, .npz, .safetensors or .parquet"):
        read_features("x", {"file": "toy.x"}, folder)


def test_ids_in_another_encoding(folder: DatasetFolder) -> None:
    write(folder, "x.npy", ROWS)
    write(folder, "x.ids", "a\nb\nc\n")
    with pytest.raises(InputError, match=r"x.ids: not valid utf-16 \(UTF-16 stream does not start with BOM\)"):
        read_features("x", {"file": "x.npy", "ids": "x.ids"}, replace(folder, encoding="utf-16"))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("iid:token\na\n", "toy.item, line 1: no column item_id:token.*iid"),
        ("n:float\titem_id:token\n1\ta\n2\n", "toy.item, line 3: no column item_id"),
    ],
)
def test_malformed_item_file(items: str, message: str, folder: DatasetFolder) -> None:
    write(folder, "toy.item", items)
    write(folder, "x.npy", ROWS)
    with pytest.raises(InputError, match=message):
        read_features("x", {"file": "x.npy"}, folder)
