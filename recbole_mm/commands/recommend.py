"""`recbole-mm recommend`: top-k lists from a checkpoint or an exported folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from recbole_mm.base.errors import number_of
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.serving.list_files import check_list_file
from recbole_mm.serving.open_source import open_source
from recbole_mm.serving.recommend import ListRequest, Recommended, tables, write_lists


def main(arguments: Arguments, say: Say) -> int:
    """Recommend and say what was; return 0."""
    known = arguments.options
    if known.out:
        check_list_file(Path(known.out))
    request = ListRequest(
        known.users, known.k, known.include_seen, known.items, known.histories, known.unknown, known.why
    )
    new = dict(_named_file(text) for text in known.new_items)
    scorer, told = open_source(Path(known.source), known.device, new, known.new_item_ids), Recommended()
    if known.out:
        write_lists(scorer, request, told, Path(known.out))
    else:
        for number, table in enumerate(tables(scorer, request, told)):
            if not number:
                say("\t".join(table.column_names))
            for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
                say("\t".join(map(cell_text, row)))
    for line in summary(told, known.unknown, known.out):
        say(line, sys.stderr)
    return 0


def cell_text(value: object) -> str:
    """Return a cell in the terminal."""
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _named_file(text: str) -> tuple[str, str]:
    """Return the modality, empty where it is not named, and the file."""
    name, _, file = text.rpartition("=")
    return name, file


def summary(told: Recommended, unknown: str, out: str | None) -> Sequence[str]:
    """Return what was recommended and what was not, line by line."""
    lines = [f"{number_of(told.lists, 'list')}, {number_of(told.rows, 'row')}" + (f", in {out}" if out else "")]
    if told.unknown_users:
        given = (
            "got popular items" if unknown == "popular" else "got no list; --unknown=popular gives them popular items"
        )
        users = number_of(len(told.unknown_users), "unknown user")
        lines.append(f"  {users}, such as '{told.unknown_users[0]}', {given}")
    if told.without:
        lines.append(f"  {number_of(len(told.without), 'user')}, such as '{told.without[0]}': no item is left for them")
    if told.unknown_items:
        items = number_of(len(told.unknown_items), "unknown item")
        lines.append(f"  {items} in --items, such as '{told.unknown_items[0]}'")
    if told.unknown_interactions:
        rows = number_of(told.unknown_interactions, "interaction")
        lines.append(f"  {rows} of --histories with unknown items, left out")
    return lines
