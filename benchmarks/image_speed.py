"""Images a second: encoders of `features extract`, and the steps of `features pretrain` and `features refine`.

Images are of random pixels and in memory; what is timed is their preparation by the encoder or the making of views, and
the network. Reading files comes on top, in as many processes as `--workers` has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.measuring import GPU, arguments, machine, measure, summarise, told, workplace, write_results
from recbole_mm.extraction.images import EfficientNetLite0
from recbole_mm.extraction.vit import Vit, VitCard, vit_of, write_vit
from recbole_mm.extraction.vit_sizes import VIT_SIZES
from recbole_mm.refinement.image_views import CropViews, RefinementViews
from recbole_mm.refinement.masked_autoencoder import MaskedAutoencoder
from recbole_mm.refinement.refiner import Refiner, head_size

DEVICE = torch.device("cuda" if GPU else "cpu")
BATCH = 64


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.image_speed", __doc__)
    parser.add_argument("--size", choices=VIT_SIZES, default="micro")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--patch", type=int, default=4)
    parser.add_argument("--local-views", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    known = parser.parse_args(argv)
    with workplace(known.threads) as folder:
        torch.manual_seed(0)
        width, blocks, heads = VIT_SIZES[known.size]
        card = VitCard(known.side, width=width, blocks=blocks, heads=heads, patch=known.patch)
        before = machine()
        times = measure(works(card, known.local_views, folder), known.repeats)
    result = {
        "machine": before,
        "batch": BATCH,
        "of": vars(known) | {"out": ""},
        "models": summarise(times, next(iter(times))),
    }
    write_results(known.out, f"image_speed-{known.size}-{known.side}", result, table(result))


def works(card: VitCard, n_local: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Return by name what encodes or trains one batch."""
    pixels = torch.randint(0, 256, (BATCH, 3, card.side, card.side), dtype=torch.uint8)
    large = np.random.default_rng(0).integers(0, 256, (BATCH, 256, 256, 3), dtype=np.uint8)
    pictures = [Image.fromarray(one) for one in large]
    file = folder / "encoder.safetensors"
    write_vit(file, vit_of(card), card)
    vit, efficientnet = Vit(str(file), DEVICE.type), EfficientNetLite0(DEVICE.type)
    autoencoder, refiner = MaskedAutoencoder(vit_of(card), card), Refiner(vit_of(card), 2, head_size(card.width))
    frozen = Refiner(vit_of(card), 2, head_size(card.width))
    frozen.stage(k=1, frozen=True)
    views = RefinementViews(card, card.patch, n_local)
    return {
        "extract, efficientnet-lite0, 224": lambda: efficientnet.encode(
            [efficientnet.prepare(one) for one in pictures]
        ),
        "extract, vit": lambda: vit.encode([vit.prepare(one) for one in pictures]),
        "pretrain": step(autoencoder, CropViews(card), pixels),
        "refine, stage one": step(frozen, views, pixels),
        "refine, stage two": step(refiner, views, pixels),
        "views of refine alone": lambda: views(pixels.to(DEVICE)),
    }


def step(module: torch.nn.Module, views: Any, pixels: torch.Tensor) -> Callable[[], object]:
    """Return a training step of AdamW on one batch."""
    module.to(DEVICE).train()
    optimizer = torch.optim.AdamW([one for one in module.parameters() if one.requires_grad], lr=1e-4)
    numbers = torch.arange(len(pixels), device=DEVICE)

    def work() -> None:
        made = [view.contiguous(memory_format=torch.channels_last) for view in views(pixels.to(DEVICE))]
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=GPU):
            loss = module(made, numbers)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return work


def table(result: dict[str, Any]) -> str:
    of = result["of"]
    lines = [
        f"ViT {of['size']}, images of {of['side']} x {of['side']}, patches of {of['patch']}, {of['local_views']} local "
        f"views, batches of {result['batch']}; {told(result['machine'])}",
        "",
        "| what | images a second |",
        "|---|--:|",
    ]
    lines += [f"| {name} | {result['batch'] / found['seconds'][1]:,.0f} |" for name, found in result["models"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
