"""An image as it is shown: upright, in eight bits of red, green and blue, however its file has it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from recbole_mm.extraction.encoder import Unreadable

BITS, INTERPRETATION, BLACK_IS_ZERO = 258, 262, 1  # two tags of TIFF, and a value of the second


def rgb_of(image: Any) -> Any:
    """Return a PIL image turned as its EXIF says, in mode RGB; of 16 bits the upper eight are kept.

    Raises
    ------
    Unreadable
        Which of its numbers is white is unknown.
    """
    if not _white_is_known(image):
        raise Unreadable(f"which number is white is unknown in mode {image.mode}: save it with 8 or 16 bits")
    image.load()
    with suppress(SyntaxError):  # what stands in the place of EXIF is none
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _white_is_known(image: Any) -> bool:
    tags = getattr(image, "tag_v2", None)
    if tags and image.mode.startswith("I;16"):  # Pillow has 12 bits, and black as the greatest number, in this mode too
        return (tags.get(BITS), tags.get(INTERPRETATION)) == ((16,), BLACK_IS_ZERO)
    return image.mode not in ("I", "F")
