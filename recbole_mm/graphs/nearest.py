"""The nearest items of each item by the cosine of their features: exact in chunks, or approximate through faiss.

Large results are kept on disk under a hash of the features, so that a second run reads them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from recbole_mm.base.errors import InputError
from recbole_mm.data.cache import cached_arrays

CHUNK_ELEMENTS = 8_000_000  # similarities held at a time: 32 MB in float32
CACHED_FROM = 20_000  # items; fewer are computed faster than a cache is worth
SEARCHED_AT_A_TIME = 10_000  # items, by faiss
ROWS_A_CELL = 39  # at least, which faiss asks for
RECALL_SAMPLE = 1_000  # items on which the recall of the approximation is measured

_LOG = logging.getLogger(__name__)


def nearest_items(features: Tensor, k: int, method: str = "exact", keep: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the `k` nearest rows of each row, (n, k), and their cosines (n, k): itself first, then largest first.

    Parameters
    ----------
    features : Tensor, shape (n, dim)
        Of any scale; a row of zeros has the cosine 0 with every row.
    k : int
        Between 1 and n.
    method : str
        `exact`: every row with every other, in chunks; memory is that of the features and `CHUNK_ELEMENTS`
        similarities. `faiss`: by an inverted file; its recall on a sample is in the log.
    keep : bool
        Whether a large result is kept on disk; not for features that change, such as those a model learns.

    Raises
    ------
    InputError
        `faiss` is asked for and not installed.
    """
    compute = {"exact": _exact, "faiss": _approximate}[method]
    if method == "faiss" and importlib.util.find_spec("faiss") is None:
        raise InputError(
            "neighbour_search is faiss, which is not installed: pip install 'recbole-mm[faiss]', or use exact"
        )
    if not keep or len(features) < CACHED_FROM:
        return compute(features, k)
    content = hashlib.sha256(features.detach().cpu().contiguous().numpy().data).hexdigest()
    arrays = cached_arrays(
        "knn",
        lambda: dict(zip(("neighbours", "cosines"), compute(features, k), strict=True)),
        parameters={"features": content, "shape": list(features.shape), "k": k, "method": method},
        version=2,
    )
    return arrays["neighbours"], arrays["cosines"]


def nearest_among(
    queries: Tensor, features: Tensor, k: int, places: Tensor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the `k` rows of `features` (n, dim) nearest to each query (q, dim), and their cosines, each (q, k).

    `places` (q,) are the queries' own rows of `features`, where they have some: each comes first, before rows that
    are equal to it.
    """
    scale = 1 / features.norm(dim=1).clamp_min(1e-12)  # (n,)
    size = max(1, CHUNK_ELEMENTS // max(len(features), 1))
    starts = range(0, max(1, len(queries)), size)  # one chunk of no rows, where there are none
    neighbours, cosines = [], []
    for start in tqdm(starts, desc="nearest items", unit="chunk", disable=len(queries) < CACHED_FROM):
        chunk = queries[start : start + size]
        unit = chunk / chunk.norm(dim=1, keepdim=True).clamp_min(1e-12)
        with torch.autocast(unit.device.type, enabled=False):  # in bfloat16 many cosines are equal
            similarity = (unit @ features.T).mul_(scale)  # (chunk, n)
        if places is not None:
            place = places[start : start + size].unsqueeze(1)
            itself = similarity.gather(1, place)
            similarity.scatter_(1, place, torch.inf)
        top = torch.topk(similarity, k, dim=1)
        if places is not None:
            top.values[:, :1] = itself
        neighbours.append(top.indices.cpu().numpy())
        cosines.append(top.values.cpu().numpy())
    return np.concatenate(neighbours), np.concatenate(cosines)


def _exact(features: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    return nearest_among(features, features, k, torch.arange(len(features), device=features.device))


def _approximate(features: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    faiss: Any = importlib.import_module("faiss")
    unit = torch.nn.functional.normalize(features.float(), dim=1).cpu().contiguous().numpy()
    n_cells = max(1, min(int(4 * len(unit) ** 0.5), len(unit) // ROWS_A_CELL))
    quantizer = faiss.IndexFlatIP(unit.shape[1])
    index = faiss.IndexIVFFlat(quantizer, unit.shape[1], n_cells, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = max(8, n_cells // 64)
    enough = 64 * n_cells
    index.train(unit if len(unit) <= enough else unit[np.random.default_rng(0).permutation(len(unit))[:enough]])
    index.add(unit)
    chunks = np.array_split(unit, max(1, len(unit) // SEARCHED_AT_A_TIME))
    quiet = len(unit) < CACHED_FROM
    found = [index.search(chunk, k) for chunk in tqdm(chunks, desc="nearest items", unit="chunk", disable=quiet)]
    cosines, neighbours = _itself_first(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    some = torch.from_numpy(np.random.default_rng(1).permutation(len(unit))[:RECALL_SAMPLE]).to(features.device)
    exact, _ = nearest_among(features[some], features, k, some)
    right = [len(np.intersect1d(a, b)) for a, b in zip(exact, neighbours[some.cpu().numpy()], strict=True)]
    _LOG.info("faiss finds %.1f%% of the %d nearest items (%d items looked at)", 100 * np.mean(right) / k, k, len(some))
    return neighbours, cosines


def _itself_first(cosines: np.ndarray, neighbours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put row i first among its own neighbours (n, k), in the place of the last one where it is not among them."""
    itself = neighbours == np.arange(len(neighbours))[:, None]  # (n, k)
    itself[~itself.any(axis=1), -1] = True
    order = np.argsort(~itself, axis=1, kind="stable")
    cosines, neighbours = (np.take_along_axis(table, order, axis=1) for table in (cosines, neighbours))
    cosines[:, 0], neighbours[:, 0] = 1.0, np.arange(len(neighbours))
    return cosines, neighbours
