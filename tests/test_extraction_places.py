"""Where a dataset lies and which items it has: without an item file, split, or inside RecBole."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from toy_items import TITLES, run_extract, toy_dataset

from recbole_mm.base.errors import InputError
from recbole_mm.commands import cli
from recbole_mm.configuration.request import Request, configure
from recbole_mm.data.folder import DatasetFolder
from recbole_mm.extraction.extract import extract
from recbole_mm.extraction.settings import CARRIED, find_dataset
from recbole_mm.extraction.sources import Sources
from recbole_mm.extraction.text import Tfidf
from recbole_mm.training.build import load_dataset


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    return toy_dataset(tmp_path / "toy")


def write_titles(file: Path) -> Path:
    file.write_text("item_id\ttitle\n" + "".join(f"{item}\t{title}\n" for item, title in TITLES.items()))
    return file


def test_items_of_the_interactions(folder: DatasetFolder) -> None:
    """They are taken where there is no item file, in the order of the file; of parts in the order of the setting."""
    place = str(folder.path.parent)
    assert find_dataset(place, "toy").item_ids() == list("abcdef")
    folder.item_file.unlink()
    whole = folder.path / "toy.inter"
    whole.write_text("user_id:token\titem_id:token\nu\tc\nv\ta\nu\ta\nu\tb\n")
    assert find_dataset(place, "toy").item_ids() == ["c", "a", "b"]
    for part, item in {"train": "d", "valid": "e", "test": "f"}.items():
        (folder.path / f"toy.{part}.inter").write_text(f"item_id:token\n{item}\n")
    assert find_dataset(place, "toy").item_ids() == ["c", "a", "b"]
    whole.unlink()
    assert find_dataset(place, "toy").item_ids() == ["d", "e", "f"]
    (folder.path / "toy.yaml").write_text("benchmark_filename: [valid, test, train]\n")
    assert find_dataset(place, "toy").item_ids() == ["e", "f", "d"]
    (folder.path / "toy.yaml").write_text("ITEM_ID_FIELD: film\nfield_separator: ','\n")
    (folder.path / "toy.train.inter").write_text("film:token,time:float\n7,1\n")
    for part in ("valid", "test"):
        (folder.path / f"toy.{part}.inter").unlink()
    assert find_dataset(place, "toy").item_ids() == ["7"]
    (folder.path / "toy.train.inter").unlink()
    with pytest.raises(InputError, match=r"neither toy.item nor toy.inter is there"):
        find_dataset(place, "toy")
    with pytest.raises(InputError, match=r"none does not exist: give the name of a dataset in --data_path"):
        find_dataset(place, "none")
    (folder.path / "toy.yaml").write_text("[1")
    with pytest.raises(InputError, match=r"toy.yaml is not valid yaml: while parsing a flow sequence"):
        find_dataset(place, "toy")


def test_a_dataset_without_an_item_file(
    folder: DatasetFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.item_file.unlink()
    given = ["--modality=words", "--encoder=tfidf"]
    assert run_extract(folder, *given, "--source=title") == 2
    assert "texts are columns of it; add it, or give a table, FILE.tsv:COLUMN" in capsys.readouterr().err
    assert run_extract(folder, *given, f"--source={write_titles(tmp_path / 'titles.tsv')}:title") == 0
    assert (folder.path / "words.ids").read_text().split() == ["a", "b", "c", "d"]
    inspect = ["inspect", "toy", f"--data_path={tmp_path}", "--topk=[2]", "--valid_metric=NDCG@2"]
    assert cli.main(inspect) == 0
    assert "words: tfidf of" in capsys.readouterr().out


def test_ids_are_written_in_the_encoding_of_the_dataset(folder: DatasetFolder) -> None:
    for ending in ("inter", "item"):
        file = folder.path / f"toy.{ending}"
        file.write_text(re.sub(r"(?m)^(u\d\t)?([a-f])\t", r"\1é\2\t", file.read_text()), encoding="latin-1")
    (folder.path / "toy.yaml").write_text("encoding: latin-1\nload_col: {inter: [user_id, item_id, timestamp]}\n")
    assert run_extract(folder, "--modality=words", "--source=title", "--encoder=tfidf") == 0
    assert (folder.path / "words.ids").read_text(encoding="latin-1").split() == ["éa", "éb", "éc", "éd"]
    config = configure(Request(model="MHCR", dataset="toy", settings={"data_path": str(folder.path.parent)}))
    assert load_dataset(config).modality_mask("words").sum() == 4


def test_an_id_that_the_encoding_lacks_is_refused_before_anything_is_encoded(folder: DatasetFolder) -> None:
    features, sources = folder.path / "words.npy", Sources({"a": "red bike", "č": "red bike"}, {})
    with pytest.raises(InputError, match="item 'č' cannot be written in latin-1: set encoding to utf-8"):
        extract(Tfidf(), sources, "title", features, encoding="latin-1")
    assert not list(folder.path.glob("*words*"))


def test_ml_100k_gets_modalities_beside_recbole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written into RecBole; the settings in data_path name the features in full."""
    before = sorted(CARRIED.rglob("*"))
    table = tmp_path / "films.tsv"
    table.write_text('item_id\ttitle\n1\t"Toy Story"\n2\tGoldenEye story\n3\ttoy\n1683\tnone\n')
    place, given = tmp_path / "data", ["features", "extract", "ml-100k", f"--data_path={tmp_path / 'data'}"]
    assert cli.main([*given, "--modality=text", f"--source={table}:title", "--encoder=tfidf"]) == 0
    out = capsys.readouterr().out
    assert "text.npy: 3 of 1,682 items, 2 numbers each" in out
    assert f"ml-100k lies inside RecBole; {place / 'ml-100k' / 'ml-100k.yaml'} now says which modalities it has" in out
    assert cli.main([*given, "--modality=kind", "--source=class", "--encoder=tfidf"]) == 0
    assert sorted(CARRIED.rglob("*")) == before
    file = place / "ml-100k" / "ml-100k.yaml"
    text = {key: str(place / "ml-100k" / f"text.{end}") for key, end in (("file", "npy"), ("ids", "ids"))}
    assert yaml.safe_load(file.read_text())["modalities"]["text"] == text
    config = configure(Request(model="MHCR", dataset="ml-100k", settings={"data_path": str(place)}))
    assert list(config["modalities"]) == ["text", "kind"]
    capsys.readouterr()
    assert cli.main(["inspect", "ml-100k", f"--data_path={place}"]) == 0
    out = capsys.readouterr().out
    assert f"text: tfidf of {table}:title" in out
    assert "kind: tfidf of class" in out
    assert np.load(place / "ml-100k" / "text.npy").shape == (3, 2)
    file.write_text("# mine\n")
    assert cli.main([*given, "--modality=more", f"--source={table}:title", "--encoder=tfidf"]) == 0
    assert f"under modalities: more: {{file: {place / 'ml-100k' / 'more.npy'}, ids: " in capsys.readouterr().out
