"""How far a comparison is, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

from tqdm import tqdm

from recbole_mm.comparison.plan import Cell
from recbole_mm.training.screen import duration


class Progress:
    """A bar over the cells, with the time left.

    Parameters
    ----------
    cells : sequence of Cell
        Those that are to be trained.
    done : int
        Those that were there before.
    """

    def __init__(self, cells: Sequence[Cell], done: int) -> None:
        self.left = list(cells)
        self.took: dict[tuple[str, str], list[float]] = {}  # seconds, by data set and row
        self.bar: Any = tqdm(
            total=done + len(cells), initial=done, unit="cell", dynamic_ncols=True,
            bar_format="{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} cells [{elapsed}{postfix}]",
        )  # fmt: skip

    def ended(self, cell: Cell, seconds: float, line: str) -> None:
        """Note that a cell has ended, and say how."""
        self.left.remove(cell)
        if seconds:
            self.took.setdefault((cell.dataset, cell.row.label), []).append(seconds)
        self.bar.write(line)
        if self.took:
            self.bar.set_postfix_str(f"{duration(self.time_left(self.bar.format_dict['elapsed']))} left", refresh=False)
        self.bar.update()

    def time_left(self, elapsed: float) -> float:
        """Return seconds, after `elapsed` seconds in which some cells have finished.

        Each cell that is left takes as long as its row did so far, else as its data set, else as all cells, and as many
        run side by side as did.
        """
        everything = [one for each in self.took.values() for one in each]
        total = 0.0
        for cell in self.left:
            near = [one for (dataset, _), each in self.took.items() if dataset == cell.dataset for one in each]
            total += mean(self.took.get((cell.dataset, cell.row.label)) or near or everything)
        return total * elapsed / sum(everything)

    def close(self) -> None:
        self.bar.close()
