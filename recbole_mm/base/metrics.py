"""Metrics by name: which direction is better, how a name is written, which epoch is best, and values as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recbole.evaluator import smaller_metrics
from recbole.evaluator.register import metrics_dict

DIGITS = 15  # RecBole's metrics always round: so many keep what a 64-bit float tells of a value up to 1
PRINTED = 4


def sign(metric: str) -> int:
    """Return 1 for a metric such as ``NDCG@10`` that should be large, -1 for one that should be small."""
    return -1 if metric.partition("@")[0].lower() in smaller_metrics else 1


def key_of(metric: str) -> str:
    """Return a metric as results have it: ``ndcg@10``."""
    return metric.lower()


def spelled(metric: str) -> str:
    """Return a metric as papers spell it: ``NDCG@10`` for ``ndcg@10``."""
    name, at, k = metric.partition("@")
    known = metrics_dict.get(name.lower())
    return (known.__name__ if known else name) + at + k


def best_epoch(history: Sequence[Mapping[str, Any]], valid_metric: str) -> int | None:
    """Return the epoch with the best `valid_score`, None where no epoch has one.

    Among equal scores the last one is the best, as for RecBole's early stopping.
    """
    scored = [entry for entry in reversed(history) if entry["valid_score"] is not None]
    if not scored:
        return None
    return int(max(scored, key=lambda entry: sign(valid_metric) * entry["valid_score"])["epoch"])


def unround(evaluator: Any) -> None:
    """Let an evaluator of RecBole's return its values unrounded; `metric_decimal_place` is for what is printed."""
    for metric in evaluator.metric_class.values():
        metric.decimal_place = DIGITS
