"""`recbole-mm convert`: a data set of RecBole's out of somebody else's layout."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.commands import Say
from recbole_mm.conversion import matrices, microlens, mmrec, table
from recbole_mm.conversion.source import Source
from recbole_mm.conversion.staging import staged
from recbole_mm.conversion.writer import Written, write

USAGE = "recbole-mm convert KIND SOURCE --out=dataset/NAME [--overwrite] [--key=value ...]"
READERS = {"mmrec": mmrec.read, "diffmm": matrices.read, "mmssl": matrices.read, "microlens": microlens.read}
KINDS = (*READERS, "table")
LAYOUTS = "\n\n".join(["kinds, and what they expect:", *(kind.LAYOUT for kind in (mmrec, matrices, microlens, table))])
_COLUMNS = ("user", "item", "rating", "time")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"command line: {message}; see recbole-mm convert --help")


def main(arguments: Sequence[str], say: Say) -> int:
    """Convert one data set and say what was made; return 0."""
    parser = _Parser(
        prog="recbole-mm convert",
        usage=USAGE,
        allow_abbrev=False,
        epilog=LAYOUTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("source", metavar="SOURCE", type=Path, help="the folder, or of table the file, to read")
    parser.add_argument("--out", required=True, type=Path, help="the folder to make; its last part names the data set")
    parser.add_argument("--overwrite", action="store_true", help="replace an old data set once the new one is complete")
    for role in _COLUMNS:
        usual = ", ".join(table.USUAL[role])
        parser.add_argument(f"--{role}", default="", metavar="COLUMN", help=f"table: a column (default one of {usual})")
    parser.add_argument("--features", action="append", default=[], metavar="NAME=FILE", help="table: a modality's file")
    known = parser.parse_args(arguments)
    try:
        source = _read(known)
        with staged(known.out, known.overwrite, known.source) as folder:
            written = write(source, folder, known.out.name)
    except OSError as error:
        raise InputError(f"{error.filename or known.out}: {error.strerror or error}") from error
    _say_written(written, known.out, say)
    return 0


def _read(known: argparse.Namespace) -> Source:
    columns = {role: getattr(known, role) for role in _COLUMNS if getattr(known, role)}
    if known.kind == "table":
        return table.read(known.source, columns, _features(known.features))
    if known.kind not in KINDS:
        raise InputError(
            f"'{known.kind}' is no kind of source; it is one of {', '.join(KINDS)}.{nearest(known.kind, KINDS)}"
        )
    if columns or known.features:
        option = next(iter(columns), "features")
        raise InputError(
            f"command line: --{option} is for table; the columns and files of {known.kind} have fixed names"
        )
    return READERS[known.kind](known.source)


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
    say(f"{out}: {written.users:,} users, {written.items:,} items{cold}, interactions: {parts}")
    for feature in written.features:
        say(f"  {feature.modality}: {feature.n_rows:,} x {feature.dim:,}, from {feature.file.name}")
    if not written.features:
        say("  no feature files: RecBole's own models run, multimodal ones need modalities")
    for line in written.assumed:
        say(f"  assumed: {line}")
    where = "" if out.parent == Path("dataset") else f" --data_path={shlex.quote(str(out.parent))}"
    say(f"next: recbole-mm inspect {out.name}{where}\n      recbole-mm run --model=MHCR --dataset={out.name}{where}")
