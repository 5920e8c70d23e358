"""The folder of a comparison: its tables, its page, and result.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recbole_mm.base.environment import environment
from recbole_mm.base.files import replace_text
from recbole_mm.comparison import text_tables
from recbole_mm.comparison.benchmark import NOT_TRAINED, Benchmark
from recbole_mm.comparison.compare_page import comparison_html
from recbole_mm.comparison.group_tables import groups_csv, groups_markdown
from recbole_mm.comparison.planned_runs import PlannedRun
from recbole_mm.comparison.training import read_run
from recbole_mm.comparison.tuned import TunedRow
from recbole_mm.training.result_files import write_result

TOLD = ("valid", "test", "best_epoch", "epochs", "seconds_per_epoch", "n_parameters", "peak_memory_mib", "folder")


def write_outputs(
    out: Path,
    benchmarks: Sequence[Benchmark],
    planned_runs: Sequence[PlannedRun],
    tuned: Sequence[TunedRow],
    command: str,
) -> None:
    """Write `table.md`, `.csv` and `.tex`, `groups.md` and `.csv`, `differences.csv`, `compare.html`, `result.json`.

    Parameters
    ----------
    out : Path
        The folder.
    benchmarks : sequence of Benchmark
        A table each.
    planned_runs : sequence of PlannedRun
        What the tables are made from.
    tuned : sequence of TunedRow
        With what settings, where rows were tuned.
    command : str
        With which it was made.
    """
    found = environment()
    title = f"Comparison on {', '.join(one.dataset for one in benchmarks)}"
    replace_text(out / "table.md", text_tables.markdown(benchmarks))
    replace_text(out / "table.tex", text_tables.latex(benchmarks))
    replace_text(out / "table.csv", text_tables.csv_text(benchmarks))
    replace_text(out / "groups.md", groups_markdown(benchmarks))
    replace_text(out / "groups.csv", groups_csv(benchmarks))
    replace_text(out / "differences.csv", text_tables.differences_csv(benchmarks))
    replace_text(out / "compare.html", comparison_html(title, benchmarks, command, found))
    write_result(
        out,
        {
            "command": command,
            "environment": found,
            "tuned": [_choice(one) for one in tuned],
            "runs": [_told(planned) for planned in planned_runs],
            "differences": [{"dataset": one.dataset, **asdict(each)} for one in benchmarks for each in one.differences],
        },
    )


def _choice(tuned: TunedRow) -> dict[str, Any]:
    best = tuned.best
    return {
        "dataset": tuned.search.dataset,
        "row": tuned.search.row.label,
        "trials": len(tuned.tried),
        "trial": best.trial.run.trial if best else None,
        "settings": dict(best.trial.searched) if best else {},
        "valid": {tuned.valid_metric: best.score} if best else {},
    }


def _told(planned: PlannedRun) -> dict[str, Any]:
    run, result = read_run(planned) or (None, {})
    settings = {key: value for key, value in (planned.request.settings or {}).items() if key != "checkpoint_dir"}
    return {
        "dataset": planned.dataset,
        "row": planned.row.label,
        "model": planned.row.model,
        "seed": planned.seed,
        "baseline": planned.row.baseline,
        "settings": settings,
        "config_files": list(planned.request.config_files),
        "error": run.error if run else NOT_TRAINED,
        "seconds": run.seconds if run else None,
        **{key: result.get(key) for key in TOLD},
        "held_out": result.get("held_out"),
        "environment": result.get("environment"),
    }
