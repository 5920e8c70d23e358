"""The table of the libraries, a row for each size, task and library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from benchmarks.measuring import told

HEADERS = (
    "size", "task", "library", "seconds an epoch", "to ours", "CPU seconds", "to ours", "peak, MiB",
    "lists a second", "CPU time a list, to ours", "NDCG@20", "Recall@20",
)  # fmt: skip


def row(size: str, found: Mapping[str, Any]) -> list[str]:
    """Return the cells of a library; one that failed says how in the place of its seconds."""
    first = [size, found["task"], found["library"]]
    if "failed" in found:
        return [*first, found["failed"], *["-"] * (len(HEADERS) - 4)]
    return [
        *first,
        f"{found['seconds'][1]:.3g}",
        _ratio(found["ratio"]),
        f"{found['cpu_seconds']:.3g}",
        _ratio(found["cpu_ratio"]),
        f"{found['peak_mib']:,.0f}",
        f"{found['lists_a_second']:,.0f}",
        _ratio(found["lists_ratio"]),
        *(f"{found[metric]:.4f}" if metric in found else "-" for metric in ("ndcg@20", "recall@20")),
    ]


def _ratio(quartiles: list[float] | None) -> str:
    return "{1:.2f} ({0:.2f} to {2:.2f})".format(*quartiles) if quartiles else "-"


def _of_steps(steps: int) -> str:
    return f" that end after {steps} batches where a library lets us, and count as whole ones" if steps else ""


def markdown(result: Mapping[str, Any]) -> str:
    rows = [row(size, found) for size, part in result["sizes"].items() for found in part["rows"]]
    about = [
        f"{size}: {part['users']:,} users, {part['items']:,} items, {part['interactions']:,} training interactions, "
        f"{part['epochs']} epochs{_of_steps(part['steps'])}, lists of {part['lists']:,} users."
        for size, part in result["sizes"].items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    how = "one after the other" if result["alone"] else "in turns"
    words = f"Libraries {how}, medians (quartiles); {told(result['machine'])}; {versions}. {' '.join(about)}"
    return f"{words}\n\n{tabulate(rows, HEADERS, tablefmt='github', disable_numparse=True)}\n"
