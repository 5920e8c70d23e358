"""The arguments of `recbole-mm recommend`."""

from __future__ import annotations

from recbole_mm.commands.parser import Parser, whole


def parser() -> Parser:
    """Return the parser."""
    found = Parser(
        "recommend",
        "CHECKPOINT|FOLDER [--users=FILE|all] [--k=20] [--out=FILE.parquet|csv|jsonl]",
        "Recommend items to users, by the ids in the files.",
    )
    found.add_argument(
        "source", metavar="CHECKPOINT|FOLDER", help="a checkpoint, a run's folder, or an exported folder"
    )
    found.add_argument(
        "--users", default="all", metavar="FILE|all", help="who: a file with an id a line (default: all)"
    )
    found.add_argument("--k", type=whole, default=20, metavar="N", help="length of a list (default: 20)")
    found.add_argument("--include-seen", action="store_true", help="recommend what a user has interacted with, too")
    found.add_argument("--items", metavar="FILE", help="recommend no other items: a file with an id a line")
    found.add_argument(
        "--histories", metavar="FILE",
        help="a table of interactions (.inter, .csv, .parquet) that a sequential model recommends after",
    )  # fmt: skip
    found.add_argument(
        "--unknown", choices=("skip", "popular"), default="skip",
        help="users that the model does not know get nothing, or popular items (default: skip)",
    )  # fmt: skip
    found.add_argument(
        "--why", action="store_true",
        help="also say what each modality adds to a score, and which items of the user's own the item is most like",
    )  # fmt: skip
    found.add_argument(
        "--new-items", action="append", default=[], metavar="[MODALITY=]FILE",
        help="features of items that are new (.npy); once for each modality",
    )  # fmt: skip
    found.add_argument("--new-item-ids", metavar="FILE", help="their ids, one a line")
    found.add_argument(
        "--out", metavar="FILE", help="a .parquet, .csv or .jsonl file (default: columns in the terminal)"
    )
    found.add_argument("--device", default="", metavar="DEVICE", help="cpu, cuda or cuda:N (default: the checkpoint's)")
    return found
