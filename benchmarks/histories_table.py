"""The table of `benchmarks.histories`: metrics by variant and noise, and paired tests over users."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from recbole_mm.comparison.significance import compare_paired

TOP = 10
FULL = "full"  # the variant that the others are compared with


def markdown(data: str, variants: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """Return two tables: metrics by variant and noise, and how much noise costs beside the full model."""
    frame = pd.DataFrame(rows)
    levels = sorted(frame["noise"].unique())
    found = [variant for variant in variants if variant in set(frame["variant"])]
    clean = frame[frame["noise"] == levels[0]]
    first = [
        (
            variant,
            len(own),
            *(_spread(own[key]) for key in ("valid", "test", "recall")),
            *_beside(frame, variant, levels[0]),
        )
        for variant in found
        for own in [clean[clean["variant"] == variant]]
    ]
    headers = ("variant", "seeds", f"valid NDCG@{TOP}", f"test NDCG@{TOP}", f"test Recall@{TOP}", "full less it", "p")
    second = []
    for variant, level in product(found, levels):
        own = frame[(frame["variant"] == variant) & (frame["noise"] == level)]
        if len(own):
            second.append(
                (
                    variant,
                    f"{level:.0%}",
                    _spread(own["test"]),
                    _loss(frame, variant, level, levels[0]),
                    *_beside(frame, variant, level),
                )
            )
    noise_headers = ("variant", "noise", f"test NDCG@{TOP}", "lost to noise", "full less it", "p")
    tables = (
        tabulate(body, head, tablefmt="github", disable_numparse=True)
        for body, head in ((first, headers), (second, noise_headers))
    )
    return f"{data}, leave-one-out by time, means and deviations over seeds\n\n" + "\n\n".join(tables) + "\n"


def _spread(values: pd.Series, form: str = ".4f") -> str:
    return f"{values.mean():{form}}" + (f" ± {values.std():{form}}" if len(values) > 1 else "")


def _loss(frame: pd.DataFrame, variant: str, level: float, clean: float) -> str:
    """Return the relative loss of the test metric against the same seed's clean histories, mean and deviation."""
    by_seed = frame[frame["variant"] == variant].pivot(index="seed", columns="noise", values="test")
    if clean not in by_seed or level == clean:
        return ""
    return _spread((1 - by_seed[level] / by_seed[clean]).dropna(), ".1%")


def _beside(frame: pd.DataFrame, variant: str, level: float) -> tuple[str, str]:
    """Return the mean difference of users' test NDCG@10 to the full model, over common seeds, and its paired p."""
    at = frame[frame["noise"] == level]
    full, other = (at[at["variant"] == name].set_index("seed")["users"] for name in (FULL, variant))
    seeds = full.index.intersection(other.index)
    if variant == FULL or seeds.empty:
        return "", ""
    ours, theirs = (np.mean([column[seed] for seed in seeds], axis=0) for column in (full, other))
    _, mean, _, t = compare_paired(ours, theirs)
    return f"{mean:+.4f}", f"{t.p:.2g}"
