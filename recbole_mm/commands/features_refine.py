"""`recbole-mm features refine`: MIM-Refiner on the images of a folder."""

from __future__ import annotations

import shlex
from pathlib import Path

from recbole_mm.base.errors import InputError
from recbole_mm.commands import Say
from recbole_mm.commands.features_pretrain import GOES_ON, told
from recbole_mm.commands.parser import Arguments
from recbole_mm.recbole_bridge.device import device_of
from recbole_mm.refinement.refine import RefineSettings, refine
from recbole_mm.refinement.start import start_of
from recbole_mm.refinement.vit_report import ENCODER


def main(arguments: Arguments, say: Say) -> int:
    """Refine an encoder and say where it is; return 0, or 130 after Ctrl-C."""
    known = arguments.options
    if known.epochs[0] + known.epochs[1] < 1:
        raise InputError("--epochs=0,0: at least one epoch")
    device, start = device_of(known.device), start_of(known.encoder)
    settings = RefineSettings(
        known.heads, known.epochs, known.batch_size, known.learning_rates, known.local_views, known.neighbours,
        known.queue, layer_decay=known.layer_decay, seed=known.seed,
    )  # fmt: skip
    try:
        training = refine(start, Path(known.images), Path(known.out), settings, device=device, workers=known.workers)
    except KeyboardInterrupt:
        say(GOES_ON)
        return 130
    told(training, say)
    options = ["--modality=image", f"--source={known.images}", f"--encoder=vit:{training.out / ENCODER}"]
    say(f"next: {shlex.join(['recbole-mm', 'features', 'extract', 'NAME', *options])}")
    return 0
