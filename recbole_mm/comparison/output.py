"""The folder of a comparison: its tables, its page, and result.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recbole_mm.base.environment import environment
from recbole_mm.base.files import replace_text
from recbole_mm.comparison import tables
from recbole_mm.comparison.page import page
from recbole_mm.comparison.plan import Cell
from recbole_mm.comparison.record import NOT_TRAINED, Benchmark
from recbole_mm.comparison.training import read_cell
from recbole_mm.training.result import write_result

TOLD = ("valid", "test", "best_epoch", "epochs", "seconds_per_epoch", "n_parameters", "peak_memory_mib", "folder")


def write_outputs(out: Path, benchmarks: Sequence[Benchmark], cells: Sequence[Cell], command: str) -> None:
    """Write `table.md`, `table.csv`, `table.tex`, `differences.csv`, `compare.html` and `result.json`.

    Parameters
    ----------
    out : Path
        The folder.
    benchmarks : sequence of Benchmark
        A table each.
    cells : sequence of Cell
        What the tables are made from.
    command : str
        With which it was made.
    """
    found = environment()
    title = f"Comparison on {', '.join(one.dataset for one in benchmarks)}"
    replace_text(out / "table.md", tables.markdown(benchmarks))
    replace_text(out / "table.tex", tables.latex(benchmarks))
    replace_text(out / "table.csv", tables.csv_text(benchmarks))
    replace_text(out / "differences.csv", tables.differences_csv(benchmarks))
    replace_text(out / "compare.html", page(title, benchmarks, command, found))
    write_result(
        out,
        {
            "command": command,
            "environment": found,
            "cells": [_told(cell) for cell in cells],
            "differences": [{"dataset": one.dataset, **asdict(each)} for one in benchmarks for each in one.differences],
        },
    )


def _told(cell: Cell) -> dict[str, Any]:
    run, result = read_cell(cell) or (None, {})
    settings = {key: value for key, value in (cell.request.settings or {}).items() if key != "checkpoint_dir"}
    return {
        "dataset": cell.dataset,
        "row": cell.row.label,
        "model": cell.row.model,
        "seed": cell.seed,
        "baseline": cell.row.baseline,
        "settings": settings,
        "config_files": list(cell.request.config_files),
        "error": run.error if run else NOT_TRAINED,
        "seconds": run.seconds if run else None,
        **{key: result.get(key) for key in TOLD},
        "held_out": result.get("held_out"),
        "environment": result.get("environment"),
    }
