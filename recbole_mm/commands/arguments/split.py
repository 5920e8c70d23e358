"""The arguments of `recbole-mm split`."""

from __future__ import annotations

from recbole_mm.commands.parser import Parser, number, whole
from recbole_mm.settings.names import DATA_PATH


def parser() -> Parser:
    """Return the parser."""
    found = Parser(
        "split",
        "NAME (--time | --cold-items=0.1 | --cold-users=0.1 | --min-history=5) [--valid=0.1] [--test=0.1]",
        "Write a split of a dataset by time, or one with a cold start, and print the command that trains on it.",
    )
    found.add_argument("dataset", metavar="NAME", help="name of the dataset's folder in data_path")
    kind = found.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--time", action="store_true", help="hold out the last interactions of all users together, so that training "
        "knows nothing of what comes after the first of them",
    )  # fmt: skip
    kind.add_argument(
        "--cold-items", type=number, metavar="SHARE", help="share of the items with features that have no training "
        "interaction",
    )  # fmt: skip
    kind.add_argument(
        "--cold-users", type=number, metavar="SHARE", help="share of the users who have no training interaction"
    )
    kind.add_argument(
        "--min-history", type=whole, metavar="N", help="number of training interactions that every evaluated user keeps"
    )
    for name in ("valid", "test"):
        found.add_argument(
            f"--{name}", type=number, default=0.1, metavar="SHARE",
            help=f"share of each user's other interactions, or with --time of all, for {name} (default: 0.1)",
        )  # fmt: skip
    found.add_argument("--seed", type=whole, default=2020, metavar="N", help="seed of random choices (default: 2020)")
    found.add_argument("--name", default="", help="name of the split (default: its kind and amount)")
    found.add_argument(
        "--data_path", default=DATA_PATH, metavar="FOLDER", help=f"folder of the datasets (default: {DATA_PATH})"
    )
    found.add_argument("--overwrite", action="store_true", help="replace a split of the same name")
    return found
