"""What users build on: names and signatures of the package, and commands with their options.

A change of `public.json` is a change for users: one that takes something away needs a new major version.
`python tests/test_public.py` writes the file anew.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import recbole_mm
from recbole_mm.commands import arguments

FILE = Path(__file__).with_name("public.json")


def parameters(function: Any) -> list[str]:
    """Return each as `name`, `name=` where it may be left out, `*name` where it needs its name."""
    found = inspect.signature(function).parameters.values()
    return [f"{'*' * (one.kind is one.KEYWORD_ONLY)}{one.name}{'=' * (one.default is not one.empty)}" for one in found]


def public() -> dict[str, Any]:
    functions = {name: parameters(getattr(recbole_mm, name)) for name in recbole_mm.__all__}
    modules = sorted(file.stem for file in Path(arguments.__path__[0]).glob("*.py") if file.stem != "__init__")
    commands = {}
    for name in modules:
        parser = importlib.import_module(f"{arguments.__name__}.{name}").parser()
        options = sorted(option for action in parser._actions for option in action.option_strings)
        commands[name.replace("_", " ")] = [option for option in options if option not in ("-h", "--help")]
    return {"functions": functions, "commands": commands}


def test_public_names_are_as_they_were() -> None:
    assert public() == json.loads(FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    FILE.write_text(json.dumps(public(), indent=2) + "\n", encoding="utf-8")
