"""Encoders by the names that the command line has for them."""

from __future__ import annotations

from collections.abc import Callable

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.extraction.audio import LogMel, SoundNetwork
from recbole_mm.extraction.encoder import Encoder
from recbole_mm.extraction.images import EfficientNetLite0, Images, Timm
from recbole_mm.extraction.kinds import FITS, KINDS, NO_WEIGHTS, WITH_FIT
from recbole_mm.extraction.text import Sentences, Tfidf
from recbole_mm.extraction.video import Video
from recbole_mm.extraction.vit import Vit


def encoder_of(text: str, device: str, download: bool = False, fit: str = "") -> Encoder:
    """Return the encoder that ``KIND[:WEIGHTS]`` names.

    Parameters
    ----------
    fit : str
        Of an encoder of images, see `Images`; empty: as it was trained.

    Raises
    ------
    InputError
        An unknown kind, a library that is not installed, weights that cannot be used, or `fit` without images.
    """
    kind, _, weights = text.partition(":")
    if kind not in KINDS:
        raise InputError(
            f"--encoder={text}: unknown kind '{kind}'; choose from {', '.join(KINDS)}.{nearest(kind, KINDS)}"
        )
    if weights and kind in NO_WEIGHTS:
        raise InputError(f"--encoder={text}: {kind} takes no weights; write --encoder={kind}")
    if fit and kind not in WITH_FIT:
        raise InputError(f"--fit={fit}: {kind} has no choice of it, only {', '.join(WITH_FIT)} have; leave it out")
    if kind == "video":
        return _of_frames(text, device, download, fit)
    made: dict[str, Callable[[], Encoder]] = {
        "tfidf": Tfidf,
        "sentences": lambda: Sentences(weights, device, download),
        "timm": lambda: Timm(weights, device, download, fit or FITS[0]),
        "efficientnet-lite0": lambda: EfficientNetLite0(device, fit or FITS[0]),
        "vit": lambda: Vit(weights, device),
        "logmel": LogMel,
        "sound": lambda: SoundNetwork(weights, device),
    }
    return made[kind]()


def _of_frames(text: str, device: str, download: bool, fit: str) -> Video:
    _, _, weights = text.partition(":")
    frames = encoder_of(weights, device, download, fit) if weights else None
    if not isinstance(frames, Images):
        raise InputError(
            f"--encoder={text}: write video:ENCODER, an encoder of images, such as video:efficientnet-lite0"
        )
    return Video(frames)
