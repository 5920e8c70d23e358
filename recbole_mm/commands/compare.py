"""`recbole-mm compare`: many models on many data sets with many seeds, and the tables of a paper."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import typing
from collections.abc import Sequence
from pathlib import Path

from recbole_mm.base.errors import InputError
from recbole_mm.commands import Say
from recbole_mm.commands.settings import read_settings
from recbole_mm.comparison.plan import Plan, read_rows
from recbole_mm.settings.parameters import read
from recbole_mm.settings.request import DEFAULT_DATASET, Request

USAGE = "recbole-mm compare --models=MHCR,SEA,BPR [--datasets=ml-100k] [--seeds=5] [--jobs=2 | --ray] [--key=value ...]"


def main(arguments: Sequence[str], say: Say) -> int:
    """Train what is missing and write the tables; return 0, 1 where a cell failed, or 130 after Ctrl-C."""
    from recbole_mm.comparison.compare import Unfinished, compare  # noqa: PLC0415 (plotly)
    from recbole_mm.comparison.tables import markdown  # noqa: PLC0415

    parser = _parser()
    known, rest = parser.parse_known_args(arguments)
    options = {name: value for name, value in vars(known).items() if value is not None}
    plan = read(Plan, options, "command line")
    if known.ray and known.jobs is not None:
        raise InputError("--jobs is for processes of this machine; with --ray it is --cpus and --gpus that decide")
    if not known.ray and (given := [name for name in ("cpus", "gpus", "address") if name in options]):
        raise InputError(f"--{given[0]} is for --ray")
    rows = read_rows(known.models, known.settings, known.ablations, known.baselines)
    if not rows:
        raise InputError("nothing to compare: name models, such as --models=MHCR,SEA,LightGCN")
    common = Request(config_files=known.config_files.split(), settings=read_settings(rest))
    out = Path(known.out or f"saved/compare-{'-'.join(known.datasets)}")
    command = shlex.join(["recbole-mm", "compare", *arguments])
    try:
        benchmarks = compare(
            rows, known.datasets, common, plan, say,
            out=out, ray=(known.address or "") if known.ray else None, command=command,
        )  # fmt: skip
    except Unfinished as stop:
        say(f"\n{stop}; the same command goes on:\n{command}", sys.stderr)
        return 130
    say(markdown(benchmarks))
    say(f"table.md, table.csv, table.tex, differences.csv, compare.html and result.json are in {out}")
    return int(any(run.error for one in benchmarks for entry in one.entries for run in entry.runs))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recbole-mm compare",
        usage=USAGE,
        allow_abbrev=False,
        epilog="Every setting of RecBole can be given as --key=value; all models have it.",
    )
    parser.add_argument("--models", type=_names, default=[], help="of the pack or of RecBole, with commas")
    parser.add_argument("--datasets", type=_names, default=[DEFAULT_DATASET], help="folders in data_path (ml-100k)")
    parser.add_argument("--ablations", type=_names, default=[], help="models of which the declared variants are added")
    parser.add_argument("--baselines", type=_names, help="models with the best of which the others are compared")
    parser.add_argument(
        "--settings", metavar="NAME=FILE", action="append", default=[],
        help="yaml file of one model, such as a sweep's best.yaml, or of a row NAME whose `model` the file names",
    )  # fmt: skip
    parser.add_argument("--config_files", default="", help="yaml files of all models, separated by spaces")
    kinds = typing.get_type_hints(Plan)
    for field in dataclasses.fields(Plan):
        help_text = f"{field.metadata['meaning']} ({field.default})".replace(" (-1.0)", "")
        parser.add_argument(f"--{field.name}", type=kinds[field.name], help=help_text)
    parser.add_argument("--ray", action="store_true", help="train with Ray, as many at a time as there is room for")
    parser.add_argument("--address", help="of a Ray cluster to join, such as auto or 10.0.0.1:6379")
    parser.add_argument("--out", help="folder, new or of an earlier command (saved/compare-DATASETS)")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
