"""MIM-Refiner on images with labels: a masked autoencoder, refined with several heads and with one, over seeds.

The folder has ``train/LABEL/`` and ``test/LABEL/``. Labels are for the scores alone. What of a block is the vector of
an image (class token or mean of the patches) and the strength of the linear probe are chosen on a tenth of the
training images; the test is asked once. An encoder or a score that is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks import representation as scores
from benchmarks.measuring import mean_and_deviation
from recbole_mm.base.files import replace_text
from recbole_mm.extraction.images import ENDINGS
from recbole_mm.extraction.vit import normalized, read_vit, tokens_of, whole_image
from recbole_mm.refinement.pretrain import PretrainSettings, pretrain
from recbole_mm.refinement.refine import RefineSettings, refine
from recbole_mm.refinement.start import start_of
from recbole_mm.refinement.vit_report import ENCODER

COLUMNS = ("k-NN", "linear", "1-shot", "5-shot", "ACC", "NMI", "ARI")
HELD_OUT = 10  # every tenth training image chooses


def main(argv: Sequence[str] | None = None) -> None:
    known = _arguments().parse_args(argv)
    out, found = Path(known.out), dict[str, list[dict[str, Any]]]()
    for seed in known.seeds:
        for name, encoder in encoders(known, out, seed):
            found.setdefault(name, []).append(scored(encoder, Path(known.images), known.device))
            sys.stdout.write(table(found) + "\n")
            sys.stdout.flush()
    replace_text(out / "scores.md", table(found))


def encoders(known: argparse.Namespace, out: Path, seed: int) -> Iterator[tuple[str, Path]]:
    """Yield the autoencoder of a seed and what refinement makes of it, by name, each trained where it is missing."""
    device, workers = known.device, known.workers
    images = Path(known.images) / "train"
    start = out / f"autoencoder-{seed}"
    if not (start / ENCODER).is_file():
        settings = PretrainSettings(
            known.size, known.side, known.patch, known.pretrain_epochs, learning_rate=known.pretrain_rate, seed=seed
        )
        pretrain(images, start, settings, device=device, workers=workers)
    yield "masked autoencoder", start / ENCODER
    for heads in known.heads:
        folder = out / f"refined-{heads}-{seed}"
        if not (folder / ENCODER).is_file():
            refined = RefineSettings(
                heads,
                tuple(known.epochs),
                known.batch_size,
                tuple(known.rates),
                known.local_views,
                seed=seed,
            )
            refined_on = Path(known.refine_on) if known.refine_on else images
            refine(start_of(f"vit:{start / ENCODER}"), refined_on, folder, refined, device=device, workers=workers)
        yield f"refined, {heads} head{'s'[: heads > 1]}", folder / ENCODER


def scored(encoder: Path, images: Path, device: str) -> dict[str, Any]:
    """Return the scores of an encoder, and what was chosen for them."""
    file = encoder.with_name("scores.json")
    if file.is_file():
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return kept
    train, labels = vectors(encoder, images / "train", device)
    test, truth = vectors(encoder, images / "test", device)
    held = np.arange(len(labels)) % HELD_OUT == 0

    def chosen_by(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return rows[~held], labels[~held], rows[held], labels[held]

    pool = max(train, key=lambda name: scores.knn_accuracy(*chosen_by(train[name])))
    strength = max(scores.STRENGTHS, key=lambda one: scores.linear_accuracy(*chosen_by(train[pool]), one))
    asked = train[pool], labels, test[pool], truth
    found: dict[str, Any] = {
        "pool": pool,
        "strength": strength,
        "k-NN": scores.knn_accuracy(*asked),
        "linear": scores.linear_accuracy(*asked, strength),
        "1-shot": scores.few_shot_accuracy(*asked, 1),
        "5-shot": scores.few_shot_accuracy(*asked, 5),
        **scores.cluster_scores(test[pool], truth),
    }
    replace_text(file, json.dumps(found, indent=2))
    return found


@torch.inference_mode()
def vectors(encoder: Path, folder: Path, device: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the vectors of the images of a folder, by what they are made of, each (n, d), and their labels (n,)."""
    from PIL import Image  # noqa: PLC0415 - beside torch's threads

    network, card = read_vit(encoder)
    network.eval().to(device)
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS)
    names = sorted({file.parent.name for file in files})
    found: dict[str, list[np.ndarray]] = {"class": [], "mean": []}
    for start in tqdm(range(0, len(files), 256), f"{encoder.parent.name}, {folder.name}", leave=False):
        images = np.stack([whole_image(Image.open(file), card.side) for file in files[start : start + 256]])
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(device) / 255
        (patches, token), *_ = tokens_of(network, normalized(pixels, card))[1]
        found["class"].append(token[:, 0].float().cpu().numpy())
        found["mean"].append(patches.mean(1).float().cpu().numpy())
    labels = np.array([names.index(file.parent.name) for file in files])
    return {name: np.concatenate(rows) for name, rows in found.items()}, labels


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return a Markdown table of means and standard deviations over seeds, per cent."""
    lines = ["| encoder | seeds | " + " | ".join(COLUMNS) + " |", "|---|--:" + "|--:" * len(COLUMNS) + "|"]
    for name, rows in found.items():
        cells = [mean_and_deviation(100 * np.array([row[column] for row in rows]), 1) for column in COLUMNS]
        lines.append(f"| {name} | {len(rows)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _arguments() -> argparse.ArgumentParser:
    def numbers(of: type) -> Any:
        return lambda text: [of(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=numbers(int), default=[2020, 2021, 2022])
    parser.add_argument("--size", default="micro")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--patch", type=int, default=4)
    parser.add_argument("--pretrain-epochs", type=int, default=12)
    parser.add_argument("--pretrain-rate", type=float, default=1e-3)
    parser.add_argument("--heads", type=numbers(int), default=[3, 1])
    parser.add_argument("--epochs", type=numbers(int), default=[1, 3])
    parser.add_argument("--rates", type=numbers(float), default=[1e-3, 1e-3])
    parser.add_argument("--batch-size", type=int, default=256, help="of refinement")
    parser.add_argument("--refine-on", default="", help="a folder of fewer images to refine on, where time is short")
    parser.add_argument("--local-views", type=int, default=4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
