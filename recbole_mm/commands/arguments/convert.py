"""The arguments of `recbole-mm convert`."""

from __future__ import annotations

import argparse
from pathlib import Path

from recbole_mm.commands.parser import Parser, one_of
from recbole_mm.conversion.layouts import (
    INTERACTION_FORMS,
    LAYOUT_KINDS,
    MATRICES,
    MICROLENS,
    MMREC,
    TABLE,
    USUAL,
)

EPILOG = "\n\n".join(("kinds, and what they expect:", MMREC, MATRICES, MICROLENS, TABLE))


def parser() -> Parser:
    """Return the parser."""
    found = Parser(
        "convert",
        "KIND SOURCE --out=dataset/NAME [--overwrite] [--format=FORM] [--user=COLUMN ...]",
        "Make a dataset for RecBole out of another layout.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("kind", metavar="KIND", help=f"layout of the source: {', '.join(LAYOUT_KINDS)}")
    found.add_argument("source", metavar="SOURCE", type=Path, help="folder to read; with table also one file")
    found.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="folder to make; its last part names the dataset"
    )
    found.add_argument(
        "--overwrite", action="store_true", help="replace an existing dataset once the new one is complete"
    )
    found.add_argument(
        "--format", default=INTERACTION_FORMS[0], type=one_of(INTERACTION_FORMS), metavar="FORM",
        help=f"how interactions are written: {', '.join(INTERACTION_FORMS)} (default: {INTERACTION_FORMS[0]})",
    )  # fmt: skip
    for role, usual in USUAL.items():
        found.add_argument(
            f"--{role}", default="", metavar="COLUMN",
            help=f"with table: column of the {role} (default: the first of {', '.join(usual)})",
        )  # fmt: skip
    found.add_argument(
        "--features", action="append", default=[], metavar="NAME=FILE",
        help="with table: name and feature file of a modality (repeatable; default: the files beside the table)",
    )  # fmt: skip
    return found
