"""Vision transformers that `features pretrain` and `features refine` write, and the encoder that reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import replaced
from recbole_mm.extraction.encoder import Provenance, content_hash
from recbole_mm.extraction.images import Images, load
from recbole_mm.extraction.rgb import rgb_of
from recbole_mm.extraction.timm_library import timm_library

METADATA = "recbole_mm"  # of the description in the file's metadata


@dataclass(frozen=True, slots=True)
class VitCard:
    """What a vision transformer is, written into the file of its weights.

    Attributes
    ----------
    model : str
        timm's name, or empty where `width`, `blocks`, `heads` and `patch` say it.
    side : int
        Of the square images it takes, pixels.
    mean, std : sequence of float
        Of the pixels (0 to 1), by channel.
    pool : str
        What the vector of an image is, after the last block and before the final norm: its ``class`` token, or the
        ``mean`` of its patches.
    made : str
        How it was trained.
    """

    side: int
    model: str = ""
    width: int = 0
    blocks: int = 0
    heads: int = 0
    patch: int = 0
    mean: Sequence[float] = (0.5, 0.5, 0.5)
    std: Sequence[float] = (0.5, 0.5, 0.5)
    pool: str = "class"
    made: str = ""


def vit_of(card: VitCard) -> Any:
    """Return a vision transformer of timm with new weights, for images of any side that its patches divide."""
    timm = timm_library()
    if card.model:
        return timm.create_model(card.model, num_classes=0, dynamic_img_size=True)
    return timm.models.vision_transformer.VisionTransformer(
        img_size=card.side, patch_size=card.patch, embed_dim=card.width, depth=card.blocks, num_heads=card.heads,
        num_classes=0, dynamic_img_size=True,
    )  # fmt: skip


def write_vit(file: Path, network: nn.Module, card: VitCard) -> None:
    from safetensors.torch import save_file  # noqa: PLC0415 - it comes with timm

    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with replaced(file) as partial:
        save_file(state, partial, metadata={METADATA: json.dumps(asdict(card))})


def read_vit(file: Path) -> tuple[Any, VitCard]:
    """Return the network of a file and what it is.

    Raises
    ------
    InputError
        The file is none of `features pretrain` or `features refine`.
    """
    timm_library()
    from safetensors import safe_open  # noqa: PLC0415 - it comes with timm

    try:
        with safe_open(file, framework="pt") as stream:
            told = json.loads((stream.metadata() or {})[METADATA])
        card = VitCard(**told | {name: tuple(told[name]) for name in ("mean", "std") if name in told})
        network = vit_of(card)
    except Exception as error:  # broken bytes fail in many ways
        raise InputError(
            f"{file}: no encoder of recbole-mm features pretrain or refine ({' '.join(str(error).split())[:120]})"
        ) from error
    load(network, file)
    return network, card


def tokens_of(network: Any, pixels: Tensor, last: int = 1) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Return what a vision transformer makes of images (n, 3, side, side).

    Returns
    -------
    tuple
        All tokens after the final norm, (n, 1 + n_patches, d); and of the last blocks, without a norm, the patches
        (n, n_patches, d) and the class token (n, 1, d).
    """
    normed, blocks = network.forward_intermediates(
        pixels, indices=last, return_prefix_tokens=True, output_fmt="NLC"
    )  # fmt: skip
    return normed, blocks


def whole_image(image: Any, side: int) -> np.ndarray:
    """Return a PIL image as `rgb_of` has it, scaled to a square, nothing cut off, (side, side, 3) of uint8."""
    return np.array(rgb_of(image).resize((side, side), Image.Resampling.BICUBIC))


class Vit(Images):
    """A vision transformer of `features pretrain` or `features refine`."""

    def __init__(self, weights: str, device: str) -> None:
        if not weights:
            raise InputError("--encoder=vit: give the file that features pretrain or refine wrote, vit:FILE")
        self.file = Path(weights)
        self.network, self.card = read_vit(self.file)
        self.prepare = self._square
        self.place(device)

    @property
    def provenance(self) -> Provenance:
        pool = "class token" if self.card.pool == "class" else "mean of the patches"
        told = f"the whole image scaled to {self.card.side} x {self.card.side}, bicubic, {pool} without the last norm"
        digest = content_hash(self.file, self.digests)
        made = f"vit ({self.card.made})" if self.card.made else "vit"
        return Provenance(made, told, self.file.name, digest, ("timm", "torchvision", "torch", "pillow"))

    def _square(self, image: Any) -> Tensor:  # (3, side, side)
        pixels = torch.from_numpy(whole_image(image, self.card.side)).permute(2, 0, 1) / 255
        return normalized(pixels, self.card)

    def vectors(self, pixels: Tensor) -> Tensor:
        (patches, token), *_ = tokens_of(self.network, pixels)[1]
        return token[:, 0] if self.card.pool == "class" else patches.mean(1)


def normalized(pixels: Tensor, card: VitCard) -> Tensor:
    """Return pixels between 0 and 1, (..., 3, height, width), as the network takes them."""
    mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (card.mean, card.std))
    return (pixels - mean) / std
