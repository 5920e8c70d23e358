"""The arguments of `recbole-mm run`."""

from __future__ import annotations

from recbole_mm.commands.parser import Parser, whole
from recbole_mm.settings.names import DEFAULT_DATASET, DEFAULT_MODEL


def parser() -> Parser:
    """Return the parser; names of RecBole's own flags are RecBole's."""
    found = Parser(
        "run",
        "[--model=MHCR] [--dataset=ml-100k] [--config_files='a.yaml b.yaml'] [--key=value ...]",
        "Train one model, validate it after every epoch, and test it once.",
        takes_settings=True,
        epilog="Every setting of RecBole and of the model can be given as --key=value; it wins over the files.",
    )
    add_model_and_dataset(found)
    found.add_argument(
        "--resume", metavar="FOLDER",
        help="folder or checkpoint of a run that goes on from its last state, with its settings",
    )  # fmt: skip
    found.add_argument(
        "--nproc", type=whole, default=1, metavar="N", help="number of processes on this machine, with a GPU or "
        "with some of the cores each (default: 1)",
    )  # fmt: skip
    found.add_argument(
        "--ip", default="localhost", metavar="HOST", help="address of the first machine (default: localhost)"
    )
    found.add_argument("--port", default="5678", metavar="N", help="port of the first machine (default: 5678)")
    found.add_argument(
        "--world_size", type=whole, default=-1, metavar="N",
        help="number of processes on all machines together (default: that of --nproc)",
    )  # fmt: skip
    found.add_argument(
        "--group_offset", type=whole, default=0, metavar="N",
        help="rank of the first process on this machine (default: 0)",
    )  # fmt: skip
    return found


def add_model_and_dataset(found: Parser) -> None:
    """Add the three options with which most commands name what is trained."""
    found.add_argument(
        "--model", help=f"model of the pack or of RecBole, or FILE:Class for one of your own (default: {DEFAULT_MODEL})"
    )
    found.add_argument(
        "--dataset", metavar="NAME",
        help=f"name of the dataset's folder in data_path (default: {DEFAULT_DATASET}, which needs no folder)",
    )  # fmt: skip
    add_config_files(found)


def add_config_files(found: Parser, of: str = "") -> None:
    """Add RecBole's option for files of settings."""
    found.add_argument(
        "--config_files", metavar="FILES", help=f"yaml files of settings{of}, separated by spaces; later ones win"
    )
