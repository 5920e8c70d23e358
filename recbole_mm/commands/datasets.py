"""`recbole-mm datasets`: the datasets that `convert` knows, one of them whole, or whether a folder has its files."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

from recbole_mm.base.errors import InputError
from recbole_mm.base.screen_tables import screen_width, text_table
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.conversion.known_datasets import KnownDataset, KnownFile, check_folder, known_dataset, known_datasets

UNVERIFIED = "not verified"
FAILS = ("missing", "differs")  # states of a file with which a folder is not the dataset's
_LABEL = 14  # columns before what is told


def main(arguments: Arguments, say: Say) -> int:
    """Print all datasets, one, or what a folder has of it; return 0, or 1 where a file is missing or differs."""
    name, folder = arguments.options.name, arguments.options.check
    if not name and folder is not None:
        raise InputError("--check needs a dataset: recbole-mm datasets NAME --check=FOLDER")
    if not name:
        _say_all(say)
        return 0
    dataset = known_dataset(name)
    if folder is not None:
        return _say_checked(dataset, folder, say)
    _say_dataset(dataset, say)
    return 0


def _say_all(say: Say) -> None:
    heads = ("dataset", "users", "items", "interactions", "modalities", "kind")
    rows = [
        (one.name, _count(one.users), _count(one.items), _count(one.all_interactions),
         "-" if one.modalities is None else ", ".join(one.modalities), one.layout.replace("none", "-"))
        for one in known_datasets().values()
    ]  # fmt: skip
    say(text_table(heads, rows, right=(1, 2, 3)))
    say("\n- among numbers and modalities: not verified. Kinds are those of convert, and")
    say("real_data is benchmarks.real_data. Nothing is downloaded.")
    say("recbole-mm datasets NAME tells of one: its source, terms, files and command.")


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _say_dataset(dataset: KnownDataset, say: Say) -> None:
    say("\n".join(textwrap.wrap(f"{dataset.name}: {dataset.about}", screen_width())))
    for label, lines in (
        ("users", [_told(dataset.users)]),
        ("items", [_told(dataset.items)]),
        ("interactions", [_told(dataset.interactions)]),
        ("modalities", [UNVERIFIED if dataset.modalities is None else ", ".join(dataset.modalities)]),
        ("source", dataset.source),
        ("paper", [dataset.paper]),
        ("terms", [dataset.terms]),
        ("notes", dataset.notes),
    ):
        _say_labelled(label, lines, say)
    say("files")
    width = max(len(file.name) for file in dataset.files)
    for file in dataset.files:
        say(f"  {file.name:<{width}}  {_told_file(file)}")
        if file.sha256:
            say(f"    sha256 {file.sha256}")
    say("commands")
    for command in dataset.commands:
        say(f"  {command}")


def _told(number: int | Mapping[str, int] | None) -> str:
    if number is None:
        return UNVERIFIED
    if isinstance(number, int):
        return f"{number:,}"
    parts = ", ".join(f"{part} {count:,}" for part, count in number.items())
    return f"{sum(number.values()):,} ({parts})"


def _told_file(file: KnownFile) -> str:
    size = "size and checksum not measured" if file.size is None else f"{file.size:,} bytes"
    return f"{size}; optional" if file.optional else size


def _say_labelled(label: str, lines: Iterable[str], say: Say) -> None:
    for number, line in enumerate(lines):
        first = f"{'' if number else label:<{_LABEL}}"
        say(textwrap.fill(line, screen_width(), initial_indent=first, subsequent_indent=" " * _LABEL,
                          break_long_words=False, break_on_hyphens=False))  # fmt: skip


def _say_checked(dataset: KnownDataset, folder: Path, say: Say) -> int:
    found = check_folder(dataset, folder)
    for file in found:
        say(f"{file.state:<10}  {file.name}{file.why and ': '}{file.why}")
    states = [file.state for file in found]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    say(f"{folder}: {counts}")
    if "unmeasured" in states:
        say("unmeasured: the file is there; nobody has measured the published one")
    return int(any(state in FAILS for state in states))
