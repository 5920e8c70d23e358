"""How far a comparison is, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

from tqdm import tqdm

from recbole_mm.comparison.planned_runs import PlannedRun
from recbole_mm.training.run_screen import duration


class Progress:
    """A bar over the runs, with the time left.

    Parameters
    ----------
    planned_runs : sequence of PlannedRun
        Those that are to be trained.
    done : int
        Those that were there before.
    """

    def __init__(self, planned_runs: Sequence[PlannedRun], done: int) -> None:
        self.left = list(planned_runs)
        self.took: dict[tuple[str, str], list[float]] = {}  # seconds, by dataset and row
        self.bar: Any = tqdm(
            total=done + len(planned_runs), initial=done, unit="run", dynamic_ncols=True,
            bar_format="{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} runs [{elapsed}{postfix}]",
        )  # fmt: skip

    def ended(self, planned: PlannedRun, seconds: float, line: str) -> None:
        """Note that a run has ended, and say how."""
        self.left.remove(planned)
        if seconds:
            self.took.setdefault((planned.dataset, planned.row.label), []).append(seconds)
        self.bar.write(line)
        if self.took:
            self.bar.set_postfix_str(f"{duration(self.time_left(self.bar.format_dict['elapsed']))} left", refresh=False)
        self.bar.update()

    def time_left(self, elapsed: float) -> float:
        """Return seconds, after `elapsed` seconds in which some runs have finished.

        Each run that is left takes as long as its row did so far, else as its dataset, else as all runs, and as many
        run side by side as did.
        """
        everything = [one for each in self.took.values() for one in each]
        total = 0.0
        for planned in self.left:
            near = [one for (dataset, _), each in self.took.items() if dataset == planned.dataset for one in each]
            total += mean(self.took.get((planned.dataset, planned.row.label)) or near or everything)
        return total * elapsed / sum(everything)

    def close(self) -> None:
        self.bar.close()
