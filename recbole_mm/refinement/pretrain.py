"""A masked autoencoder on the images of a folder, where no weights are at hand."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from recbole_mm.base.errors import InputError, number_of
from recbole_mm.base.files import folder_lock
from recbole_mm.extraction.vit import VitCard, vit_of, write_vit
from recbole_mm.extraction.vit_sizes import VIT_SIZES
from recbole_mm.refinement.image_folder import ImageFolder
from recbole_mm.refinement.image_views import CropViews
from recbole_mm.refinement.masked_autoencoder import MaskedAutoencoder
from recbole_mm.refinement.vit_report import ENCODER, images_digest, report
from recbole_mm.refinement.vit_training import Stage, VitTraining, decayed, new_weights


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """Settings of a masked autoencoder.

    Attributes
    ----------
    size : str
        One of `VIT_SIZES`.
    side, patch : int
        Of the images and of a patch, pixels; the patch divides the side.
    mask : float
        Share of the patches that are hidden.
    learning_rate : float
        For a batch of 256; the rate is `learning_rate` x batch / 256.
    """

    size: str = "micro"
    side: int = 64
    patch: int = 8
    epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 1.5e-4
    weight_decay: float = 0.05
    mask: float = 0.75
    seed: int = 2020


def pretrain(images: Path, out: Path, settings: PretrainSettings, *, device: str, workers: int = 0) -> VitTraining:
    """Train a masked autoencoder and write its encoder into ``out``; a training that was killed goes on.

    Raises
    ------
    InputError
        A setting or the folder of images cannot be used, or `out` has another training.
    """
    if settings.side % settings.patch or settings.side < 2 * settings.patch:
        raise InputError(f"--side={settings.side}: a multiple of --patch={settings.patch}, at least twice as large")
    width, blocks, heads = VIT_SIZES[settings.size]
    card = VitCard(settings.side, width=width, blocks=blocks, heads=heads, patch=settings.patch, pool="mean")
    folder = ImageFolder(images, settings.side)
    with new_weights(settings.seed):
        module = MaskedAutoencoder(vit_of(card), card, settings.mask)
    rate = settings.learning_rate * settings.batch_size / 256
    stage = Stage("masked autoencoder", settings.epochs, decayed(module, settings.weight_decay), rate)
    plan = json.dumps(asdict(settings) | {"images": images_digest(folder)}, sort_keys=True)
    made = (
        f"masked autoencoder, {settings.size}, {number_of(settings.epochs, 'epoch')} over {len(folder):,} images, "
        f"seed {settings.seed}"
    )
    with folder_lock(out):
        training = VitTraining(
            module, CropViews(card), folder, [stage], out, plan, settings.batch_size, settings.seed,
            torch.device(device), workers,
        )  # fmt: skip
        training.run()
        write_vit(out / ENCODER, training.encoder, replace(card, made=made))
        report(training)
    return training
