"""The picture of a run: training loss and validation metric by epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recbole_mm.base.metrics import best_epoch

BLUE, ORANGE = "#1f5fa8", "#c8541b"
# A layout that fits itself to the labels takes as long as the rest of the picture.
MARGINS = {"left": 0.13, "right": 0.97, "bottom": 0.1, "top": 0.94, "hspace": 0.28}


def plot_curve(folder: str | os.PathLike[str], history: Sequence[Mapping[str, Any]], valid_metric: str) -> Path:
    """Draw the training loss and the validation metric by epoch into `curve.png` and return the path.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    history : sequence of mappings
        One an epoch, at least one: `epoch`, `train_loss`, and `valid_score`, which is None for an epoch
        without validation.
    valid_metric : str
        Such as ``NDCG@10``. It labels the lower axis, and tells whether the best score is the lowest.
    """
    figure = Figure(figsize=(7, 5.5))
    FigureCanvasAgg(figure)
    loss_axis, metric_axis = figure.subplots(2, 1, sharex=True, gridspec_kw=MARGINS)
    losses = {entry["epoch"]: entry["train_loss"] for entry in history}
    loss_axis.plot(list(losses), list(losses.values()), marker=".", color=BLUE)
    loss_axis.set_title("Training loss", loc="left")
    loss_axis.set_ylabel("loss")

    scores = {entry["epoch"]: entry["valid_score"] for entry in history if entry["valid_score"] is not None}
    metric_axis.plot(list(scores), list(scores.values()), marker=".", color=ORANGE)
    metric_axis.set_title(f"Validation {valid_metric}", loc="left")
    metric_axis.set_ylabel(valid_metric)
    metric_axis.set_xlabel("epoch")
    metric_axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))

    best = best_epoch(history, valid_metric)
    if best is not None:
        metric_axis.plot(best, scores[best], "o", markersize=9, markerfacecolor="none", color="black")
        metric_axis.set_title(f"best {scores[best]:.4f} in epoch {best}", loc="right", fontsize="medium")
    for axis in (loss_axis, metric_axis):
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        if best is not None:
            axis.axvline(best, color="grey", linestyle=":", linewidth=1)

    path = Path(folder) / "curve.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path
