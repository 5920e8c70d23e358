"""`recbole-mm features extract`: vectors of what items have, their card, and what happens to items without."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from toy_items import TITLES, run_extract, toy_dataset

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import folder_lock
from recbole_mm.commands import cli
from recbole_mm.data.folder import DatasetFolder
from recbole_mm.extraction.card import read_card
from recbole_mm.extraction.encoder import Encoder, Provenance, Unreadable
from recbole_mm.extraction.encoders import encoder_of
from recbole_mm.extraction.extract import extract
from recbole_mm.extraction.sources import Sources, files, texts
from recbole_mm.extraction.text import Tfidf


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    return toy_dataset(tmp_path / "toy")


class Lengths(Encoder):
    """The length of a text; it can be told to fail, as a process that is killed, after some batches."""

    def __init__(self, ends_after: int = 10**9) -> None:
        self.encoded, self.ends_after = list[str](), ends_after

    @property
    def provenance(self) -> Provenance:
        return Provenance("lengths", "none")

    def read(self, source: Any) -> Any:
        if "tent" in source:
            raise Unreadable("it is of a tent")
        return source

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        if len(self.encoded) >= self.ends_after:
            raise KeyboardInterrupt
        self.encoded += batch
        return np.array([[len(text), np.nan if text == "unicorn" else 1] for text in batch], dtype=np.float32)


def test_texts_are_columns_of_the_item_file(folder: DatasetFolder) -> None:
    found = texts(folder, ["title"])
    assert found.of == {item: title for item, title in TITLES.items() if title}
    assert found.without == {"e": "title empty"}
    assert texts(folder, ["title", "kind"]).of["b"] == "Red bike. 1"
    assert texts(folder, ["title", "kind"]).of["e"] == "0"
    with pytest.raises(InputError, match=r"no column titel but item_id, title, kind.*Did you mean 'title'"):
        texts(folder, ["titel"])
    folder.item_file.unlink()
    with pytest.raises(InputError, match="texts are columns of it"):
        texts(folder, ["title"])


def test_files_bear_the_id_of_their_item(folder: DatasetFolder, tmp_path: Path) -> None:
    place = tmp_path / "images"
    place.mkdir()
    for name in ("a.jpg", "b.PNG", "b.txt", "z.jpg"):
        (place / name).touch()
    found = files(folder, place, (".jpg", ".png"))
    assert found == Sources({"a": place / "a.jpg", "b": place / "b.PNG"}, dict.fromkeys("cdef", "no file"), foreign=1)
    (place / "a.png").touch()
    with pytest.raises(InputError, match=r"a.png and a.jpg are both of item 'a'"):
        files(folder, place, (".jpg", ".png"))
    with pytest.raises(InputError, match=r"no file that ends in .mp4"):
        files(folder, place, (".mp4",))
    (folder.path / "toy.item").write_text("item_id:token\na\n")
    with pytest.raises(InputError, match=r"no file is named as an item, such as b.txt where there is an item 'a'"):
        files(DatasetFolder(folder.path, "toy"), place, (".txt",))


def test_tfidf_is_of_words_that_two_items_have(folder: DatasetFolder) -> None:
    """Items of the same words that others have, too, are alike; those without any have no row."""
    encoder = Tfidf()
    sources = texts(folder, ["title"]).of
    assert encoder.fit(sources) == {"f": "no word that another item has"}
    a, b, c, d = encoder.encode([sources[item] for item in "abcd"])
    np.testing.assert_array_equal(a, b)  # "lamp" and "pole" are of one item each
    np.testing.assert_array_equal(c, d)
    assert abs(a @ c) < 1e-6
    assert np.linalg.norm(a) == pytest.approx(1)


def test_rows_ids_and_the_items_without(folder: DatasetFolder) -> None:
    features = folder.path / "length.npy"
    card = extract(Lengths(), texts(folder, ["title"]), "title", features, batch_size=2)
    np.testing.assert_array_equal(np.load(features), [[13, 1], [8, 1]])
    assert features.with_suffix(".ids").read_text().split() == ["a", "b"]
    report = dict(line.split("\t") for line in features.with_suffix(".missing.txt").read_text().splitlines())
    assert report == {
        "e": "title empty", "c": "it is of a tent", "d": "it is of a tent", "f": "its vector is not finite",
    }  # fmt: skip
    assert (card.items, card.rows, card.dim) == (6, 2, 2)
    assert card.missing == {"it is of a tent": 2, "title empty": 1, "its vector is not finite": 1}
    assert read_card(features) == card
    assert not list(folder.path.glob(".*.parts"))


def test_an_extraction_that_was_killed_goes_on(folder: DatasetFolder) -> None:
    features, sources = folder.path / "length.npy", Sources({str(i): "x" * i for i in range(1, 8)}, {})
    with pytest.raises(KeyboardInterrupt):
        extract(Lengths(ends_after=4), sources, "title", features, batch_size=2)
    assert not features.exists()
    rest = Lengths()
    extract(rest, sources, "title", features, batch_size=2)
    assert rest.encoded == ["x" * i for i in range(5, 8)]
    assert np.load(features)[:, 0].tolist() == list(range(1, 8))
    with pytest.raises(KeyboardInterrupt):
        extract(Lengths(ends_after=4), sources, "title", features, batch_size=2)
    others, changed = Lengths(), Sources(sources.of | {"1": "other"}, {})
    extract(others, changed, "title", features, batch_size=2)
    assert len(others.encoded) == 7, "batches of other sources are not taken"
    assert np.load(features)[0, 0] == 5


def test_batches_that_were_kept_are_of_the_items_in_their_order(folder: DatasetFolder) -> None:
    features, sources = folder.path / "length.npy", Sources({str(i): "x" * i for i in range(1, 8)}, {})
    with pytest.raises(KeyboardInterrupt):
        extract(Lengths(ends_after=4), sources, "title", features, batch_size=2)
    extract(Lengths(), Sources(dict(reversed(sources.of.items())), {}), "title", features, batch_size=2)
    assert features.with_suffix(".ids").read_text().split() == list("7654321")
    assert np.load(features)[:, 0].tolist() == [7, 6, 5, 4, 3, 2, 1]


def test_batches_of_other_items_are_refused(folder: DatasetFolder) -> None:
    features, sources = folder.path / "length.npy", Sources({str(i): "x" * i for i in range(1, 8)}, {})
    with pytest.raises(KeyboardInterrupt):
        extract(Lengths(ends_after=4), sources, "title", features, batch_size=2)
    first, second = sorted((folder.path / ".length.parts").glob("*.npz"))
    shutil.copy(first, second)
    with pytest.raises(InputError, match=r"\.length\.parts: the batches in it are not of these items; remove it"):
        extract(Lengths(), sources, "title", features, batch_size=2)
    assert not features.exists()


def test_nothing_that_can_be_encoded(folder: DatasetFolder) -> None:
    with pytest.raises(InputError, match=r"title: nothing could be encoded \(it is of a tent\)"):
        extract(Lengths(), Sources({"c": "blue tent"}, {}), "title", folder.path / "length.npy")
    assert not (folder.path / "length.npy").exists()


def test_the_command(
    folder: DatasetFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it makes is a modality of the dataset, and `inspect` shows how it was made."""
    monkeypatch.chdir(folder.path.parent)
    given = ["--modality=words", "--source=title", "--encoder=tfidf"]
    assert run_extract(folder, *given) == 0
    out = capsys.readouterr().out
    assert "words.npy: 4 of 6 items, 4 numbers each" in out
    assert "1 without a row: title empty" in out
    described = yaml.safe_load((folder.path / "toy.yaml").read_text())
    assert described["modalities"] == {"words": {"file": "words.npy", "ids": "words.ids"}}
    assert described["load_col"] == {"inter": ["user_id", "item_id", "timestamp"]}
    inspect = ["inspect", "toy", f"--data_path={folder.path.parent}", "--topk=[2]", "--valid_metric=NDCG@2"]
    assert cli.main(inspect) == 0
    out = capsys.readouterr().out
    assert "words: tfidf of title, lower case" in out
    assert "no card" not in out
    assert "What the features were made by" in (folder.path.parent / "inspect-toy.html").read_text()
    (folder.path / "words.npy.card.json").write_text("{}")
    assert cli.main(inspect) == 0
    assert "no card says what made it" in capsys.readouterr().out
    assert run_extract(folder, *given) == 2
    assert "words.npy exists: choose another --modality" in capsys.readouterr().err
    assert run_extract(folder, *given, "--overwrite") == 0
    card = json.loads((folder.path / "words.npy.card.json").read_text())
    assert card["encoder"] == "tfidf"
    assert set(card["versions"]) == {"recbole-mm", "scikit-learn", "numpy", "scipy"}


def test_ctrl_c_says_how_to_go_on(
    folder: DatasetFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--modality=length", "--source=title", "--encoder=tfidf", "--batch-size=1"]
    for encoder, code in ((Lengths(ends_after=2), 130), (rest := Lengths(), 0)):
        monkeypatch.setattr("recbole_mm.commands.features_extract.encoder_of", lambda *_, one=encoder: one)
        assert run_extract(folder, *given) == code
        assert ("the same command goes on from there" in capsys.readouterr().out) == (code == 130)
    assert rest.encoded == ["unicorn"], "a and b were kept; c and d cannot be read"


@pytest.mark.parametrize("ends", ["replace_text", "write_card"])
def test_an_extraction_that_was_killed_while_it_wrote_goes_on(
    ends: str, folder: DatasetFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--modality=words", "--source=title", "--encoder=tfidf"]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"recbole_mm.extraction.outputs.{ends}", killed)
        assert run_extract(folder, *given) == 130
    assert (folder.path / "words.ids").exists()
    assert run_extract(folder, *given) == 0
    assert (folder.path / "words.npy.card.json").exists()
    assert run_extract(folder, *given) == 2, "it is finished"


def test_rows_never_lie_beside_the_ids_of_others(folder: DatasetFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["--modality=words", "--source=title", "--encoder=tfidf"]
    assert run_extract(folder, *given) == 0

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("recbole_mm.extraction.outputs.np.save", killed)
    assert run_extract(folder, *given, "--overwrite") == 130
    assert not (folder.path / "words.ids").exists()


@pytest.mark.parametrize("ending", ["npy", "ids", "missing.txt", "npy.card.json"])
def test_no_file_is_replaced_that_was_there(
    ending: str, folder: DatasetFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    given, file = ["--modality=words", "--source=title", "--encoder=tfidf"], folder.path / f"words.{ending}"
    file.write_text("mine")
    assert run_extract(folder, *given) == 2
    assert f"words.{ending} exists: choose another --modality, or replace it with" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert run_extract(folder, *given, "--overwrite") == 0


@pytest.mark.parametrize(
    ("described", "taken"),
    [
        ("words: {file: words.safetensors, ids: words.ids}", "words.ids"),
        ("words: {file: words.npy, ids: other.ids}", "words.npy"),
        ("image: {file: image.npy, ids: words.ids}", "words.ids"),
        ("image: {file: words.npy, ids: words.ids}", "words.ids and words.npy"),
        ("image: {file: words.npy}", "words.npy"),
    ],
)
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_files_of_other_features_are_never_replaced(
    described: str, taken: str, overwrite: list[str], folder: DatasetFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder.path / "toy.yaml").write_text(f"modalities:\n  {described}\n")
    (folder.path / "words.ids").write_text("b\na\n")
    assert run_extract(folder, "--modality=words", "--source=title", "--encoder=tfidf", *overwrite) == 2
    (line,) = capsys.readouterr().err.splitlines()
    name, _, spec = described.partition(": ")
    assert f"toy.yaml: modality '{name}' is {spec}, and {taken} would be replaced: choose another" in line
    assert (folder.path / "words.ids").read_text() == "b\na\n"


@pytest.mark.parametrize(
    "described", ["{file: words.npy}", "{file: words.npy, ids: words.ids, normalize: none}", "{file: other.npy}"]
)
def test_a_modality_that_is_described_is_not_described_anew(
    described: str, folder: DatasetFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder.path / "toy.yaml"
    file.write_text(f"modalities:\n  words: {described}\n")
    before = file.read_text()
    assert run_extract(folder, "--modality=words", "--source=title", "--encoder=tfidf") == 0
    assert file.read_text() == before
    assert ("write into" in capsys.readouterr().out) == ("words.ids" not in described)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("modalities: [image]", r"toy.yaml: modalities is \['image'\]: it must name each with its features, such as"),
        ("modalities: {image: image.npy}", r"toy.yaml: modality 'image': give either a file or a computation"),
        ("modalities: {image: {file: 5}}", r"toy.yaml: modality 'image': file must be a text, not 5"),
        ("encoding: foo", "toy.yaml: encoding is 'foo': it must be an encoding that Python knows, such as utf-8"),
        ("encoding: 8", "toy.yaml: encoding is 8: it must be an encoding that Python knows, such as utf-8"),
        ("seed: 1\nseed: 2", "toy.yaml, lines 1 and 2: duplicate key 'seed'; keep one"),
        ("since: 2026-13-01", "toy.yaml is not valid yaml: month must be in 1..12"),
    ],
)
def test_a_yaml_that_is_wrong_is_refused_before_anything_is_encoded(
    written: str, message: str, folder: DatasetFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder.path / "toy.yaml").write_text(f"{written}\n")
    assert run_extract(folder, "--modality=words", "--source=title", "--encoder=tfidf") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line
    assert not list(folder.path.glob("*words*"))


def test_a_yaml_with_comments_is_not_touched(folder: DatasetFolder, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder.path / "toy.yaml"
    file.write_text("# mine\nload_col: {inter: [user_id, item_id, timestamp]}\n")
    before = file.read_text()
    assert run_extract(folder, "--modality=words", "--source=title", "--encoder=tfidf") == 0
    assert file.read_text() == before
    assert "under modalities: words: {file: words.npy, ids: words.ids}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source=title", "--encoder=tfid"], "unknown kind 'tfid'; choose from tfidf, .*Did you mean 'tfidf'"),
        (["--source=title", "--encoder=tfidf:x"], "tfidf takes no weights"),
        (["--source=title", "--encoder=sentences"], "give its weights, sentences:FOLDER or sentences:PACKAGE"),
        (["--source=title", "--encoder=sentences:no-such"], "no folder and no installed package"),
        (["--source=title", "--encoder=video"], "write video:ENCODER, an encoder of images"),
        (["--source=title", "--encoder=tfidf", "--batch-size=0"], "--batch-size=0: at least 1"),
        (["--source=title", "--encoder=tfidf", "--modality=my-words"], "letters, digits and _"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    options: list[str], message: str, folder: DatasetFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    given = options if any("--modality" in option for option in options) else ["--modality=words", *options]
    assert run_extract(folder, *given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line


def test_parts_are_of_one_command_at_a_time(folder: DatasetFolder) -> None:
    features = folder.path / "length.npy"
    words = "another command works in this folder"
    with folder_lock(folder.path / ".length.parts"), pytest.raises(InputError, match=words):
        extract(Lengths(), texts(folder, ["title"]), "title", features)


def test_sentences_by_weights_that_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Model:
        def __init__(self, place: str, device: str, local_files_only: bool) -> None:
            asked.append((place, device, local_files_only))

        def get_max_seq_length(self) -> int:
            return 128

        def encode(self, texts: list[str], **_: object) -> np.ndarray:
            return np.array([[len(text), 2.0] for text in texts])

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Model))
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"1")
    encoder = encoder_of(f"sentences:{weights}", "cpu")
    assert asked == [(str(weights), "cpu", True)]
    assert encoder.encode(["abc"]).tolist() == [[3, 2]]
    before = encoder.provenance.weights_sha256
    (weights / "model.safetensors").write_bytes(b"2")
    assert encoder.provenance.weights_sha256 != before
    encoder_of("sentences:all-MiniLM", "cpu", download=True)
    assert asked[-1] == ("all-MiniLM", "cpu", False)
