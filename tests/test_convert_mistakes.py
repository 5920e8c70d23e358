"""What is wrong with a source is said in one line, and leaves nothing behind."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from recbole_mm.commands import cli
from recbole_mm.conversion import record_batches, staging, writer
from recbole_mm.conversion.source import Source

TWO = np.ones((2, 3), dtype=np.float32)
CSV = {"log.csv": "user,item,timestamp\na,0,5\nb,1,6\n"}
MMREC = {"x.inter": "userID\titemID\tx_label\n0\t0\t0\n1\t1\t1\n2\t1\t2\n", "image_feat.npy": TWO}
JSON = {f"{part}.json": '{"0": [0], "1": [1]}' for part in ("train", "val", "test")} | {"image_feat.npy": TWO}
LENS = {"x_pairs.csv": "user,item,timestamp\na,1,5\nb,2,6\n", "image.npy": TWO}


def make(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        if isinstance(content, np.ndarray):
            with (folder / name).open("wb") as stream:
                np.save(stream, content)
        elif isinstance(content, dict):
            pa.parquet.write_table(pa.table(content), folder / name)
        elif content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Convert what must be refused; return the one line that says why, after a look that nothing is left."""
    before = sorted(Path().rglob("*"))
    assert cli.main(["convert", *arguments]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    assert sorted(Path().rglob("*")) == before
    return line.removeprefix("error: ")


MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    # columns
    ("table", {"log.csv": "usr,item\na,0\n"}, "log.csv, line 1: no column user_id; the columns are usr, item. Did you"),
    ("table", {"log.csv": "user,thing\na,0\n"}, "no column item_id; the columns are user, thing. Or name the column w"),
    ("mmrec", {**MMREC, "x.inter": "userID\tid\n0\t0\n"}, "x.inter, line 1: no column itemID; the columns are userID,"),
    ("microlens", {**LENS, "x_pairs.csv": "user,item\na,1\n"}, "no column timestamp; the columns are user, item"),
    ("table", {"log.csv": "user,item,user\na,0,a\n"}, "log.csv: duplicate column 'user'"),
    ("table", {"log.csv": "user\titem\na\t0\n"}, "log.csv, line 1: looks separated by tabs; .csv files are separated"),
    ("table", {"log.csv": "user\na\n"}, "log.csv, line 1: has one column, 'user'"),
    ("table", {"log.csv": ""}, "log.csv: is empty"),
    ("table", {"log.csv": "user,item\n"}, "source: no interactions: add at least one"),
    ("table", {"l.parquet": {"user": [1], "thing": [1]}}, "l.parquet: no column item_id; the columns are user, thing"),
    # ids
    ("table", {"log.csv": "user,item\na,0\n\n,1\n"}, "log.csv, line 4: user is empty: fill it in, or remove the line"),
    ("table", {"log.csv": "user,item\na,0\nb, \n"}, "log.csv, line 3: item is empty"),
    ("table", {"log.csv": "user,item\nNA,0\n"}, "log.csv, line 2: user 'NA' would be read as missing and dropped: ren"),
    ("table", {"log.csv": "user,item\na,[PAD]\n"}, "log.csv, line 2: item '[PAD]' is RecBole's own name for pad"),
    ("table", {"log.csv": 'user,item\n"x\ny",0\n'}, r"log.csv, line 2: user 'x\ny' holds a quote, a tab or another co"),
    ("table", {"log.csv": 'user,item\n"x\n",0\nb,"1\t2"\n'}, r"log.csv, line 2: user 'x\n' has blanks around it"),
    ("table", {"log.csv": 'user,note,item\na,"x\n\ny",0\nb,,"1\t2"\n'}, r"log.csv, line 5: item '1\t2' holds a quote,"),
    ("table", {"log.csv": 'user,item\na,"1""2"\n'}, "log.csv, line 2: item '1\"2' holds a quote"),
    ("table", {"log.csv": "user,item\na, 1\n"}, "log.csv, line 2: item ' 1' has blanks around it: remove them"),
    ("table", {"l.parquet": {"user": ["a", None], "item": [1, 2]}}, "l.parquet, row 2: user is empty"),
    ("table", {"l.parquet": {"user": [1.0], "item": [1]}}, "l.parquet, row 1: user is of type double; ids are texts o"),
    ("table", {"l.parquet": {"user": ["a\tb"], "item": [1]}}, r"l.parquet, row 1: user 'a\tb' holds a quote, a tab"),
    # numbers, times and labels
    ("table", {"log.csv": "user,item,time\na,0,5\n\nb,1,noon\n"}, "log.csv, line 4: time 'noon' is not a number"),
    ("table", {"log.csv": "user,item,time\na,0,5\nb,1,\n"}, "log.csv, line 3: time '' is not a number"),
    ("table", {"log.csv": "user,item,time\na,0,5\nb,1,2024-01-01\n"}, "log.csv, line 3: time '2024-01-01' is not a n"),
    ("table", {"log.csv": "user,item,time\na,0,2024-01-01\nb,1,7\n"}, "line 3: time '7' is not among the ISO times ab"),
    ("table", {"log.csv": "user,item,rating\na,0,nan\n"}, "log.csv, line 2: rating 'nan' is not a number"),
    ("table", {"l.parquet": {"user": [1], "item": [1], "rating": [float("inf")]}}, "l.parquet, row 1: rating 'inf' is"),
    ("table", {"l.parquet": {"user": [1], "item": [1], "rating": [[1]]}}, "rating is of type list<element: int64>, no"),
    ("mmrec", {**MMREC, "x.inter": "userID\titemID\tx_label\n0\t0\t3\n"}, "x.inter, line 2: x_label '3' must be 0"),
    ("mmrec", {**MMREC, "x.inter": "userID\titemID\tx_label\n0\t0\t0\n1\t1\t1\n"}, "x.inter: no interactions in the t"),
    # lines
    ("table", {"log.csv": "user,item\na,0\n\nb,1,2\n"}, "log.csv, line 4: 3 fields, but the header has 2"),
    ("table", {"log.csv": "user,item\na,0\nb\n"}, "log.csv, line 3: 1 fields, but the header has 2"),
    ("table", {"log.csv": 'user,item\na,0\n"b,1\nc,2\n'}, "log.csv, line 3: unexpected end of data: correct its quote"),
    ("table", {"log.csv": b"user,item\na,0\n\xe9,1\n"}, "log.csv, line 3: not valid UTF-8 (invalid continuation"),
    ("table", {"log.csv": "user,item\na,0\n".encode("utf-16")}, "log.csv, line 1: not valid UTF-8 (invalid start"),
    ("table", {"log.parquet": b"PAR1 no more"}, "log.parquet: not a readable Parquet file"),
    # parts
    ("table", {"valid.csv": "user,item\na,0\n", "test.csv": "user,item\na,0\n"}, "source: has no train part; a split"),
    ("table", {"train.csv": "user,item\na,0\n", "test.csv": "user,item\na,0\n"}, "source: has no valid part; a split"),
    ("table", {f"{part}.csv": "user,item\na,0\n" for part in ("train", "val", "valid", "test")}, "valid part is val.c"),
    (
        "table",
        {"train.csv": "user,item,time\na,0,1\n", "val.csv": "user,item\na,0\n", "test.csv": "user,item,time\na,0,1\n"},
        "val.csv, line 1: no column time; the columns are user, item.",
    ),
    ("table", {"train.csv": "user,item\na,0\n", "val.csv": "user,item\n", "test.csv": "user,item\na,0\n"}, "source: n"),
    ("table", {"a.csv": "user,item\na,0\n", "b.csv": "user,item\na,0\n"}, "source: interactions may be a.csv, b.csv:"),
    ("table", {"a.csv": "user,x\na,0\n", "b.csv": "x,item\na,0\n"}, "no table with columns user_id and item_id (.csv,"),
    ("diffmm", {**JSON, "train.json": None}, "source: no train part; one file of train.json is needed"),
    ("diffmm", {**JSON, "val.json": "[1]"}, 'val.json: must hold {"user": [item, ...]}, but holds list'),
    ("diffmm", {**JSON, "val.json": '{"0": [0'}, "val.json: cannot be read as json"),
    ("diffmm", {**JSON, "val.json": '{"0": [0], "0": [1]}'}, "cannot be read as json (duplicate user)"),
    ("diffmm", {**JSON, "val.json": "[" * 10**5}, "val.json: cannot be read as json"),
    ("diffmm", {**JSON, "val.json": "{}"}, "source: no interactions in the valid part"),
    ("table", {"log.csv": f"user,note,item\na,{'x' * 200000},0\nNA,,1\n"}, "log.csv, row 2: user 'NA' would be"),
    ("table", {"l.parquet": {"user": [1], "item": [1], "time": [timedelta(1)]}}, "time is of type duration[us], not"),
    ("diffmm", {**JSON, "val.json": '{"x": [0]}'}, "val.json: user 'x' is not a whole number from 0"),
    ("diffmm", {**JSON, "val.json": '{"0": [true]}'}, "val.json, user 0: item 'True' is not a whole number from 0"),
    ("diffmm", {**JSON, "val.json": '{"0": 3}'}, "val.json, user 0: items must be a list, not int"),
    ("diffmm", {"trnMat.pkl": b"cos\nsystem\n(S'touch harmed'\ntR."} | dict.fromkeys(("valMat.pkl", "tstMat.pkl"), b"")
     | {"image_feat.npy": TWO}, "trnMat.pkl: asks for os.system, which has no part in a csr, csc or coo matrix"),
    # features
    ("mmrec", {"image_feat.npy": TWO}, "source: no *.inter; the folder has image_feat.npy"),
    ("mmrec", {**MMREC, "image_feat.npy": TWO[:1]}, "image_feat.npy has 1 row, but item id '1' occurs, and row i is"),
    ("mmrec", {**MMREC, "text_feat.npy": np.ones((3, 1))}, "text_feat.npy has 3 rows but"),
    ("mmrec", {**MMREC, "x.inter": "userID\titemID\n0\tb\n"}, "image_feat.npy: which item each row belongs to is not"),
    ("mmrec", {**MMREC, "x.inter": "userID\titemID\n0\t01\n"}, "as item id '01' is not a row number: put image_feat"),
    ("mmrec", {**MMREC, "image_feat.npy": np.ones(3)}, "image_feat.npy: must hold one matrix of numbers, an item a ro"),
    ("mmrec", {**MMREC, "image_feat.npy": np.array([["a"]])}, "must hold one matrix of numbers, an item a row, but ho"),
    ("mmrec", {**MMREC, "image_feat.npy": np.array([[None]])}, "image_feat.npy: not a complete .npy file of numbers"),
    ("mmrec", {**MMREC, "image_feat.npy": b"\x93NUMPY"}, "image_feat.npy: not a complete .npy file of numbers"),
    ("mmrec", {**MMREC, "image_feat.npy": TWO * [1, np.nan, 1]}, "image_feat.npy: item '0' has nan in column 1 (fr"),
    ("diffmm", {**JSON, "image_feat.npy": TWO[:1]}, "image_feat.npy has 1 row, but item id '1' occurs"),
    ("table", {**CSV, "image.npy": TWO, "image.ids": "0\n"}, "image.npy has 2 rows but"),
    ("table", {**CSV, "image.npy": TWO, "image.ids": "0\n0\n"}, "image.ids: duplicate item id '0' in lines 1 and 2"),
    ("table", {**CSV, "image.npy": TWO, "image.ids": "0\n\n"}, "image.ids, line 2: item id is empty"),
    ("table", {**CSV, "image.npy": TWO, "image.ids": b"0\n\xff\n"}, "image.ids: not valid UTF-8"),
    ("table", {**CSV, "image.npy": TWO, "image.ids": "00\n01\n"}, "image.npy: none of its item ids has interactions:"),
    ("table", {**CSV, "image.npy": TWO, "image_feat.npy": TWO}, "are both modality 'image': rename or remove one"),
    ("table", {**CSV, "image.npz": b"PK"}, "image.npz: not a complete .npz file of numbers"),
    ("table", {**CSV, "image.safetensors": b"{"}, "image.safetensors: not a complete .safetensors file"),
    ("table", {**CSV, "t.parquet": {"item_id": ["0"], "x": ["y"]}}, "Or name the files to take with --features"),
    ("table", {**CSV, "t.parquet": {"item_id": ["0"], "x": [["y"]]}}, "t.parquet: needs one list column of floats"),
    ("table", {**CSV, "t.parquet": {"item_id": ["0", "1"], "x": [[1.0, 2.0], [1.0]]}}, "t.parquet, row 2, item '1': 1"),
    ("table", {**CSV, "t.parquet": {"item_id": ["0", "0"], "x": [[1.0], [2.0]]}}, "duplicate item id '0' in rows 1"),
    ("table", {**CSV, "t.parquet": {"item_id": ["0", "1"], "x": [[1.0], [None]]}}, "t.parquet: 1 numbers within"),
    # MicroLens
    ("microlens", {**LENS, "x_pairs.csv": "user,item,timestamp\na,1,5\n"}, "image.npy: its 2 rows may be items 0 to 1"),
    ("microlens", {**LENS, "x_pairs.csv": "user,item,timestamp\na,3,5\n"}, "image.npy has 2 rows, but item id '3' occ"),
    ("microlens", {**LENS, "title.csv": "item,title\n1,a, b\n"}, "title.csv, line 2: 3 fields, but the header has 2:"),
    ("microlens", {**LENS, "title.csv": "item,title\n1,a\n1,b\n"}, "title.csv, line 3: item '1' has a title already"),
    ("microlens", {**LENS, "title.csv": "item,title\n1,a\n,b\n"}, "title.csv, line 3: item is empty"),
    ("microlens", {**LENS, "title.csv": 'item,title\n1,"a\n'}, "title.csv, line 2: unexpected end of data: correct it"),
    ("microlens", {**LENS, "title.csv": b"item,title\n1,\xff\n"}, "title.csv, line 2: not valid UTF-8"),
    ("microlens", {**LENS, "y_pairs.csv": "x"}, "source: *pairs*.csv is x_pairs.csv, y_pairs.csv: leave one of them t"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "files", "message"), MISTAKES, ids=[message for *_, message in MISTAKES])
def test_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, files: dict[str, Any], message: str
) -> None:
    make(tmp_path / "source", files)
    line = mistake(capsys, kind, "source", "--out=dataset/toy")
    assert message in line
    assert line.startswith("source")
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tabel", "x", "--out=y"], "unknown kind 'tabel'; choose from mmrec, diffmm, mmssl, microlens, table. Did"),
        (["mmrec", "nowhere", "--out=y"], "nowhere does not exist: give the folder that holds the data"),
        (["mmrec", "source/log.csv", "--out=y"], "source/log.csv is not a folder: give the folder that holds the data"),
        (["table", "nowhere", "--out=y"], "nowhere does not exist: give a table, or the folder that holds it"),
        (["table", "source/x.txt", "--out=y"], "source/x.txt: a table is a .csv, .tsv or .parquet file"),
        (["table", "source"], "missing: --out; see recbole-mm convert --help"),
        (["table", "source", "--out=y", "--colour=red"], "unknown option '--colour'; see recbole-mm convert --help"),
        (["mmrec", "source", "--out=y", "--user=u"], "command line: --user is for table"),
        (["table", "source", "--out=y", "--features=x"], "command line: --features=x: write NAME=FILE"),
        (["table", "source", "--out=y", "--features=image=x.npy"], "x.npy does not exist, neither here nor in source"),
        (["table", "source", "--out=y", "--features=image=log.csv"], "source/log.csv: features are one of .npy, .npz"),
        (["table", "source", "--out=y", "--time=when"], "log.csv, line 1: no column when (--time); the columns are us"),
        (["table", "source", "--out=."], "--out .: its last part is the name of the dataset: --out dataset/NAME"),
        (["table", "source", "--out=source"], "source exists: choose another --out, or replace it with --overwrite"),
        (["table", "source", "--out=source", "--overwrite"], "source: --overwrite would remove the source source"),
        (["table", "source/log.csv", "--out=source", "--overwrite"], "--overwrite would remove the source source/log."),
        (["table", "source", "--out=home", "--overwrite"], "home holds no dataset (*.inter), so --overwrite leaves i"),
        (["table", "source", "--out=source/log.csv", "--overwrite"], "source/log.csv is not a folder of its own"),
        (["table", "source", "--out=source/log.csv/toy"], "source/log.csv is not a folder: choose another --out"),
    ],
)  # fmt: skip
def test_mistakes_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    make(tmp_path / "source", {**CSV, "x.txt": ""})
    make(tmp_path / "home", {"letter.txt": "dear"})
    assert message in mistake(capsys, *arguments)


def test_help_shows_every_layout(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["convert", "--help"]) == 0
    shown = capsys.readouterr().out
    for word in (
        "mmrec",
        "diffmm",
        "mmssl",
        "microlens",
        "table",
        "trnMat.pkl",
        "x_label",
        "*pairs*.csv",
        "--overwrite",
    ):
        assert word in shown


def test_overwrite_replaces_the_old_set_only_by_a_complete_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["convert", "table", str(make(tmp_path / "source", CSV)), "--out=dataset/toy"]
    assert cli.main(command) == 0
    old = Path("dataset/toy/toy.inter").read_text()
    make(tmp_path / "source", {"log.csv": "user,item,timestamp\na,0,5\nNA,1,6\n"})
    capsys.readouterr()
    assert "line 3: user 'NA'" in mistake(capsys, *command[1:], "--overwrite")
    assert Path("dataset/toy/toy.inter").read_text() == old
    make(tmp_path / "source", {"log.csv": "user,item,timestamp\nc,0,5\n"})
    assert cli.main([*command, "--overwrite"]) == 0
    assert Path("dataset/toy/toy.inter").read_text().splitlines()[1:] == ["c\t0\t5"]
    assert [path.name for path in Path("dataset").iterdir()] == ["toy"]


@pytest.mark.parametrize("name", ["_write_items", "_write_features", "_write_interactions"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_interruption_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, overwrite: bool
) -> None:
    command = ["convert", "table", str(make(tmp_path / "source", {**CSV, "image.npy": TWO})), "--out=made/here/toy"]
    if overwrite:
        assert cli.main(command) == 0
        command += ["--overwrite"]
    before = {path: path.is_file() and path.read_bytes() for path in sorted(tmp_path.rglob("*"))}
    done = getattr(writer, name)

    def interrupted(*arguments: Any) -> None:
        done(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, name, interrupted)
    assert cli.main(command) == 130
    assert {path: path.is_file() and path.read_bytes() for path in sorted(tmp_path.rglob("*"))} == before


def test_an_interruption_between_two_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_batches, "_BLOCK", 40)
    rows = [f"u{row},{row},{row}\n" for row in range(50)]
    source = make(tmp_path / "source", {"log.csv": "user,item,timestamp\n" + "".join(rows)})
    seen: list[list[str]] = []
    write = writer._write_interactions

    def stopped(source: Source, folder: Path, *more: Any) -> Any:
        def some() -> Any:
            for part, batch in source.interactions:
                yield part, batch
                seen.append(sorted(path.name for path in folder.parent.iterdir()))
                if len(seen) == 3:
                    raise KeyboardInterrupt

        return write(Source(source.place, source.fields, some(), source.split, source.features), folder, *more)

    monkeypatch.setattr(writer, "_write_interactions", stopped)
    assert cli.main(["convert", "table", str(source), "--out=dataset/toy"]) == 130
    assert [name[:5] for names in seen for name in names] == [".toy."] * 3
    assert not Path("dataset").exists()


def test_the_old_set_comes_back_if_the_exchange_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = make(tmp_path / "toy", {"toy.inter": "old"})
    rename = Path.rename

    def interrupted(path: Path, to: Path) -> Path:
        if to == target and path.suffix != ".old":
            raise KeyboardInterrupt
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), staging.staged(target, True, tmp_path / "source") as folder:
        (folder / "toy.inter").write_text("new")
    assert os.listdir(tmp_path) == ["toy"]
    assert (target / "toy.inter").read_text() == "old"


def test_nothing_is_left_if_the_old_set_is_being_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = make(tmp_path / "toy", {"toy.inter": "old"})
    remove = staging.shutil.rmtree
    calls: list[Path] = []

    def interrupted(path: Path, ignore_errors: bool) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(staging.shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt), staging.staged(target, True, tmp_path / "source") as folder:
        (folder / "toy.inter").write_text("new")
    assert os.listdir(tmp_path) == ["toy"]
    assert (target / "toy.inter").read_text() == "new"


def test_lines_are_those_of_the_file_in_later_blocks_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_batches, "_BLOCK", 64)
    rows = [f"u{row},{row % 5},{row}\n" + "\n" * (row % 3 == 0) for row in range(100)]
    rows[80] = "u80,0,late\n"
    make(tmp_path / "source", {"log.csv": "user,item,timestamp\n" + "".join(rows)})
    line = 1 + sum(row.count("\n") for row in rows[:81])
    assert f"log.csv, line {line}: timestamp 'late'" in mistake(capsys, "table", "source", "--out=dataset/toy")


def test_a_large_file_has_a_progress_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_batches, "_SHOWN_FROM", 0)
    table = {"user": ["a"], "item": [1]}
    source = make(tmp_path / "source", {**CSV, "other.parquet": table})
    assert cli.main(["convert", "table", str(source / "log.csv"), "--out=dataset/toy"]) == 0
    assert "log.csv: 100%" in (shown := capsys.readouterr().err)
    assert f"{len(CSV['log.csv'])}.0/{len(CSV['log.csv'])}.0" in shown
    assert cli.main(["convert", "table", str(source / "other.parquet"), "--out=dataset/more"]) == 0
    assert "1.00/1.00" in capsys.readouterr().err
