"""The arguments of `recbole-mm features extract`."""

from __future__ import annotations

import argparse

from recbole_mm.commands.parser import Parser, one_of, whole
from recbole_mm.extraction.kinds import FITS, KINDS, SOUND_FILE
from recbole_mm.settings.names import DATA_PATH

ENCODERS = "\n".join(["encoders:", *(f"  {name:<20}{meaning}" for name, meaning in KINDS.items()), "", SOUND_FILE])


def parser() -> Parser:
    """Return the parser."""
    found = Parser(
        "features extract",
        "NAME --modality=IMAGE --source=FOLDER|COLUMN|FILE:COLUMN --encoder=KIND[:WEIGHTS]",
        "Make the features of a modality out of texts, images, videos or sound, with a card that says how.",
        epilog=ENCODERS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("dataset", metavar="NAME", help="name of the dataset's folder in data_path, or ml-100k")
    found.add_argument("--modality", required=True, metavar="NAME", help="name of the modality, and of its files")
    found.add_argument(
        "--source", required=True, metavar="WHAT",
        help="a folder of files ITEM_ID.ENDING; or columns of the .item file, commas between them; or columns of a "
        "table, FILE:COLUMN, in .tsv (quotes are text), .csv or .jsonl, .gz too: texts, or paths relative to the table",
    )  # fmt: skip
    found.add_argument("--encoder", required=True, metavar="KIND[:WEIGHTS]", help="what makes the vectors (see below)")
    found.add_argument(
        "--fit", type=one_of(FITS), metavar="WORD",
        help="what of an image, or a frame, is seen: crop, the square in its middle (default), or whole, all of it "
        "scaled to a square",
    )  # fmt: skip
    found.add_argument("--batch-size", type=whole, default=64, metavar="N", help="items at a time (default: 64)")
    found.add_argument("--device", default="", metavar="DEVICE", help="cpu or cuda (default: cuda where there is one)")
    found.add_argument("--download", action="store_true", help="let the encoder's library download weights")
    found.add_argument("--overwrite", action="store_true", help="replace features of the same name")
    found.add_argument(
        "--data_path", default=DATA_PATH, metavar="FOLDER", help=f"folder of the datasets (default: {DATA_PATH})"
    )
    return found
