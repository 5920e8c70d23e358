"""The arguments of `recbole-mm compare`."""

from __future__ import annotations

from recbole_mm.commands.arguments.run import add_config_files
from recbole_mm.commands.parser import Parser, names, one_of
from recbole_mm.comparison.options import CONTROLS, CompareOptions
from recbole_mm.settings.names import DEFAULT_DATASET


def parser() -> Parser:
    """Return the parser."""
    found = Parser(
        "compare",
        "--models=MHCR,SEA,BPR [--datasets=ml-100k] [--num-seeds=5] [--tune-trials=16] [--controls=shuffled] "
        "[--jobs=2 | --ray] [--key=value ...]",
        "Train every model on every dataset with every seed, and write the tables of a paper.",
        takes_settings=True,
        old_names={"--seeds": "--num-seeds"},
        epilog="Every setting of RecBole can be given as --key=value; all models have it.",
    )
    found.add_argument(
        "--models", type=names, default=[], metavar="NAMES",
        help="models of the pack or of RecBole, or FILE:Class for your own, separated by commas",
    )  # fmt: skip
    found.add_argument(
        "--datasets", type=names, default=[DEFAULT_DATASET], metavar="NAMES",
        help=f"folders in data_path, separated by commas (default: {DEFAULT_DATASET})",
    )  # fmt: skip
    found.add_argument(
        "--ablations", type=names, default=[], metavar="NAMES",
        help="models whose declared variants become rows, too (default: none)",
    )  # fmt: skip
    found.add_argument(
        "--controls", type=controls, default=[], metavar="NAMES",
        help="shuffled: every row that reads features gets a further one, in which the items have exchanged theirs "
        "(default: none)",
    )  # fmt: skip
    found.add_argument(
        "--baselines", metavar="NAMES",
        help="rows against which the others are tested, separated by commas (default: all but MHCR, SEA, CCL4Rec and "
        "your own)",
    )  # fmt: skip
    found.add_argument(
        "--settings", metavar="NAME=FILE", action="append", default=[],
        help="yaml file of one model, such as a sweep's best.yaml; a new NAME is a row of its own, whose model the "
        "file names (repeatable)",
    )  # fmt: skip
    add_config_files(found, " of all models")
    found.add_fields(CompareOptions)
    found.add_argument("--ray", action="store_true", help="train with Ray, as many runs at a time as there is room for")
    found.add_argument(
        "--address", metavar="HOST:PORT",
        help="with --ray: address of a running cluster to join, such as auto or 10.0.0.1:6379 (default: start Ray "
        "here)",
    )  # fmt: skip
    found.add_argument(
        "--out", metavar="FOLDER", help="folder of the results, new or of an earlier command (default: "
        "saved/compare-DATASETS)",
    )  # fmt: skip
    return found


def controls(text: str) -> list[str]:
    """Read names of controls between commas."""
    return list(dict.fromkeys(map(one_of(list(CONTROLS)), names(text))))
