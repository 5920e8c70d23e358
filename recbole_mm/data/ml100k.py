"""Three modalities of the MovieLens-100K files inside RecBole's wheel: title, genre, knowledge graph.

RecBole embeds interactions, titles, genres and a Freebase knowledge graph; the features are computed from
these files on first use, so that nothing is downloaded. Any dataset folder with the same columns works.

Mind the knowledge graph of RecBole 1.2.1: its ``ml-100k.link`` carries the item ids of a later MovieLens
release (entity m.0dtfn, Star Wars, is linked to 260, its id there; in ml-100k 260 is Event Horizon). The
graph is sound, but most of its rows belong to other films, and items that are close in it agree in their
genres no better than chance.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sklearn

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.data.cache import Digests, cached_arrays
from recbole_mm.data.feature_table import FeatureTable
from recbole_mm.data.ml100k_vectors import features_of

_VERSION = 2  # of the algorithms below: part of the cache key
_FILES = {"title": ("item",), "genre": ("item",), "knowledge": ("kg", "link")}
_ENCODERS = ("tfidf", "sentence-transformers")
_OPTIONS: dict[str, dict[str, object]] = {
    "title": {"encoder": "tfidf", "dim": 64},
    "title by sentence-transformers": {
        "encoder": "sentence-transformers",
        "encoder_model": "sentence-transformers/all-MiniLM-L6-v2",
    },
    "genre": {},
    "knowledge": {"dim": 64},
}


def inputs(kind: str, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return the files that `kind` (``title``, ``genre`` or ``knowledge``) is computed from.

    They are named after the folder, as RecBole's are: ``ml-100k/ml-100k.item``.

    Raises
    ------
    InputError
        On an unknown kind.
    """
    if kind not in _FILES:
        raise InputError(f"unknown kind of feature '{kind}': use {', '.join(_FILES)}.{nearest(kind, _FILES)}")
    where = Path(os.path.abspath(folder))
    return tuple(where / f"{where.name}.{suffix}" for suffix in _FILES[kind])


def compute(
    kind: str, folder: str | os.PathLike[str], digests: Digests | None = None, /, **options: object
) -> FeatureTable:
    """Return one modality of a dataset folder, from the cache where it was computed before.

    Parameters
    ----------
    kind : str
        ``title``: hashed TF-IDF of the character 2- to 4-grams of `movie_title`, reduced by SVD.
        ``genre``: a multi-hot row of `class`, its columns in the sorted order of the genres.
        ``knowledge``: the neighbours of the item in the knowledge graph, each with relation and direction,
        weighted by TF-IDF and reduced by SVD.
    folder : path
        The dataset folder.
    digests : Digests, optional
        Of its files, as far as they are known.
    **options
        ``dim`` (title, knowledge): width of the rows, default 64; narrower where the data has lower rank.
        ``encoder`` (title): ``tfidf`` (default), or ``sentence-transformers``, which replaces TF-IDF and SVD
        and sets its own width; then ``encoder_model`` is the name or local path of the sentence transformer.

    Returns
    -------
    FeatureTable
        float32 rows of the items that have the modality. Absent is an item without title, without genre,
        or, for ``knowledge``, without link or without a neighbour that another item has too.

    Raises
    ------
    InputError
        On an unknown kind or option, a missing file or column, or an encoder that is not installed.
    """
    files = inputs(kind, folder)
    settings = _settings(kind, options)
    arrays = cached_arrays(
        f"{files[0].stem}-{kind}",
        lambda: features_of(kind, files, settings),
        [*files, *_model_files(settings)],
        {**settings, "scikit-learn": sklearn.__version__},
        _VERSION,
        digests=digests,
    )
    return FeatureTable.of(f"{kind} of {files[0]}", arrays["ids"].tolist(), arrays["rows"])


def _settings(kind: str, options: Mapping[str, object]) -> dict[str, Any]:
    """Return all options of `kind`, those not given at their default."""
    encoder = options.get("encoder", "tfidf") if kind == "title" else "tfidf"
    if encoder not in _ENCODERS:
        close = nearest(str(encoder), _ENCODERS)
        raise InputError(f"title: encoder '{encoder}' is not one of {', '.join(_ENCODERS)}.{close}")
    what = kind if encoder == "tfidf" else f"{kind} by {encoder}"
    known = _OPTIONS[what]
    for name in options:
        if name not in known:
            takes = ", ".join(known) or "no options"
            raise InputError(f"{what}: unknown option '{name}', it takes {takes}.{nearest(name, known)}")
    settings = {**known, **options}
    dim = settings.get("dim", 1)
    if not isinstance(dim, int) or isinstance(dim, bool) or dim < 1:
        raise InputError(f"{what}: dim must be an integer of at least 1, not {dim!r}.")
    if not isinstance(settings.get("encoder_model", ""), str):
        raise InputError(f"{what}: encoder_model must be a name or a path, not {settings['encoder_model']!r}.")
    return settings


def _model_files(settings: Mapping[str, Any]) -> list[Path]:
    """Return the files of a sentence transformer given as a local folder."""
    folder = settings.get("encoder_model")
    return sorted(file for file in Path(folder).rglob("*") if file.is_file()) if folder else []
