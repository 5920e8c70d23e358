"""Sources that are tables: texts with quotes and tabs, paths of files, and what is wrong with a table."""

from __future__ import annotations

import csv
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_items import run_extract, toy_dataset

from recbole_mm.base.errors import InputError
from recbole_mm.data.folder import DatasetFolder
from recbole_mm.extraction.item_tables import named_table
from recbole_mm.extraction.sources import Sources, find_sources

ROWS = [
    ("item_id", "title", "plot"),
    ("a", '"The Lamp" (1995)', 'it\'s a "lamp"'),
    ("c", " tent, blue ", ""),
    ("d", "", ""),
    ("z", "of no item", "x"),
    ("b", "NA", "null"),
]
WITHOUT = {"d": "title and plot empty", "e": "no row in {}", "f": "no row in {}"}


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    return toy_dataset(tmp_path / "toy")


def write_table(file: Path, rows: list[tuple[str, ...]]) -> Path:
    """Write rows in the form that the name of a file says."""
    name, packed = file.name.removesuffix(".gz"), file.name.endswith(".gz")
    with gzip.open(file, "wt", encoding="utf-8") if packed else file.open("w", encoding="utf-8", newline="") as stream:
        if name.endswith(".csv"):
            csv.writer(stream).writerows(rows)
        elif name.endswith(".tsv"):
            stream.writelines("\t".join(row) + "\n" for row in rows)
        else:
            stream.writelines(json.dumps(dict(zip(rows[0], row, strict=True))) + "\n" for row in rows[1:])
    return file


@pytest.mark.parametrize("name", ["t.tsv", "t.csv", "t.jsonl", "t.json", "t.tsv.gz", "t.csv.gz", "t.jsonl.gz"])
def test_texts_of_a_table(name: str, folder: DatasetFolder, tmp_path: Path) -> None:
    """They come in the order of the dataset's items, with every quote, and without blanks around them."""
    found = find_sources(folder, f"{write_table(tmp_path / name, ROWS)}:title,plot", ())
    assert list(found.of.items()) == [
        ("a", '"The Lamp" (1995). it\'s a "lamp"'), ("b", "NA. null"), ("c", "tent, blue"),
    ]  # fmt: skip
    assert found.without == {item: reason.format(name) for item, reason in WITHOUT.items()}
    assert (found.foreign, found.kind) == (1, f"rows of {name}")


def test_cells_of_other_kinds(folder: DatasetFolder, tmp_path: Path) -> None:
    """A csv has line breaks and tabs in quotes; JSON has lists, numbers, null and keys that are left out."""
    file = tmp_path / "t.csv"
    file.write_bytes('\ufeffasin,text\r\na,"one\r\ntwo\tthree"\r\n\r\nb,"say ""no"""\r\n'.encode())
    assert find_sources(folder, f"{file}:text", ()).of == {"a": "one\r\ntwo\tthree", "b": 'say "no"'}
    file = tmp_path / "t.jsonl"
    lines = ['{"id": "a", "text": ["one", "", "two"]}', "", '{"id": "b", "year": 1995}', '{"id": "c", "text": null}']
    file.write_text("\n".join(lines))
    found = find_sources(folder, f"{file}:text,year", ())
    assert found.of == {"a": "one two", "b": "1995"}
    assert found.without["c"] == "text and year empty"


def test_a_source_that_names_a_table() -> None:
    assert named_table("a/b.tsv:x, y") == (Path("a/b.tsv"), ["x", "y"])
    assert named_table(r"C:\a.csv.gz:title:token_seq") == (Path(r"C:\a.csv.gz"), ["title:token_seq"])
    assert named_table("title,description") is named_table("posters/") is named_table("a.tsv") is None


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("t.tsv", "item_id\tt\na\tx\nb\ty\na\tz\n", ":t", r"t.tsv, lines 2 and 4: duplicate item 'a'; keep one"),
        ("t.csv", 'i,t\na,"x\ny"\na,z\n', ":t", r"t.csv, lines 2 and 4: duplicate item 'a'"),
        ("t.jsonl", '{"i": "a"}\n\n{"i": "a"}\n', ":i", r"t.jsonl, lines 1 and 3: duplicate item 'a'"),
        ("t.tsv", "item_id\tt\na\tx\ty\n", ":t", "t.tsv, line 2: 3 fields, but the header has 2"),
        ("t.tsv", "item_id\tt\na\n", ":t", "t.tsv, line 2: 1 fields, but the header has 2"),
        (
            "t.tsv",
            "item_id\ttitle\na\tx\n",
            ":titel",
            "t.tsv: no column titel but item_id, title.*Did you mean 'title'",
        ),
        ("t.tsv", "t\tt\na\tx\n", ":t", "t.tsv, line 1: duplicate column 't'"),
        ("t.tsv", "t\titem_id\nx\t\n", ":t", "t.tsv, line 2: item_id is empty; it is the id of the item"),
        (
            "t.tsv",
            "i\tt\n1\tx\n",
            ":t",
            "no row is of an item, such as '1' where there is an item 'a'; ids are in item_id",
        ),
        ("t.csv", 'i,t\na,"x\n', ":t", "t.csv, line 2: unexpected end of data; check the quotes"),
        ("t.jsonl", '[{"i": "a"}]', ":i", "t.jsonl, line 1: no JSON object of texts"),
        ("t.jsonl", '{"i": "a", "t": {"b": 1}}', ":t", "t.jsonl, line 1: no JSON object of texts"),
        ("t.tsv", b"i\tt\na\t\xff\n", ":t", r"t.tsv: not valid UTF-8 \(invalid start byte\)"),
        ("t.tsv.gz", b"no gzip", ":t", "t.tsv.gz: cannot be read"),
        ("t.tsv", "item_id\tt\na\tx\n", "", r"name the columns, .*t.tsv:COLUMN; it has item_id, t$"),
        ("none.tsv", None, ":t", "none.tsv does not exist"),
    ],
)
def test_mistakes_in_a_table_are_one_line(
    name: str, content: str | bytes | None, columns: str, message: str, folder: DatasetFolder, tmp_path: Path
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError) as error:
        find_sources(folder, f"{file}{columns}", ())
    assert "\n" not in str(error.value)
    assert re.search(message, str(error.value)), error.value


def test_files_of_a_table(folder: DatasetFolder, tmp_path: Path) -> None:
    (tmp_path / "covers").mkdir()
    (tmp_path / "covers" / "1.png").touch()
    rows = [("item_id", "cover"), ("b", "covers/1.png"), ("a", "covers/2.png"), ("c", ""), ("x", "covers/1.png")]
    file = write_table(tmp_path / "t.tsv", rows)
    without = {"a": "no file", "c": "cover empty"} | dict.fromkeys("def", "no row in t.tsv")
    expected = Sources({"b": tmp_path / "covers" / "1.png"}, without, 1, "rows of t.tsv")
    assert find_sources(folder, f"{file}:cover", (".png",)) == expected
    with pytest.raises(InputError, match="a table of paths has them in one column"):
        find_sources(folder, f"{file}:cover,item_id", (".png",))
    (tmp_path / "covers" / "1.png").unlink()
    with pytest.raises(
        InputError, match=r"no file of the column cover exists, such as .*covers/2.png; paths are relative"
    ):
        find_sources(folder, f"{file}:cover", (".png",))
    with pytest.raises(InputError, match=r"no such folder; files ITEM_ID.png are to lie in it, or give a table"):
        find_sources(folder, "none", (".png",))


def test_the_command_with_tables(folder: DatasetFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [("item_id", "text"), ("a", 'a "red" lamp'), ("b", 'a "red" bike'), ("y", "red"), ("c", "bike lamp")]
    file = write_table(tmp_path / "words.tsv", texts)
    assert run_extract(folder, "--modality=words", f"--source={file}:text", "--encoder=tfidf") == 0
    out = capsys.readouterr().out
    assert "words.npy: 3 of 6 items, 3 numbers each" in out
    assert "  3 without a row: no row in words.tsv" in out
    assert "  1 rows of words.tsv belong to no item" in out
    assert (folder.path / "words.ids").read_text().split() == ["a", "b", "c"]
    assert json.loads((folder.path / "words.npy.card.json").read_text())["source"] == f"{file}:text"
    Image.new("RGB", (40, 60)).save(tmp_path / "black.png")
    file = write_table(tmp_path / "covers.csv", [("item_id", "cover"), ("b", "black.png"), ("c", "none.png")])
    given = ["--modality=image", f"--source={file}:cover", "--encoder=efficientnet-lite0", "--device=cpu"]
    assert run_extract(folder, *given) == 0
    assert np.load(folder.path / "image.npy").shape == (1, 1280)
    report = dict(line.split("\t") for line in (folder.path / "image.missing.txt").read_text().splitlines())
    assert report == {"c": "no file"} | dict.fromkeys("adef", "no row in covers.csv")
