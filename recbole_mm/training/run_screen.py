"""What a run says on the screen: its tables of metrics, and times in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recbole_mm.base.metrics import PRINTED
from recbole_mm.base.screen_tables import text_table
from recbole_mm.training.groups import group_title

Line = Callable[[str], object]  # takes a line for the user


def metrics_table(valid: Mapping[str, float], test: Mapping[str, float], digits: int = PRINTED) -> str:
    """Return a text table with a row a metric and the columns valid and test; a missing value is blank."""
    rows = [(metric, valid.get(metric), test.get(metric)) for metric in dict.fromkeys((*valid, *test))]
    return text_table(("metric", "valid", "test"), rows, digits=digits)


def groups_table(groups: Mapping[str, Sequence[Mapping[str, Any]]], valid_metric: str, digits: int = PRINTED) -> str:
    """Return a text table of test metrics by group, those with the k of `valid_metric`, a row a group.

    Parameters
    ----------
    groups : mapping
        As `recbole_mm.training.groups.GroupEvaluator` has them.
    valid_metric : str
        Such as ``NDCG@10``.
    digits : int
        Behind the point.
    """
    at_k = "@" + valid_metric.partition("@")[2]
    of_all = dict.fromkeys(metric for kind in groups.values() for group in kind for metric in group["metrics"])
    metrics = [metric for metric in of_all if metric.endswith(at_k)]
    rows = []
    for kind, each in groups.items():
        for group in each:
            rows.append((f"{kind}: {group_title(group)}", group["evaluated"], *map(group["metrics"].get, metrics)))
    return "test, by training interactions\n" + text_table(("group", "evaluated", *metrics), rows, digits=digits)


def duration(seconds: float) -> str:
    """Return a time in its two largest units, such as ``3 h 12 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
