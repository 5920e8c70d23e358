"""The encoder that a refinement begins with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_mm.base.errors import InputError
from recbole_mm.data.cache import Digests
from recbole_mm.extraction.encoder import content_hash
from recbole_mm.extraction.images import load
from recbole_mm.extraction.timm_library import timm_library
from recbole_mm.extraction.vit import VitCard, read_vit, vit_of


@dataclass(frozen=True, slots=True)
class RefineStart:
    """A vision transformer of timm with a class token, what it is, and the sha256 of its weights."""

    encoder: Any
    card: VitCard
    sha256: str


def start_of(text: str) -> RefineStart:
    """Return the encoder that ``vit:FILE`` or ``timm:MODEL=FILE`` names.

    Raises
    ------
    InputError
        Another kind, a file that cannot be used, or no vision transformer with a class token.
    """
    kind, _, weights = text.partition(":")
    if kind == "vit" and weights:
        encoder, card = read_vit(Path(weights))
        return RefineStart(encoder, card, content_hash(Path(weights), Digests()))
    model, _, file = weights.partition("=")
    if kind != "timm" or not model or not file:
        raise InputError(f"--encoder={text}: write vit:FILE, or timm:MODEL=FILE")
    timm = timm_library()
    if not timm.is_model(model):
        raise InputError(f"--encoder={text}: timm has no model '{model}'; timm.list_models() has all")
    try:
        encoder = vit_of(VitCard(0, model))
    except TypeError:  # a network that is none of timm's vision transformers takes not what they take
        encoder = None
    if not isinstance(encoder, timm.models.vision_transformer.VisionTransformer) or encoder.cls_token is None:
        raise InputError(f"--encoder={text}: '{model}' is no vision transformer with a class token")
    load(encoder, Path(file))
    known = timm.data.resolve_model_data_config(encoder)
    card = VitCard(known["input_size"][-1], model, mean=known["mean"], std=known["std"])
    return RefineStart(encoder, card, content_hash(Path(file), Digests()))
