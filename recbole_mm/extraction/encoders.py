"""Encoders by the names that the command line has for them."""

from __future__ import annotations

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.extraction.audio import LogMel
from recbole_mm.extraction.encoder import Encoder
from recbole_mm.extraction.images import EfficientNetLite0, Images, Timm
from recbole_mm.extraction.kinds import KINDS
from recbole_mm.extraction.text import Sentences, Tfidf
from recbole_mm.extraction.video import Video


def encoder_of(text: str, device: str, download: bool = False) -> Encoder:
    """Return the encoder that ``KIND[:WEIGHTS]`` names.

    Raises
    ------
    InputError
        An unknown kind, a library that is not installed, or weights that cannot be used.
    """
    kind, _, weights = text.partition(":")
    if kind not in KINDS:
        raise InputError(
            f"--encoder={text}: unknown kind '{kind}'; choose from {', '.join(KINDS)}.{nearest(kind, KINDS)}"
        )
    if weights and kind in ("tfidf", "efficientnet-lite0", "logmel"):
        raise InputError(f"--encoder={text}: {kind} takes no weights; write --encoder={kind}")
    if kind == "tfidf":
        return Tfidf()
    if kind == "logmel":
        return LogMel()
    if kind == "sentences":
        return Sentences(weights, device, download)
    if kind == "timm":
        return Timm(weights, device, download)
    if kind == "efficientnet-lite0":
        return EfficientNetLite0(device)
    frames = encoder_of(weights, device, download) if weights else None
    if not isinstance(frames, Images):
        raise InputError(
            f"--encoder={text}: write video:ENCODER, an encoder of images, such as video:efficientnet-lite0"
        )
    return Video(frames)
