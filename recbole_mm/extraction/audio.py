"""Vectors of sound without weights: means and standard deviations of log-mel bands, and of their changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recbole_mm.extraction.encoder import Encoder, Provenance, Unreadable, optional

RATE = 16_000  # samples a second
WINDOW, HOP = 400, 160  # samples: 25 ms every 10 ms
BANDS = 64
LOW, HIGH = 60.0, 7_600.0  # Hz
FLOOR = 1e-6  # of a band's energy
LONGEST = 120  # seconds that are read


class LogMel(Encoder):
    """Of each of 64 mel bands the mean and the standard deviation over time, and those of its change; 256 numbers."""

    endings = (".wav", ".mp3", ".flac", ".ogg", ".m4a", ".aac", ".opus", ".mp4", ".mkv", ".webm", ".mov")

    def __init__(self) -> None:
        self.av = optional("av", "pip install 'recbole-mm[video]'")
        self.filters = mel_filters()

    @property
    def provenance(self) -> Provenance:
        told = f"mono, {RATE} Hz, the first {LONGEST} s, {BANDS} log-mel bands every {1000 * HOP // RATE} ms"
        return Provenance(
            "logmel", f"{told}, mean and standard deviation of bands and changes", libraries=("av", "numpy")
        )

    def read(self, source: Any) -> np.ndarray:  # (n_samples,)
        found, n_samples, most = list[np.ndarray](), 0, LONGEST * RATE
        try:
            with self.av.open(str(source)) as container:
                to_mono = self.av.AudioResampler(format="flt", layout="mono", rate=RATE)
                for frame in container.decode(audio=0):
                    heard = [part.to_ndarray().reshape(-1) for part in to_mono.resample(frame)]
                    found += heard
                    n_samples += sum(map(len, heard))
                    if n_samples >= most:
                        break
        except Exception as error:  # broken bytes fail in many ways
            raise Unreadable(f"cannot be read as sound ({' '.join(str(error).split())[:120]})") from error
        samples = np.concatenate([*found, np.zeros(0, dtype=np.float32)])[:most]
        if len(samples) < WINDOW + HOP:
            raise Unreadable("is shorter than two windows of 25 ms")
        return samples

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        return np.stack([statistics(log_mel(samples, self.filters)) for samples in batch])


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
