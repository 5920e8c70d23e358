"""`recbole-mm features pretrain`: an encoder of images, trained as a masked autoencoder."""

from __future__ import annotations

import shlex
from pathlib import Path

from recbole_mm.base.errors import InputError, number_of
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.recbole_bridge.device import device_of
from recbole_mm.refinement.pretrain import PretrainSettings, pretrain
from recbole_mm.refinement.vit_report import ENCODER, PAGE, UNREADABLE
from recbole_mm.refinement.vit_training import VitTraining


def main(arguments: Arguments, say: Say) -> int:
    """Train and say where the encoder is; return 0, or 130 after Ctrl-C."""
    known = arguments.options
    if not 0 < known.mask < 1:
        raise InputError(f"--mask={known.mask}: between 0 and 1")
    settings = PretrainSettings(
        known.size, known.side, known.patch, known.epochs, known.batch_size, known.learning_rate,
        mask=known.mask, seed=known.seed,
    )  # fmt: skip
    try:
        training = pretrain(
            Path(known.images), Path(known.out), settings, device=device_of(known.device), workers=known.workers
        )
    except KeyboardInterrupt:
        say(GOES_ON)
        return 130
    told(training, say)
    options = [f"--encoder=vit:{training.out / ENCODER}", f"--images={known.images}", "--out=FOLDER"]
    say(f"next: {shlex.join(['recbole-mm', 'features', 'refine', *options])}")
    return 0


GOES_ON = "\ninterrupted; the same command goes on after the last finished epoch"


def told(training: VitTraining, say: Say) -> None:
    """Say what a training on images has left."""
    last = training.history[-1]
    say(f"{training.out / ENCODER}: {last.stage}, epoch {last.epoch}, loss {last.loss:.4f}; see {training.out / PAGE}")
    if training.unreadable:
        say(f"  {number_of(len(training.unreadable), 'image')} cannot be read: {training.out / UNREADABLE}")
