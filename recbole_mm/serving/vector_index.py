"""An index of item vectors for approximate lists, with the share of the exact ones that it finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recbole_mm.base.errors import InputError
from recbole_mm.serving.export_files import INDEX
from recbole_mm.serving.vectors import Vectors

NEIGHBOURS, BUILT_WITH, ASKED_WITH = 32, 200, 128  # of an item in the graph; candidates looked at
ASKED, K = 1_000, 20  # users and list length for which the recall is measured


def faiss_library() -> Any:
    try:
        import faiss  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InputError("faiss is not installed, and an index needs it: pip install 'recbole-mm[faiss]'") from error
    return faiss


def write_index(vectors: Vectors, file: Path) -> dict[str, Any]:
    """Write an HNSW graph of the items by inner product, and return what it is and its recall.

    Returns
    -------
    dict
        `kind`, and `recall`: the share of the exact 20 items of 1,000 users that are among its 20.
    """
    faiss = faiss_library()
    index = faiss.IndexHNSWFlat(vectors.items.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = BUILT_WITH, ASKED_WITH
    index.add(np.ascontiguousarray(vectors.items))
    some = np.random.default_rng(0).permutation(len(vectors.users))[:ASKED]
    asked = np.ascontiguousarray(vectors.users[some])
    k = min(K, len(vectors.items))
    near = index.search(asked, k)[1]
    exact = np.argpartition(-(asked @ vectors.items.T), k - 1, axis=1)[:, :k]
    found = sum(len(np.intersect1d(a, b)) for a, b in zip(near, exact, strict=True)) / exact.size
    faiss.write_index(index, str(file))
    kind = f"HNSW, {NEIGHBOURS} neighbours, inner product, efSearch {ASKED_WITH}"
    return {"file": INDEX, "kind": kind, f"recall@{k}": found, "users": len(some)}
