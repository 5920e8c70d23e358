"""Nearest items of large catalogues: seconds, the process's peak of memory, and how many neighbours faiss finds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from tabulate import tabulate

from benchmarks.measuring import arguments, machine, seconds, told, workplace, write_results
from recbole_mm.base.memory import peak_memory
from recbole_mm.graphs import nearest as knn

CENTRES = 1_000  # kinds of items, around which features are drawn
SPREAD = 0.5  # of an item around its centre, whose numbers have deviation 1


def draw_features(n_items: int, dim: int, seed: int = 2024) -> torch.Tensor:
    """Return features (n_items, dim) of items of `CENTRES` kinds."""
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(CENTRES, dim, generator=random)
    features = torch.empty(n_items, dim)
    for chunk in features.split(10_000):  # so that nothing else of the size of the features is held
        kind = torch.randint(CENTRES, (len(chunk),), generator=random)
        torch.randn(chunk.shape, generator=random, out=chunk).mul_(SPREAD).add_(centres[kind])
    return features


def bench(n_items: int, dim: int, k: int, method: str, threads: int) -> dict[str, Any]:
    """Return the machine, the seconds of the search alone, the peak memory, and the recall of an approximation."""
    with workplace(threads) as folder, patch.dict(os.environ, RECBOLE_MM_CACHE=str(folder)):
        about = machine()
        features = draw_features(n_items, dim)
        before = peak_memory()["ram"]
        found: list[tuple[np.ndarray, np.ndarray]] = []
        took = seconds(lambda: found.append(knn.nearest_items(features, k, method)))
        peak = peak_memory()["ram"]
        some = torch.from_numpy(np.random.default_rng(0).permutation(n_items)[: knn.RECALL_SAMPLE])
        exact, _ = knn.nearest_among(features[some], features, k)
        neighbours = found[0][0][some.numpy()]
        recall = np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(exact, neighbours, strict=True)])
    return {
        "items": n_items, "dim": dim, "k": k, "method": method, "seconds": took, "recall": float(recall),
        "peak_mib": peak, "features_mib": features.nbytes / 2**20, "before_mib": before, "machine": about,
    }  # fmt: skip


def markdown(result: dict[str, Any]) -> str:
    row = (
        f"{result['items']:,} x {result['dim']:,}", result["method"], f"{result['seconds']:.0f}",
        f"{result['recall']:.1%}", f"{result['features_mib']:,.0f}", f"{result['peak_mib']:,.0f}",
    )  # fmt: skip
    headers = (
        "features",
        "method",
        "seconds",
        f"of the {result['k']} nearest",
        "features, MiB",
        "peak of process, MiB",
    )
    about = f"Nearest items; {told(result['machine'])}."
    return f"{about}\n\n{tabulate([row], headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.neighbours", __doc__)
    parser.add_argument("--items", default=63_001, type=int)
    parser.add_argument("--dim", default=4_096, type=int)
    parser.add_argument("--neighbours", default=10, type=int)
    parser.add_argument("--method", default="exact", choices=("exact", "faiss"))
    args = parser.parse_args(argv)
    result = bench(args.items, args.dim, args.neighbours, args.method, args.threads)
    write_results(args.out, f"neighbours-{args.items}x{args.dim}-{args.method}", result, markdown(result))


if __name__ == "__main__":
    main()
