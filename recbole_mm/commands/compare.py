"""`recbole-mm compare`: many models on many datasets with many seeds, and the tables of a paper."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from recbole_mm.base.errors import InputError, Unfinished
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.comparison.compare import compare
from recbole_mm.comparison.options import CompareOptions
from recbole_mm.comparison.rows import planned_rows
from recbole_mm.comparison.text_tables import markdown
from recbole_mm.configuration.request import Request
from recbole_mm.settings.parameters import read_parameters


def main(arguments: Arguments, say: Say) -> int:
    """Train what is missing and write the tables; return 0, 1 where a run failed, or 130 after Ctrl-C."""
    known = arguments.options
    options = {name: value for name, value in vars(known).items() if value is not None}
    plan = read_parameters(CompareOptions, options, "command line")
    if known.ray and known.jobs is not None:
        raise InputError("--jobs is for processes of this machine; with --ray it is --cpus and --gpus that decide")
    if not known.ray and (given := [name for name in ("cpus", "gpus", "address") if name in options]):
        raise InputError(f"--{given[0]} is for --ray")
    rows = planned_rows(known.models, known.settings, known.ablations, known.baselines)
    if not rows:
        raise InputError("nothing to compare: name models, such as --models=MHCR,SEA,LightGCN")
    common = Request(config_files=(known.config_files or "").split(), settings=arguments.settings)
    out = Path(known.out or f"saved/compare-{'-'.join(known.datasets)}")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out={out} is a file: name a folder, new or of an earlier comparison")
    command = shlex.join(["recbole-mm", "compare", *arguments.words])
    try:
        benchmarks = compare(
            rows, known.datasets, common, plan, say,
            out=out, controls=known.controls, ray=(known.address or "") if known.ray else None, command=command,
        )  # fmt: skip
    except Unfinished as stop:
        say(f"\n{stop}; resume with the same command:\n{command}", sys.stderr)
        return 130
    say(markdown(benchmarks))
    tuned = "tuned/, " if plan.tune_trials else ""
    say(f"{tuned}table.md, table.csv, table.tex, differences.csv, compare.html and result.json are in {out}")
    return int(any(run.error for one in benchmarks for entry in one.entries for run in entry.runs))
