"""Vectors of sound: log-mel bands, and networks of `torch.export` that are read without unpickling."""

from __future__ import annotations

import json
import pickle
import re
import wave
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toy_items import run_extract, toy_dataset

from recbole_mm.base.errors import InputError
from recbole_mm.data.folder import DatasetFolder
from recbole_mm.extraction import audio
from recbole_mm.extraction.encoders import encoder_of
from recbole_mm.extraction.exported import ExportedNetwork
from recbole_mm.extraction.extract import extract
from recbole_mm.extraction.sources import files

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    return toy_dataset(tmp_path / "toy")


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


class Loudness(nn.Module):
    """The mean square of samples, and a tenth of their number in 10 ms, in each frame of 10 ms."""

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        n_frames = samples.shape[1] // 160
        frames = samples[:, : 160 * n_frames].reshape(len(samples), n_frames, 160)
        return torch.stack([(frames**2).mean(2), torch.full((len(samples), n_frames), n_frames / 10.0)], 2)


class Mixed(nn.Module):
    """Layers that networks of sound are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.window: torch.Tensor
        self.register_buffer("window", torch.hann_window(400))
        self.constant = torch.arange(201.0)
        self.convolution, self.norm = nn.Conv1d(201, 8, 3, padding=1), nn.BatchNorm1d(8)
        self.transformer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.strided = nn.Linear(8, 8)
        self.strided.weight = nn.Parameter(torch.randn(16, 8)[::2])

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        bands = torch.stft(samples, 400, 160, window=self.window, return_complex=True).abs().log1p()
        hidden = nn.functional.gelu(self.norm(self.convolution(bands + self.constant[None, :, None])))
        places = torch.arange(hidden.shape[2], device=samples.device).to(torch.float32)
        hidden = self.transformer(hidden.transpose(1, 2) + places[:, None] / 100)
        first, _ = hidden.split([4, 4], dim=2)
        largest = hidden.max(1)
        return torch.cat([self.strided(hidden).mean(1), first.mean(1), largest.values], 1)


def export(module: nn.Module, file: Path, fixed: bool = False, batch: int = 1) -> Path:
    lengths: Any = None if fixed else ({1: torch.export.Dim.DYNAMIC},)
    with torch.no_grad():
        program = torch.export.export(module, (torch.zeros(batch, 16_000),), dynamic_shapes=lengths)
    torch.export.save(program, file)
    return file


@pytest.fixture(scope="module")
def loudness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(Loudness().eval(), tmp_path_factory.mktemp("network") / "loudness.pt2")


@pytest.mark.filterwarnings("ignore:No complete tensor found")  # of the strided weights
def test_a_network_gives_what_its_module_gives(tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = Mixed().eval()
    network = ExportedNetwork(export(module, tmp_path / "mixed.pt2"), CPU)
    for length in (1_000, 16_000, 23_456):
        samples = torch.randn(1, length)
        with torch.no_grad():
            torch.testing.assert_close(network(samples), module(samples))


def test_sounds_of_different_lengths(folder: DatasetFolder, tmp_path: Path, loudness: Path) -> None:
    """The mean over time of each; a file that is broken or too short has no row."""
    place = tmp_path / "sound"
    place.mkdir()
    write_sound(place / "a.wav", 1_000.0)
    write_sound(place / "b.wav", 500.0, seconds=2.5)
    write_sound(place / "c.wav", 500.0, seconds=0.01)
    (place / "d.wav").write_bytes(b"no sound")
    given = ["--modality=audio", f"--source={place}", f"--encoder=sound:{loudness}", "--device=cpu"]
    assert run_extract(folder, *given) == 0
    rows = np.load(folder.path / "audio.npy")
    np.testing.assert_allclose(rows, [[(20_000 / 32_768) ** 2 / 2, 10], [(20_000 / 32_768) ** 2 / 2, 25]], rtol=1e-4)
    card = json.loads((folder.path / "audio.npy.card.json").read_text())
    assert card["encoder"] == "sound"
    assert card["weights"] == "loudness.pt2"
    assert card["weights_sha256"] == sha256(loudness.read_bytes()).hexdigest()
    assert card["preprocessing"] == "mono, 16000 Hz, the first 120 s, mean over time"
    assert set(card["versions"]) == {"recbole-mm", "av", "torch"}
    least = ExportedNetwork(loudness, CPU).least
    assert card["missing"][f"is shorter than {least / 16_000:g} s"] == 1
    assert any("cannot be read as sound" in reason for reason in card["missing"])


def changed(file: Path, out: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """Write a copy of an archive in which the JSON file that ends in a name is changed."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            if entry.endswith(name):
                told = json.loads(content)
                change(told)
                content = json.dumps(told).encode()
            new.writestr(entry, content)
    return out


class Touch:
    """Its pickle makes a file where it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_nothing_is_unpickled(tmp_path: Path, loudness: Path) -> None:
    """Torch's own reader would run each of these pickles."""
    mark, evil = tmp_path / "mark", tmp_path / "evil.pt2"
    with zipfile.ZipFile(loudness) as old, zipfile.ZipFile(evil, "w") as new:
        for entry in old.namelist():
            content = pickle.dumps(Touch(mark)) if "sample_inputs" in entry else old.read(entry)
            new.writestr(entry, content)
    ExportedNetwork(evil, CPU)(torch.zeros(1, 16_000))
    meta = {"path_name": "weight_0", "is_param": True, "use_pickle": True, "tensor_meta": None}
    told = changed(
        loudness, tmp_path / "told.pt2", "model_weights_config.json", lambda old: old["config"].update(w=meta)
    )
    with zipfile.ZipFile(told, "a") as archive:
        archive.writestr("told/data/weights/weight_0", pickle.dumps(Touch(mark)))
    with pytest.raises(InputError, match=r"told.pt2: w is pickled, which is not read"):
        ExportedNetwork(told, CPU)
    assert not mark.exists()


@pytest.mark.parametrize(
    "target",
    ["torch.os.system", "torch.load", "torch.ops.aten.save.default", "torch.ops.aten.from_file.default",
     "torch.ops.aten._print.default", "torch.ops.higher_order.cond", "builtins.eval", "torch.ops.aten.__class__.mro"],
)  # fmt: skip
def test_operations_that_are_not_of_tensors_are_refused(target: str, tmp_path: Path, loudness: Path) -> None:
    def change(program: Any) -> None:
        program["graph_module"]["graph"]["nodes"][0]["target"] = target

    file = changed(loudness, tmp_path / "evil.pt2", "model.json", change)
    with pytest.raises(InputError, match=rf"evil.pt2: has the operation {re.escape(target)}, which is not followed"):
        ExportedNetwork(file, CPU)


def test_networks_that_cannot_be_used(
    folder: DatasetFolder, tmp_path: Path, loudness: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sound").mkdir()
    (tmp_path / "no.pt2").write_bytes(b"no archive")
    with zipfile.ZipFile(tmp_path / "other.pt2", "w") as archive:
        archive.writestr("a.txt", "a")
    export(Loudness().eval(), tmp_path / "fixed.pt2", fixed=True)
    export(Loudness().eval(), tmp_path / "pairs.pt2", batch=2)
    export(nn.Sequential(nn.Dropout(0.5)), tmp_path / "training.pt2")
    export(nn.Unflatten(1, (-1, 1, 1)).eval(), tmp_path / "wide.pt2")
    changed(loudness, tmp_path / "new.pt2", "model.json", lambda program: program["schema_version"].update(major=9))
    changed(loudness, tmp_path / "torn.pt2", "model.json", lambda program: program.pop("range_constraints"))
    for file, message in {
        "": "no such file; write sound:FILE.pt2",
        "none.pt2": "none.pt2: no such file",
        "no.pt2": "no .pt2 file can be read (File is not a zip file)",
        "other.pt2": "not of torch.export.save, or of an old one",
        "fixed.pt2": "takes one length alone; export it with dynamic_shapes",
        "pairs.pt2": "its input is (2, ...); it must be (1, samples)",
        "training.pt2": "exported for training; call .eval() on the module first",
        "wide.pt2": "a second of silence becomes (1, 16000, 1, 1); it must be (1, dim) or (1, time, dim)",
        "new.pt2": "its form is 9, 8 is understood",
        "torn.pt2": "not a network of torch.export that is understood here (KeyError: 'range_constraints')",
    }.items():
        encoder = f"--encoder=sound:{tmp_path / file if file else ''}"
        assert run_extract(folder, "--modality=audio", f"--source={tmp_path / 'sound'}", encoder) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
