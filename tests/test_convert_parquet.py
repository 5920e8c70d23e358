"""`convert --format=parquet` makes the dataset that its text would be, and a conversion that fails loses nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.config import Config
from recbole.data import create_dataset
from test_columns import contents

from recbole_mm.commands import cli
from recbole_mm.conversion import interaction_files

SPLIT = ("train", "valid", "test")


def converted(source: Path, out: Path, form: str, *more: str, kind: str = "table") -> list[str]:
    """Convert, and return the files of interactions that were made."""
    assert cli.main(["convert", kind, str(source), f"--out={out}", f"--format={form}", *more]) == 0
    return sorted(file.name for file in out.iterdir() if ".inter" in file.name)


def asked(out: Path, **more: Any) -> Config:
    return Config(model="BPR", dataset=out.name, config_dict={"data_path": str(out.parent), "gpu_id": "", **more})


def schema(file: Path) -> dict[str, str]:
    found = pq.read_schema(file)
    return dict(zip(found.names, map(str, found.types), strict=True))


def test_the_table_to_the_letter(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "user,item,rating,time\nu2,07,4,20\nu1,b c,.5,10\nu2,é,1e1,+5\n", encoding="utf-8"
    )
    assert converted(tmp_path / "log.csv", tmp_path / "toy", "parquet") == ["toy.inter.parquet"]
    made = pq.read_table(tmp_path / "toy" / "toy.inter.parquet")
    assert schema(tmp_path / "toy" / "toy.inter.parquet") == {
        "user_id": "string", "item_id": "string", "rating": "double", "timestamp": "int64"
    }  # fmt: skip
    assert made.to_pylist() == [
        {"user_id": "u2", "item_id": "07", "rating": 4.0, "timestamp": 20},
        {"user_id": "u1", "item_id": "b c", "rating": 0.5, "timestamp": 10},
        {"user_id": "u2", "item_id": "é", "rating": 10.0, "timestamp": 5},
    ]
    assert (tmp_path / "toy" / "toy.item").read_text(encoding="utf-8") == "item_id:token\n07\nb c\né\n"
    dataset = create_dataset(asked(tmp_path / "toy"))
    assert list(dataset.field2id_token["item_id"]) == ["[PAD]", "07", "b c", "é"]
    assert dataset.inter_feat["user_id"].tolist() == [1, 2, 1]
    assert dataset.inter_feat["timestamp"].tolist() == [20, 10, 5]


IDS = st.sampled_from(["u1", "u2", "7", "07", "é", "a b", "x.y"])
NUMBERS = st.sampled_from(["1", "2.5", "5.", ".25", "+3", "1e3", "-4", "007"])
WHOLE = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2**31) | st.integers(2**53 - 2, 2**53 + 2)
TIMES = WHOLE.map(str) | NUMBERS | st.integers(2**63, 2**65).map(str)


@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(st.tuples(IDS, IDS, NUMBERS, TIMES), min_size=3, max_size=25),
    all_whole=st.booleans(),
    is_split=st.booleans(),
    group=st.sampled_from([2, 5, 1 << 18]),
    data=st.data(),
)
def test_what_is_read_is_what_the_text_gives(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], all_whole: bool, is_split: bool, group: int, data: Any
) -> None:
    root = tmp_path_factory.mktemp("forms")
    if all_whole:
        rows = [(*row[:3], str(data.draw(WHOLE))) for row in rows]
    header = "userID\titemID\trating\ttimestamp" + ("\tx_label" if is_split else "")
    labels = [place % 3 for place in range(len(rows))]
    lines = ["\t".join([*row, *([str(label)] if is_split else [])]) for row, label in zip(rows, labels, strict=True)]
    source = root / "source"
    source.mkdir()
    (source / "x.inter").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interaction_files, "_GROUP_ROWS", group)
        patch.setattr("recbole_mm.conversion.record_batches._BLOCK", 64)  # batches of a few rows
        for form, ending in (("text", ""), ("parquet", ".parquet")):
            out = root / form / "toy"
            expected = [f"toy.{part}.inter{ending}" for part in sorted(SPLIT)] if is_split else [f"toy.inter{ending}"]
            assert converted(source, out, form, kind="mmrec") == expected
            order = {"order": "TO", "split": {"RS": [2, 1, 1]}, "group_by": "user"}
            found.append(contents(asked(out, eval_args=order)))
    assert found[0] == found[1]
    shutil.rmtree(root)


def test_times_that_are_not_all_whole_are_floats_in_their_part_alone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for part in SPLIT:
        times = [2**53 + 1, *range(1, 9), "2.5" if part == "valid" else 9]
        lines = [f"u{place % 3},{place},{time}\n" for place, time in enumerate(times)]
        (source / f"{part}.csv").write_text("user,item,timestamp\n" + "".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interaction_files, "_GROUP_ROWS", 3)
        patch.setattr("recbole_mm.conversion.record_batches._BLOCK", 32)
        names = converted(source, tmp_path / "toy", "parquet")
    assert names == ["toy.test.inter.parquet", "toy.train.inter.parquet", "toy.valid.inter.parquet"]
    files = {part: tmp_path / "toy" / f"toy.{part}.inter.parquet" for part in SPLIT}
    assert [schema(file)["timestamp"] for file in files.values()] == ["int64", "double", "int64"]
    assert pq.read_table(files["train"])["timestamp"].to_pylist() == [2**53 + 1, *range(1, 10)]
    assert pq.read_table(files["valid"])["timestamp"].to_pylist() == [2.0**53, *range(1, 9), 2.5]
    groups = pq.ParquetFile(files["train"]).metadata
    assert [groups.row_group(number).num_rows for number in range(groups.num_row_groups)] == [3, 3, 3, 1]


def test_titles_and_features_stay_beside_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "x_pairs.csv").write_text("user,item,timestamp\na,1,5\nb,2,6\n")
    (source / "x_titles.csv").write_text("item,title\n1,one\n")
    np.save(source / "image.npy", np.ones((2, 3), dtype=np.float32))
    (source / "image.ids").write_text("1\n2\n")
    for form in ("text", "parquet"):
        converted(source, tmp_path / form / "toy", form, kind="microlens")
    beside = [
        {file.name: file.read_bytes() for file in (tmp_path / form / "toy").iterdir() if ".inter" not in file.name}
        for form in ("text", "parquet")
    ]
    assert beside[0] == beside[1]
    assert sorted(beside[0]) == ["image.npy", "toy.item", "toy.yaml"]


def test_what_fails_leaves_the_old_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log.csv").write_text("user,item,time\n" + "".join(f"u,{row},{row}\n" for row in range(50)))
    (tmp_path / "bad.csv").write_text("user,item,time\n" + "".join(f"u,{row},{row}\n" for row in range(50)) + "u,,7\n")
    monkeypatch.setattr(interaction_files, "_GROUP_ROWS", 4)
    out = tmp_path / "sets" / "toy"
    converted(tmp_path / "log.csv", out, "parquet")
    before = {file: file.read_bytes() for file in out.iterdir()}
    again = [f"--out={out}", "--format=parquet", "--overwrite"]
    assert cli.main(["convert", "table", str(tmp_path / "bad.csv"), *again]) == 2
    assert "bad.csv, line 52: item is empty" in capsys.readouterr().err

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pa.parquet.ParquetWriter, "write_table", full)
        assert cli.main(["convert", "table", str(tmp_path / "log.csv"), *again]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in out.iterdir()} == before
    assert list(out.parent.iterdir()) == [out]
    assert converted(tmp_path / "log.csv", out, "text", "--overwrite") == ["toy.inter"]


def test_forms_that_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tuple(interaction_files.INTERACTION_FILES) == ("text", "parquet")
    assert cli.main(["convert", "table", "x", f"--out={tmp_path / 'y'}", "--format=parket"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: --format: invalid value 'parket' (valid: text, parquet). Did you mean 'parquet'?")
