"""`recbole-mm tune`: a sweep over settings with Ray Tune, chosen by validation, tested once."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import typing
from collections.abc import Sequence
from pathlib import Path

from recbole.utils import get_model

from recbole_mm.base.errors import InputError
from recbole_mm.commands import Say
from recbole_mm.commands.settings import checked_resume, read_settings
from recbole_mm.settings.parameters import read
from recbole_mm.settings.request import Request, check_command
from recbole_mm.tuning.plan import Plan
from recbole_mm.tuning.space import Space
from recbole_mm.tuning.space_files import declared_space, default_space, read_space

USAGE = "recbole-mm tune [--model=MHCR] [--dataset=ml-100k] [--space=FILE] [--num-samples=16] [--key=value ...]"


def main(arguments: Sequence[str], say: Say) -> int:
    """Run or resume a sweep and test its winner; return 0, or 130 after Ctrl-C."""
    from recbole_mm.tuning.tune import Unfinished, resume, tune  # noqa: PLC0415 (plotly)

    parser = _parser()
    known, rest = parser.parse_known_args(arguments)
    options = vars(known)
    plan = read(Plan, options, "command line")
    where = {"address": options.pop("address")} if "address" in options else {}
    try:
        if folder := checked_resume(options.pop("resume", None)):
            seeds = options.pop("final_seeds", 0)
            if given := [f"--{name.replace('_', '-')}" for name in options] + rest:
                raise InputError(f"--resume goes on with what the sweep was asked: leave out {' '.join(given)}")
            resume(folder, say, final_seeds=seeds, **where)
        else:
            files = options.get("config_files", "").split()
            request = Request(options.get("model", ""), options.get("dataset", ""), files, read_settings(rest))
            space = _space(options.get("space", ""), check_command(request)[0])
            where |= {name: options[name] for name in ("storage", "name") if name in options}
            tune(request, space, plan, say, **where)
    except Unfinished as stop:
        again = ["recbole-mm", "tune", f"--resume={stop.folder}"]
        again += [f"--address={where['address']}"] if "address" in where else []
        say(f"\n{stop}; go on with\n{shlex.join(again)}", sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    """Options that are not given are absent from the result."""
    parser = argparse.ArgumentParser(
        prog="recbole-mm tune",
        usage=USAGE,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        epilog="Every setting of RecBole and of the model can be given as --key=value; all trials have it.",
    )
    parser.add_argument("--model", help="a model of the pack or of RecBole (MHCR)")
    parser.add_argument("--dataset", help="folder name in data_path (ml-100k)")
    parser.add_argument("--config_files", help="yaml files, separated by spaces")
    parser.add_argument("--space", help="what is searched (properties/sweep/MODEL.yaml)")
    kinds = typing.get_type_hints(Plan)
    for field in dataclasses.fields(Plan):
        help_text = f"{field.metadata['meaning']} ({field.default})".replace("%", "%%")
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=kinds[field.name], choices=field.metadata["choices"], help=help_text)
    parser.add_argument("--storage", help="path, or address such as s3://bucket/sweeps, for the sweep's folder (saved)")
    parser.add_argument("--name", help="of that folder (model, data set and time)")
    parser.add_argument("--address", help="of a Ray cluster to join, such as auto or 10.0.0.1:6379")
    parser.add_argument("--resume", metavar="FOLDER", help="of a sweep to go on with")
    return parser


def _space(file: str, model: str) -> Space:
    path = Path(file) if file else default_space(model)
    if path is None and (declared := declared_space(get_model(model))):
        return declared
    if path is None:
        raise InputError(
            f"--space: there is no default space for {model}; write one, with lines such as "
            "learning_rate: {loguniform: [1.0e-4, 1.0e-2]}"
        )
    return read_space(path)
