"""The arguments of `recbole-mm features refine`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from recbole_mm.commands.arguments.features_pretrain import add_training
from recbole_mm.commands.parser import Parser, whole


def parser() -> Parser:
    """Return the parser."""
    found = Parser(
        "features refine",
        "--encoder=vit:FILE|timm:MODEL=FILE --images=FOLDER --out=FOLDER",
        "Sharpen an encoder that was trained by masking, by MIM-Refiner. Needs 'recbole-mm[images]'.",
    )
    found.add_argument(
        "--encoder", required=True, metavar="KIND:WEIGHTS",
        help="vit:FILE of features pretrain or refine, or a vision transformer of timm, timm:MODEL=FILE",
    )  # fmt: skip
    add_training(found)
    found.add_argument(
        "--heads", type=whole, default=0, metavar="N",
        help="on the last N blocks (default: a third of the blocks, at least two)",
    )  # fmt: skip
    found.add_argument(
        "--epochs", type=_pair(whole), default=(20, 30), metavar="ONE,TWO", help="of each stage (default: 20,30)"
    )
    found.add_argument(
        "--learning-rates", type=_pair(float), default=(2e-4, 4e-4), metavar="ONE,TWO",
        help="of each stage, for a batch of 256 (default: 2e-4,4e-4)",
    )  # fmt: skip
    found.add_argument("--local-views", type=whole, default=10, metavar="N", help="of an image (default: 10)")
    found.add_argument(
        "--neighbours", type=whole, default=20, metavar="N", help="stage two draws from so many (default: 20)"
    )
    found.add_argument(
        "--queue", type=whole, default=0, metavar="N",
        help="of projections (default: 16,384 or 65,536 by the encoder's width, at most the number of images)",
    )  # fmt: skip
    found.add_argument("--layer-decay", type=float, default=0.65, metavar="RATIO", help="of rates (default: 0.65)")
    return found


def _pair(of: Callable[[str], Any]) -> Callable[[str], tuple[Any, Any]]:
    def read(text: str) -> tuple[Any, Any]:
        parts = text.split(",")
        if len(parts) != 2:
            raise argparse.ArgumentTypeError(f"'{text}': two numbers, a comma between them")
        return of(parts[0]), of(parts[1])

    return read
