"""Rooms import only what stands below them, in no circle; a name means one thing in the whole pack."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

import recbole_mm

PACK = Path(recbole_mm.__file__).parent
LOOSE = {"__init__", "__main__"}

# A room may import itself and the rooms of the floors below its own.
FLOORS = (
    {"base", "html"},
    {"settings", "data", "parallel"},
    {"graphs", "recbole_bridge", "conversion", "extraction"},
    {"model", "configuration", "refinement"},
    {"training"},
    {"comparison", "tuning", "inspection", "serving"},
    {"commands"},
)
# RecBole's own load_data_and_model leads into the pack; when it is called, everything is imported.
DEFERRED = {("recbole_bridge", "training")}


@cache
def imports() -> dict[str, set[str]]:
    """Return by room the rooms that its modules import."""
    found: dict[str, set[str]] = {}
    for file in PACK.rglob("*.py"):
        parts = file.relative_to(PACK).parts
        if len(parts) == 1:
            assert file.stem in LOOSE, f"{file.name} stands in no room"
            continue
        rooms = found.setdefault(parts[0], set())
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            rooms.update(name.split(".")[1] for name in names if name.startswith("recbole_mm."))
    return {room: others - {room} for room, others in found.items()}


def test_every_room_has_a_floor() -> None:
    assert set(imports()) == set().union(*FLOORS)


@pytest.mark.parametrize("floor", range(len(FLOORS)))
def test_rooms_import_what_is_below_them(floor: int) -> None:
    below = set().union(*FLOORS[:floor])
    beside = {(room, other) for room in FLOORS[floor] for other in imports()[room] - below} - DEFERRED
    assert beside == set()


def test_the_documentation_has_the_same_floors() -> None:
    page = (PACK.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| `(\w+)`", page, re.MULTILINE)
    assert {(int(floor), room) for floor, room in rows} == {
        (number, room) for number, rooms in enumerate(FLOORS) for room in rooms
    }


# What every command, format of conversion and arguments module has, and what the package itself gives.
ALIKE = {"main", "parser", "read", "register_model"}


def test_a_name_means_one_thing() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for file in PACK.rglob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            names += [node.name] if isinstance(node, ast.ClassDef | ast.FunctionDef) else []
            for name in names:
                homes[name].add(str(file.relative_to(PACK)))
    twice = {name: files for name, files in homes.items() if len(files) > 1 and not name.startswith("_")}
    assert {name: files for name, files in twice.items() if name not in ALIKE} == {}


def test_a_module_has_a_name_of_its_own() -> None:
    rooms: dict[str, set[str]] = defaultdict(set)
    for file in PACK.rglob("*.py"):
        if file.stem not in LOOSE:
            rooms[file.stem].add(file.relative_to(PACK).parts[0])
    # A command's module is named like the command, and like the module that does its work.
    assert {name: found for name, found in rooms.items() if len(found - {"commands"}) > 1} == {}
