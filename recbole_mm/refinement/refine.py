"""MIM-Refiner's two stages on the images of a folder: the heads alone, then the encoder with them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from recbole_mm.base.errors import InputError, number_of
from recbole_mm.base.files import folder_lock
from recbole_mm.extraction.vit import write_vit
from recbole_mm.refinement.image_folder import ImageFolder
from recbole_mm.refinement.image_views import RefinementViews
from recbole_mm.refinement.refiner import HeadSize, Refiner, head_size
from recbole_mm.refinement.start import RefineStart
from recbole_mm.refinement.vit_report import ENCODER, images_digest, report
from recbole_mm.refinement.vit_training import Stage, VitTraining, by_depth, decayed, new_weights

SHORTEST_AVERAGE = 10  # the average spans at most a tenth of the steps


@dataclass(frozen=True, slots=True)
class RefineSettings:
    """Settings of MIM-Refiner, as in the paper (arXiv 2402.10093, appendix).

    Attributes
    ----------
    heads : int
        On the last so many blocks; 0 for a third of the blocks, at least two.
    epochs, learning_rates : pair
        Of stage one and stage two; rates for a batch of 256.
    n_local : int
        Local views of an image, beside two global ones.
    neighbours : int
        Stage two draws the positive from so many nearest ones, stage one takes the nearest.
    queue : int
        Length of a queue; 0 for that of the encoder's size, at most the number of images.
    layer_decay : float
        The rate of a block is that of the next one times this.
    average : float
        Of the encoder's exponential moving average, by step; in short trainings 1 - 10 / steps.
    """

    heads: int = 0
    epochs: tuple[int, int] = (20, 30)
    batch_size: int = 256
    learning_rates: tuple[float, float] = (2e-4, 4e-4)
    n_local: int = 10
    neighbours: int = 20
    queue: int = 0
    temperature: float = 0.2
    layer_decay: float = 0.65
    weight_decay: float = 0.05
    head_weight_decay: float = 1e-5
    average: float = 0.9999
    seed: int = 2020


def refine(
    start: RefineStart, images: Path, out: Path, settings: RefineSettings, *, device: str, workers: int = 0
) -> VitTraining:
    """Refine an encoder and write it into ``out``; a training that was killed goes on.

    Raises
    ------
    InputError
        A setting or the folder of images cannot be used, or `out` has another training.
    """
    encoder, card = start.encoder, start.card
    folder = ImageFolder(images, card.side)
    n_blocks = len(encoder.blocks)
    n_heads = settings.heads or max(2, round(n_blocks / 3))
    if not 1 <= n_heads <= n_blocks:
        raise InputError(f"--heads={settings.heads}: the encoder has {n_blocks} blocks, each of the last may have one")
    module = _refiner(encoder, n_heads, len(folder), settings)
    stages = _stages(module, len(folder) // settings.batch_size, settings)
    plan = json.dumps(asdict(settings) | {"images": images_digest(folder), "encoder": start.sha256}, sort_keys=True)
    views = RefinementViews(card, int(encoder.patch_embed.patch_size[0]), settings.n_local)
    one, two = settings.epochs
    made = (
        f"MIM-Refiner, {number_of(n_heads, 'head')}, {one} + {two} epochs over {len(folder):,} images, "
        f"seed {settings.seed}, of: {card.made or card.model}"
    )
    with folder_lock(out):
        training = VitTraining(
            module, views, folder, stages, out, plan, settings.batch_size, settings.seed, torch.device(device), workers
        )
        training.run()
        averaged = stages[1].averaged
        assert averaged is not None
        write_vit(out / ENCODER, averaged.module if two else encoder, replace(card, pool="class", made=made))
        report(training)
    return training


def _refiner(encoder: Any, n_heads: int, n_images: int, settings: RefineSettings) -> Refiner:
    size = head_size(encoder.embed_dim)
    length = settings.queue or min(size.queue, n_images)
    if length < 2 * settings.neighbours:
        raise InputError(f"--queue={length}: at least twice --neighbours={settings.neighbours}")
    with new_weights(settings.seed):
        sized = HeadSize(size.projector, size.predictor, size.out, length)
        return Refiner(encoder, n_heads, sized, settings.temperature)


def _stages(module: Refiner, steps: int, settings: RefineSettings) -> list[Stage]:
    """Return stage one, of the heads, and stage two, of the encoder and the heads."""
    scale = settings.batch_size / 256
    one, two = (rate * scale for rate in settings.learning_rates)
    encoder = module.encoder.requires_grad_(True)
    of_encoder = by_depth(encoder, settings.weight_decay, settings.layer_decay)
    of_heads = decayed(module.heads, settings.head_weight_decay)
    longest = 1 - SHORTEST_AVERAGE / max(2 * SHORTEST_AVERAGE, settings.epochs[1] * steps)
    averaged = AveragedModel(encoder, multi_avg_fn=get_ema_multi_avg_fn(min(settings.average, longest)))
    return [
        Stage("stage one", settings.epochs[0], of_heads, one, lambda: module.stage(k=1, frozen=True)),
        Stage(
            "stage two", settings.epochs[1], [*of_encoder, *decayed(module.heads, settings.head_weight_decay)], two,
            lambda: module.stage(k=settings.neighbours, frozen=False), averaged,
        ),
    ]  # fmt: skip
