"""The arguments of `recbole-mm tune`."""

from __future__ import annotations

import argparse

from recbole_mm.commands.arguments.run import add_model_and_dataset
from recbole_mm.commands.parser import Parser
from recbole_mm.tuning.searching import SweepOptions


def parser() -> Parser:
    """Return the parser; options that are not given are absent from what it reads."""
    found = Parser(
        "tune",
        "[--model=MHCR] [--dataset=ml-100k] [--space=FILE] [--num-samples=16] [--key=value ...]",
        "Search settings of one model with Ray Tune: validation chooses, and only the best settings are tested.",
        takes_settings=True,
        argument_default=argparse.SUPPRESS,
        epilog="Every setting of RecBole and of the model can be given as --key=value; all trials have it.",
    )
    add_model_and_dataset(found)
    found.add_argument(
        "--space", metavar="FILE",
        help="yaml file of the settings to search and their values (default: the pack's own for the model)",
    )  # fmt: skip
    found.add_fields(SweepOptions)
    found.add_argument(
        "--storage", metavar="PATH",
        help="folder or address, such as s3://bucket/sweeps, in which the sweep folder is made (default: saved)",
    )  # fmt: skip
    found.add_argument("--name", help="name of the sweep folder (default: tune-MODEL-DATASET-TIME)")
    found.add_argument(
        "--address", metavar="HOST:PORT",
        help="address of a running Ray cluster to join, such as auto or 10.0.0.1:6379 (default: start Ray here)",
    )  # fmt: skip
    found.add_argument("--resume", metavar="FOLDER", help="sweep folder to resume")
    return found
