"""The arguments of `recbole-mm features pretrain`."""

from __future__ import annotations

from recbole_mm.commands.parser import Parser, whole
from recbole_mm.extraction.vit_sizes import VIT_SIZES


def parser() -> Parser:
    """Return the parser."""
    found = Parser(
        "features pretrain",
        "--images=FOLDER --out=FOLDER [--size=SIZE]",
        "Train a vision transformer as a masked autoencoder on the images of a folder. Needs 'recbole-mm[images]'.",
    )
    add_training(found)
    found.add_argument(
        "--size", choices=VIT_SIZES, default="micro", metavar="SIZE", help=f"{', '.join(VIT_SIZES)} (default: micro)"
    )
    found.add_argument("--side", type=whole, default=64, metavar="PIXELS", help="of the square images (default: 64)")
    found.add_argument("--patch", type=whole, default=8, metavar="PIXELS", help="side of a patch (default: 8)")
    found.add_argument("--epochs", type=whole, default=100, metavar="N", help="(default: 100)")
    found.add_argument(
        "--learning-rate", type=float, default=1.5e-4, metavar="RATE", help="for a batch of 256 (default: 1.5e-4)"
    )
    found.add_argument("--mask", type=float, default=0.75, metavar="SHARE", help="of hidden patches (default: 0.75)")
    return found


def add_training(parser: Parser) -> None:
    """Add the arguments that every training on images has."""
    parser.add_argument("--images", required=True, metavar="FOLDER", help="the images, also in folders of it")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="gets the encoder, a checkpoint and the losses")
    parser.add_argument("--batch-size", type=whole, default=256, metavar="N", help="images at a time (default: 256)")
    parser.add_argument("--seed", type=whole, default=2020, metavar="N", help="(default: 2020)")
    parser.add_argument("--device", default="", metavar="DEVICE", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument(
        "--workers", type=whole, default=0, metavar="N", help="processes that read images (default: 0, the training's)"
    )
