"""The notebooks run from their first cell to their last, and hold no output of any machine."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from comparisons import in_this_process

from recbole_mm.comparison import compare as comparing

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def cells(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return found


def shown(source: str, names: dict[str, Any]) -> Any:
    """Run a cell, and return what its last line shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_every_cell_runs(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "in_processes", in_this_process)
    names: dict[str, Any] = {}
    tables = 0
    for cell in cells(file):
        if cell["cell_type"] == "code":
            found = shown("".join(cell["source"]), names)
            tables += hasattr(found, "columns")
            assert not hasattr(found, "columns") or len(found)
    assert tables >= 3


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_whole_and_holds_no_output(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["metadata"]["language_info"]["name"]) == (4, "python")
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    assert content["cells"][0]["source"][0].startswith("# ")
    assert all(
        not cell["outputs"] and cell["execution_count"] is None for cell in content["cells"] if "outputs" in cell
    )
