"""`recbole-mm convert`: a dataset of RecBole's out of somebody else's layout."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from recbole_mm.base.errors import InputError, nearest, number_of
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.conversion import interaction_table, matrices, microlens, mmrec
from recbole_mm.conversion.layouts import LAYOUT_KINDS, USUAL
from recbole_mm.conversion.source import Source
from recbole_mm.conversion.staging import staged
from recbole_mm.conversion.writer import Written, write

SOURCE_READERS = {"mmrec": mmrec.read, "diffmm": matrices.read, "mmssl": matrices.read, "microlens": microlens.read}


def main(arguments: Arguments, say: Say) -> int:
    """Convert one dataset and say what was made; return 0."""
    known = arguments.options
    try:
        source = _read(known)
        with staged(known.out, known.overwrite, known.source) as folder:
            written = write(source, folder, known.out.name, known.format)
    except OSError as error:
        raise InputError(f"{error.filename or known.out}: {error.strerror or error}") from error
    _say_written(written, known.out, say)
    return 0


def _read(known: argparse.Namespace) -> Source:
    columns = {role: getattr(known, role) for role in USUAL if getattr(known, role)}
    if known.kind == "table":
        return interaction_table.read(known.source, columns, _features(known.features))
    if known.kind not in LAYOUT_KINDS:
        raise InputError(
            f"unknown kind '{known.kind}'; choose from {', '.join(LAYOUT_KINDS)}.{nearest(known.kind, LAYOUT_KINDS)}"
        )
    if columns or known.features:
        option = next(iter(columns), "features")
        raise InputError(
            f"command line: --{option} is for table; the columns and files of {known.kind} have fixed names"
        )
    return SOURCE_READERS[known.kind](known.source)


def _features(settings: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for setting in settings:
        name, _, file = setting.partition("=")
        if not name.isidentifier() or not file or name in found:
            raise InputError(
                f"command line: --features={setting}: write NAME=FILE, a name once, such as image=image.npy"
            )
        found[name] = file
    return found


def _say_written(written: Written, out: Path, say: Say) -> None:
    parts = ", ".join(f"{part} {count:,}".strip() for part, count in written.interactions.items())
    cold = f" ({written.without_interactions:,} without interactions)" if written.without_interactions else ""
    say(f"{out}: {number_of(written.users, 'user')}, {number_of(written.items, 'item')}{cold}, interactions: {parts}")
    for feature in written.features:
        say(f"  {feature.modality}: {feature.n_rows:,} x {feature.dim:,}, from {feature.file.name}")
    if not written.features:
        say("  interactions alone, no features: models that need none run on it, multimodal ones do not")
    for line in written.assumed:
        say(f"  assumed: {line}")
    where = [] if out.parent == Path("dataset") else [f"--data_path={out.parent}"]
    model = "--model=MHCR" if written.features else "--model=LightGCN"
    inspect = ["recbole-mm", "inspect", out.name, *([] if written.features else [model]), *where]
    run = ["recbole-mm", "run", model, f"--dataset={out.name}", *where]
    say(f"next: {shlex.join(inspect)}\n      {shlex.join(run)}")
