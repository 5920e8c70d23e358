"""Whether one model is better than another: paired tests over users and over seeds, two-sided, corrected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import stats

DECIMALS = 12  # of a difference: the same values averaged in another order may differ in the 16th


class Paired(NamedTuple):
    """One paired test.

    Attributes
    ----------
    p : float
        Two-sided, of this test alone.
    p_holm : float
        Corrected for all tests of its family; see `corrected`.
    q : float
        Smallest false discovery rate at which the test is among the discoveries of its family.
    effect : float
        Rank-biserial correlation of the Wilcoxon test, Cohen's d of the differences of the t-test; positive where the
        first is larger.
    """

    p: float
    p_holm: float
    q: float
    effect: float


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry less another in one metric, over users (each averaged over the seeds) or over seeds (each over users).

    Attributes
    ----------
    over : str
        ``users`` or ``seeds``.
    n : int
        Pairs.
    n_different : int
        Pairs that are not equal, from which the Wilcoxon test has its ranks.
    mean : float
        Of the differences.
    """

    label: str
    against: str
    metric: str
    over: str
    n: int
    n_different: int
    mean: float
    wilcoxon: Paired
    t: Paired


def compare_paired(ours: np.ndarray, theirs: np.ndarray) -> tuple[int, float, Paired, Paired]:
    """Return the number of unequal pairs, the mean difference, the Wilcoxon signed-rank test and the paired t-test.

    Pairs without a difference are left out of the signed ranks, as by Wilcoxon; the t-test has all. Where no pair, or
    every pair by the same amount, is different, a test says nothing and has p = 1 or, for the latter, the t-test p = 0.

    Parameters
    ----------
    ours, theirs : float arrays, shape (n,)
        Two or more pairs.
    """
    difference = np.round(np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64), DECIMALS)
    unequal = difference[difference != 0]
    mean = float(difference.mean())
    if not len(unequal):
        same = Paired(1.0, 1.0, 1.0, 0.0)
        return 0, mean, same, same
    ranks = stats.rankdata(np.abs(unequal))
    effect = float(ranks @ np.sign(unequal) / ranks.sum())
    p = float(stats.wilcoxon(unequal, alternative="two-sided").pvalue)
    std = float(difference.std(ddof=1))
    if std > 1e-12 * abs(mean):
        d, p_t = mean / std, float(stats.ttest_rel(ours, theirs, alternative="two-sided").pvalue)
    else:
        d, p_t = math.copysign(math.inf, mean), 0.0
    return len(unequal), mean, Paired(p, p, p, effect), Paired(p_t, p_t, p_t, d)


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979), in the order given.

    The k-th smallest of m is multiplied by m - k + 1, and is at least what the ones before it became and at most 1.
    """
    out, largest = [0.0] * len(p), 0.0
    for place, index in enumerate(np.argsort(p, kind="stable")):
        largest = max(largest, min(1.0, (len(p) - place) * p[index]))
        out[index] = largest
    return out


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """Correct each of the two tests for a family: all the differences that are given.

    By Holm, which bounds the chance of any false finding, and by Benjamini and Hochberg (1995), which bounds the
    expected share of false ones among the findings.
    """
    wilcoxon = _corrected([one.wilcoxon for one in differences])
    t = _corrected([one.t for one in differences])
    return [replace(one, wilcoxon=w, t=s) for one, w, s in zip(differences, wilcoxon, t, strict=True)]


def _corrected(tests: Sequence[Paired]) -> list[Paired]:
    if not tests:
        return []
    p = [test.p for test in tests]
    rates = stats.false_discovery_control(p, method="bh").tolist()
    return [test._replace(p_holm=h, q=q) for test, h, q in zip(tests, holm(p), rates, strict=True)]
