"""What the titles, the genres and the knowledge graph of MovieLens-100K say about an item, as vectors."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits  # scikit-learn requires it

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.base.torchvision_operators import let_torchvision_import
from recbole_mm.data.atomic import read_rows
from recbole_mm.data.cache import Arrays


def features_of(kind: str, files: tuple[Path, ...], settings: Mapping[str, Any]) -> Arrays:
    """Return `ids` and float32 `rows` of a kind of feature under all its options."""
    if kind == "knowledge":
        ids, rows = _knowledge(files[0], files[1], settings["dim"])
    elif kind == "genre":
        ids, rows = _genre(files[0])
    else:
        ids, titles = _texts(files[0], "movie_title")
        if settings["encoder"] == "tfidf":
            rows = _title(titles, settings["dim"])
        else:
            rows = _sentences(titles, settings["encoder_model"])
    return {"ids": np.array(ids, dtype=np.str_), "rows": rows.astype(np.float32)}


def _genre(file: Path) -> tuple[list[str], np.ndarray]:
    ids, classes = _texts(file, "class")
    genres = sorted({genre for text in classes for genre in text.split()})
    held = [set(text.split()) for text in classes]
    return ids, np.array([[genre in own for genre in genres] for own in held])  # (n, n_genres)


def _title(titles: list[str], dim: int) -> np.ndarray:
    grams = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=2**16, alternate_sign=False, norm=None)
    return tfidf_svd(grams.transform(titles), dim)


def _sentences(titles: list[str], model: str) -> np.ndarray:
    let_torchvision_import()  # which transformers imports
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415  # an extra, loaded when asked for
    except ImportError as error:
        raise InputError(
            "title: encoder 'sentence-transformers' is not installed; pip install 'recbole-mm[text]'"
        ) from error
    try:
        encoder = SentenceTransformer(model)
    except (OSError, ValueError) as error:
        raise InputError(f"title: encoder_model '{model}' cannot be loaded ({error}).") from error
    return np.asarray(encoder.encode(titles, show_progress_bar=False))


def _knowledge(kg: Path, link: Path, dim: int) -> tuple[list[str], np.ndarray]:
    items: defaultdict[str, list[str]] = defaultdict(list)  # entity -> its items
    for item, entity in _columns(link, "item_id", "entity_id"):
        items[entity].append(item)

    neighbours: defaultdict[str, set[tuple[str, str, str]]] = defaultdict(set)  # per item
    for head, relation, tail in _columns(kg, "head_id", "relation_id", "tail_id"):
        for item in items.get(head, ()):
            neighbours[item].add((relation, "to", tail))
        for item in items.get(tail, ()):
            neighbours[item].add((relation, "from", head))

    count = Counter(neighbour for own in neighbours.values() for neighbour in own)
    shared = {neighbour: number for number, neighbour in enumerate(sorted(n for n in count if count[n] > 1))}
    numbers = {
        item: sorted(shared[neighbour] for neighbour in neighbours[item] if neighbour in shared)
        for own in items.values()
        for item in own
    }
    ids = [item for item in numbers if numbers[item]]
    ends = np.cumsum([0] + [len(numbers[item]) for item in ids])
    columns = np.array([number for item in ids for number in numbers[item]], dtype=np.int64)
    incidence = sp.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(ids), len(shared)))
    return ids, tfidf_svd(incidence, dim)


def tfidf_svd(counts: sp.csr_matrix, dim: int) -> np.ndarray:
    """Weight counts (n, n_columns) by TF-IDF and project them on their first right singular vectors.

    Equal rows stay equal to the bit, because each row is projected by itself; the sign of a singular
    vector is chosen to make its largest entry positive.
    """
    if 0 in counts.shape:
        return np.zeros((counts.shape[0], 0))
    counts = counts[:, counts.getnnz(axis=0) > 0]
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    with threadpool_limits(1):  # the bits do not depend on the number of threads; these matrices are thin
        _, _, axes = randomized_svd(weighted, min(dim, *counts.shape), n_iter=4, random_state=0)
    largest = np.abs(axes).argmax(axis=1)  # axes: (dim, n_columns)
    axes *= np.sign(axes[np.arange(len(axes)), largest])[:, None]
    return weighted @ axes.T


def _texts(file: Path, field: str) -> tuple[list[str], list[str]]:
    """Return the ids and texts of the items whose text is not empty."""
    rows = [(item, text) for item, text in _columns(file, "item_id", field) if text.strip()]
    return [item for item, _ in rows], [text for _, text in rows]


def _columns(file: Path, *fields: str) -> Iterator[tuple[str, ...]]:
    """Yield the named columns of a RecBole atomic file, line by line."""
    try:
        rows = read_rows(file, encoding="utf-8-sig")
        header = [cell.partition(":")[0] for cell in next(rows, (1, [""]))[1]]
        places = [_place(file, header, field) for field in fields]
        for number, cells in rows:
            if len(cells) != len(header):
                raise InputError(f"{file}, line {number}: {len(cells)} columns, the header has {len(header)}.")
            yield tuple(cells[place] for place in places)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error}).") from error


def _place(file: Path, header: list[str], field: str) -> int:
    if field not in header:
        raise InputError(f"{file}: no column '{field}' in the header ({', '.join(header)}).{nearest(field, header)}")
    return header.index(field)
