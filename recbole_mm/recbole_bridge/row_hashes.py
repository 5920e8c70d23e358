"""Hashes of rows that do not depend on their order; of whole arrays, as there may be many millions of rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from recbole_mm.data.identity import HASHED_ROWS


def part_summary(part: Any) -> dict[str, Any]:
    """Return the number of a part's interactions, and a hash of them and their histories in any order."""
    feat, total = part.inter_feat, 0
    fields = [name for name in (part.uid_field, part.iid_field) if name is not None and name in feat]
    histories = f"{part.iid_field}{part.config['LIST_SUFFIX']}"
    for start in range(0, len(feat) if fields else 0, HASHED_ROWS):
        rows = feat[start : start + HASHED_ROWS]
        code = np.zeros(len(rows), dtype=np.uint64)
        for name in fields:
            code = _mixed(code * np.uint64(31) + rows[name].numpy().astype(np.uint64))
        if histories in rows:
            items = rows[histories].numpy().astype(np.uint64)  # (rows, longest)
            weights = _mixed(np.arange(items.shape[1], dtype=np.uint64))
            code = _mixed(code + (items * weights).sum(1, dtype=np.uint64))
        total = (total + int(code.sum(dtype=np.uint64))) % 2**64
    return {"interactions": len(feat), "hash": f"{total:016x}"}


def column_hashes(feat: Any, ids: Collection[str]) -> dict[str, str]:
    """Return a hash of every column of a table with the users and items that its values belong to.

    Parameters
    ----------
    feat : Interaction
        A table of RecBole's: interactions, users, items, or another one, such as the triples of a knowledge graph.
    ids : collection of str
        The columns of users and items. A table without them has one hash, of its `rows`.
    """
    columns = sorted(feat.columns)
    known = [name for name in columns if name in ids]
    totals = dict.fromkeys([name for name in columns if name not in known] if known else ["rows"], 0)
    widest = max((feat[:1][name].numel() for name in columns), default=1)
    step = max(1, HASHED_ROWS // max(1, widest))
    for start in range(0, len(feat) if totals else 0, step):
        rows = feat[start : start + step]
        code = np.zeros(len(rows), dtype=np.uint64)
        for name in known or columns:
            code = _mixed(code * np.uint64(31) + _bits(rows[name].numpy()))
        for name in totals:
            of_column = _mixed(code * np.uint64(31) + _bits(rows[name].numpy())) if known else code
            totals[name] = (totals[name] + int(of_column.sum(dtype=np.uint64))) % 2**64
    return {name: f"{total:016x}" for name, total in totals.items()}


def _bits(values: np.ndarray) -> np.ndarray:
    """Return a whole number of 64 bits for each row of numbers (n, ...)."""
    bits = (values.astype(np.float64) + 0.0).view(np.uint64)  # -0.0 becomes 0.0
    if bits.ndim == 1:
        return bits
    bits = _mixed(bits.reshape(len(bits), -1))
    return (bits * _mixed(np.arange(bits.shape[1], dtype=np.uint64))).sum(1, dtype=np.uint64)


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return whole numbers of 64 bits, far apart where the given ones are near (splitmix64)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
