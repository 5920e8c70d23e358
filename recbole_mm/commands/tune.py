"""`recbole-mm tune`: a sweep over settings with Ray Tune, chosen by validation, tested once."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from recbole.utils import get_model

from recbole_mm.base.errors import InputError, Unfinished, check_plain_name
from recbole_mm.commands import Say
from recbole_mm.commands.given import checked_resume
from recbole_mm.commands.parser import Arguments
from recbole_mm.configuration.request import Request, check_command
from recbole_mm.settings.parameters import read_parameters
from recbole_mm.settings.space import Space
from recbole_mm.settings.space_files import model_space, read_space
from recbole_mm.tuning.searching import SweepOptions
from recbole_mm.tuning.tune import resume, tune


def main(arguments: Arguments, say: Say) -> int:
    """Run or resume a sweep and test its winner; return 0, or 130 after Ctrl-C."""
    options = vars(arguments.options)
    plan = read_parameters(SweepOptions, options, "command line")
    where = {"address": options.pop("address")} if "address" in options else {}
    try:
        if folder := checked_resume(options.pop("resume", None)):
            seeds = options.pop("final_seeds", 0)
            given = [f"--{name.replace('_', '-')}" for name in options]
            given += [f"--{key}={value}" for key, value in arguments.settings.items()]
            if given:
                raise InputError(f"--resume takes the settings of the sweep: leave out {' '.join(given)}")
            resume(folder, say, final_seeds=seeds, **where)
        else:
            files = options.get("config_files", "").split()
            request = Request(options.get("model", ""), options.get("dataset", ""), files, arguments.settings)
            space = _space(options.get("space", ""), check_command(request)[0])
            where |= {name: options[name] for name in ("storage", "name") if name in options}
            if "name" in where:
                check_plain_name("--name", where["name"])
            tune(request, space, plan, say, **where)
    except Unfinished as stop:
        again = ["recbole-mm", "tune", f"--resume={stop.folder}"]
        again += [f"--address={where['address']}"] if "address" in where else []
        say(f"\n{stop}; resume with\n{shlex.join(again)}", sys.stderr)
        return 130
    return 0


def _space(file: str, model: str) -> Space:
    space = read_space(Path(file)) if file else model_space(get_model(model))
    if space is None:
        raise InputError(
            f"--space: there is no default space for {model}; write one, with lines such as "
            "learning_rate: {loguniform: [1.0e-4, 1.0e-2]}"
        )
    return space
