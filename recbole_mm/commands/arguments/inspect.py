"""The arguments of `recbole-mm inspect`."""

from __future__ import annotations

from recbole_mm.commands.arguments.run import add_config_files
from recbole_mm.commands.parser import Parser
from recbole_mm.settings.names import DEFAULT_MODEL


def parser() -> Parser:
    """Return the parser."""
    found = Parser(
        "inspect",
        "NAME [--data_path=dataset/] [--model=MHCR] [--out=FILE.html] [--card] [--key=value ...]",
        "Look through a dataset: statistics, plots, and the problems that training would meet.",
        takes_settings=True,
        epilog="Every setting of a run, such as --data_path, can be given as --key=value; the dataset is read as that "
        "run would read it. The exit code is 1 where a run would fail.",
    )
    found.add_argument("name", metavar="NAME", help="name of the dataset's folder in data_path")
    found.add_argument("--model", help=f"model for which the dataset is read (default: {DEFAULT_MODEL})")
    add_config_files(found)
    found.add_argument("--out", metavar="FILE", help="HTML page to write (default: inspect-NAME.html)")
    found.add_argument(
        "--card", action="store_true", help="write a data set card, too: a Markdown page to publish beside the data, "
        "inspect-NAME.md, or FILE.md where --out names FILE.html",
    )  # fmt: skip
    return found
