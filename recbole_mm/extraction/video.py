"""Vectors of videos: the mean of an image encoder's vectors over frames at equal distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from recbole_mm.extraction.encoder import Encoder, Provenance, Unreadable, optional
from recbole_mm.extraction.images import Images

FRAMES = 8  # of a video, at most


class Video(Encoder):
    """Frames in the middle of `FRAMES` equal parts of a video, each encoded as an image."""

    endings = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".flv", ".ts")

    def __init__(self, images: Images) -> None:
        self.av = optional("av", "pip install 'recbole-mm[video]'")
        self.images = images

    @property
    def provenance(self) -> Provenance:
        own = self.images.provenance
        told = f"the mean over {FRAMES} frames at equal distances, each: {own.preprocessing}"
        libraries = (*own.libraries, "av")
        return Provenance(f"video:{own.encoder}", told, own.weights, own.weights_sha256, libraries)

    def read(self, source: Any) -> torch.Tensor:  # (n_frames, 3, height, width)
        try:
            with self.av.open(str(source)) as container:
                frames = [frame.to_image() for frame in _chosen(container)]
        except Exception as error:  # broken bytes fail in many ways
            raise Unreadable(f"cannot be read as a video ({' '.join(str(error).split())[:120]})") from error
        if not frames:
            raise Unreadable("has no frames")
        return torch.stack([self.images.prepare(frame.convert("RGB")) for frame in frames])

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        rows = self.images.encode(list(torch.cat(list(batch))))
        ends = np.cumsum([len(frames) for frames in batch])[:-1]
        return np.stack([part.mean(0) for part in np.split(rows, ends)])


def _chosen(container: Any) -> list[Any]:
    """Return the frames that are nearest behind the middle of each part."""
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    count = stream.frames or sum(1 for _ in container.decode(stream))
    wanted = {int((part + 0.5) * count / FRAMES) for part in range(FRAMES)} if count else set()
    container.seek(0)
    return [frame for number, frame in enumerate(container.decode(stream)) if number in wanted]
