"""Which rows of a table are tested against which, and what the tests say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from recbole_mm.base.metrics import sign
from recbole_mm.comparison.benchmark import Entry, Run
from recbole_mm.comparison.significance import Difference, compare_paired, corrected


def best_baseline(entries: Sequence[Entry], valid_metric: str) -> Entry | None:
    """Return the baseline that is best in validation, of all models where none is a baseline; None without any.

    Only models with a result for every seed count; the test has no say.
    """
    models = [entry for entry in entries if entry.complete and not entry.ablation_of]
    known = [entry for entry in models if entry.baseline] or models
    known = [entry for entry in known if entry.mean("valid", valid_metric) is not None]
    return max(known, key=lambda entry: sign(valid_metric) * (entry.mean("valid", valid_metric) or 0.0), default=None)


def entry_pairs(entries: Sequence[Entry], valid_metric: str) -> list[tuple[Entry, Entry]]:
    """Return who is compared with whom: models with the best baseline, ablations with the whole model.

    Where all models are baselines, or none is, all others are compared with the best one.
    """
    best = best_baseline(entries, valid_metric)
    models = [entry for entry in entries if not entry.ablation_of and entry is not best]
    ours = [entry for entry in models if not entry.baseline] or models
    pairs = [(entry, best) for entry in ours if best is not None]
    whole = {entry.label: entry for entry in entries}
    pairs += [(entry, whole[entry.ablation_of]) for entry in entries if entry.ablation_of]
    return [(one, other) for one, other in pairs if one.complete and other.complete]


def differences(entries: Sequence[Entry], valid_metric: str, metrics: Sequence[str]) -> tuple[Difference, ...]:
    """Return the tests of all pairs in all metrics.

    Those over users are one family, for which their p-values are corrected, and those over seeds are another.
    """
    sources: dict[str, Callable[[Entry, str], dict[Any, float]]] = {"users": _by_user, "seeds": _by_seed}
    out: list[Difference] = []
    for over, values in sources.items():
        family = []
        for (one, other), metric in product(entry_pairs(entries, valid_metric), metrics):
            a, b = values(one, metric), values(other, metric)
            keys = [key for key in a if key in b]
            if len(keys) > 1:
                found = compare_paired(*(np.array([each[key] for key in keys]) for each in (a, b)))
                family.append(Difference(one.label, other.label, metric, over, len(keys), *found))
        out += corrected(family)
    return tuple(out)


def _by_user(entry: Entry, metric: str) -> dict[str, float]:
    """Return a metric of each user, the mean over the seeds that have tested that user."""
    runs: list[Run] = [run for run in entry.finished if metric in (run.by_user or {})]
    if not runs:
        return {}
    users, place = np.unique(np.concatenate([run.users for run in runs]), return_inverse=True)
    values = np.concatenate([(run.by_user or {})[metric] for run in runs])
    means = np.bincount(place, values) / np.bincount(place)
    return dict(zip(users.tolist(), means.tolist(), strict=True))


def _by_seed(entry: Entry, metric: str) -> dict[int, float]:
    """Return a metric of each seed, as the table has it."""
    return {run.seed: found[metric] for run in entry.finished if metric in (found := run.test or {})}
