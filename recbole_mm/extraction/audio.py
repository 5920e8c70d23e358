"""Vectors of sound: statistics of log-mel bands without weights, or what a network of the user makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_mm.base.errors import InputError
from recbole_mm.data.cache import Digests
from recbole_mm.extraction.encoder import Encoder, Provenance, Unreadable, content_hash, optional
from recbole_mm.extraction.exported import ExportedNetwork

RATE = 16_000  # samples a second
WINDOW, HOP = 400, 160  # samples: 25 ms every 10 ms
BANDS = 64
LOW, HIGH = 60.0, 7_600.0  # Hz
FLOOR = 1e-6  # of a band's energy
LONGEST = 120  # seconds that are read


class Sounds(Encoder):
    """Reads sound, mono, `RATE` samples a second, its first `longest` samples."""

    endings = (".wav", ".mp3", ".flac", ".ogg", ".m4a", ".aac", ".opus", ".mp4", ".mkv", ".webm", ".mov")
    longest = LONGEST * RATE

    def __init__(self) -> None:
        self.av = optional("av", "pip install 'recbole-mm[video]'")

    def read(self, source: Any) -> np.ndarray:  # (n_samples,)
        found, n_samples = list[np.ndarray](), 0
        try:
            with self.av.open(str(source)) as container:
                to_mono = self.av.AudioResampler(format="flt", layout="mono", rate=RATE)
                for frame in container.decode(audio=0):
                    heard = [part.to_ndarray().reshape(-1) for part in to_mono.resample(frame)]
                    found += heard
                    n_samples += sum(map(len, heard))
                    if n_samples >= self.longest:
                        break
        except Exception as error:  # broken bytes fail in many ways
            raise Unreadable(f"cannot be read as sound ({' '.join(str(error).split())[:120]})") from error
        return np.concatenate([*found, np.zeros(0, dtype=np.float32)])[: self.longest]


class LogMel(Sounds):
    """Of each of 64 mel bands the mean and the standard deviation over time, and those of its change; 256 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = mel_filters()

    @property
    def provenance(self) -> Provenance:
        told = f"mono, {RATE} Hz, the first {LONGEST} s, {BANDS} log-mel bands every {1000 * HOP // RATE} ms"
        return Provenance(
            "logmel", f"{told}, mean and standard deviation of bands and changes", libraries=("av", "numpy")
        )

    def read(self, source: Any) -> np.ndarray:  # (n_samples,)
        samples = super().read(source)
        if len(samples) < WINDOW + HOP:
            raise Unreadable("is shorter than two windows of 25 ms")
        return samples

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        return np.stack([statistics(log_mel(samples, self.filters)) for samples in batch])


class SoundNetwork(Sounds):
    """A network of a ``.pt2`` file. Sounds differ in length, so that each is encoded by itself, as it is read."""

    def __init__(self, file: str, device: str) -> None:
        super().__init__()
        self.file, self.digests = Path(file), Digests()
        if not self.file.is_file():
            raise InputError(f"--encoder=sound:{file}: no such file; write sound:FILE.pt2")
        self.network = ExportedNetwork(self.file, torch.device(device))
        self.longest = min(self.network.most or self.longest, self.longest)
        try:
            self.vector(np.zeros(min(max(RATE, self.network.least), self.longest), dtype=np.float32))
        except Unreadable as error:
            raise InputError(f"{self.file}: a second of silence {error}") from error

    @property
    def provenance(self) -> Provenance:
        told = f"mono, {RATE} Hz, the first {self.longest / RATE:g} s, mean over time"
        digest = content_hash(self.file, self.digests)
        return Provenance("sound", told, self.file.name, digest, ("av", "torch"))

    def read(self, source: Any) -> np.ndarray:  # (dim,)
        samples = super().read(source)
        if len(samples) < self.network.least:
            raise Unreadable(f"is shorter than {self.network.least / RATE:g} s")
        return self.vector(samples)

    def vector(self, samples: np.ndarray) -> np.ndarray:
        """Return what the network makes of samples (n_samples,), (dim,)."""
        try:
            found = self.network(torch.from_numpy(samples)[None])
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # its operators refuse sizes in many ways
            raise Unreadable(f"cannot be encoded ({' '.join(str(error).split())[:120]})") from error
        if found.ndim not in (2, 3) or len(found) != 1:
            raise Unreadable(f"becomes {tuple(found.shape)}; it must be (1, dim) or (1, time, dim)")
        means: np.ndarray = (found.mean(1) if found.ndim == 3 else found)[0].float().cpu().numpy()
        return means

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        return np.stack(batch)


def mel_filters() -> np.ndarray:
    """Return triangles on the mel scale over the frequencies of a window, (WINDOW // 2 + 1, BANDS)."""
    mel = np.linspace(2595 * np.log10(1 + LOW / 700), 2595 * np.log10(1 + HIGH / 700), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)  # Hz
    frequency = np.fft.rfftfreq(WINDOW, 1 / RATE)[:, None]
    rising = (frequency - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - frequency) / np.diff(edges)[1:]
    triangles: np.ndarray = np.maximum(0, np.minimum(rising, falling))
    return triangles / triangles.sum(0).clip(FLOOR)


def log_mel(samples: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Return the log energy of each band in each window, (n_windows, BANDS)."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * np.hanning(WINDOW)
    energy = np.abs(np.fft.rfft(windows, axis=1)) ** 2 / WINDOW
    bands: np.ndarray = np.log(energy @ filters + FLOOR)
    return bands


def statistics(bands: np.ndarray) -> np.ndarray:
    """Return means and standard deviations over time of bands (n, BANDS) and of their changes, (4 BANDS,)."""
    changes = np.diff(bands, axis=0)
    parts = [bands.mean(0), bands.std(0), changes.mean(0), changes.std(0)]
    return np.concatenate(parts).astype(np.float32)
