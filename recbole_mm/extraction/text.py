"""Vectors of texts: TF-IDF of words reduced by SVD, or a sentence encoder."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from recbole_mm.base.errors import InputError
from recbole_mm.base.torchvision_operators import let_torchvision_import
from recbole_mm.data.cache import Digests
from recbole_mm.data.ml100k_vectors import tfidf_svd
from recbole_mm.extraction.encoder import Encoder, Provenance, content_hash, optional

DIM = 256  # of TF-IDF, at most


class Tfidf(Encoder):
    """TF-IDF of the words that at least two items have, projected on their first singular vectors."""

    def __init__(self, dim: int = DIM) -> None:
        self.dim, self.rows = dim, dict[str, np.ndarray]()

    @property
    def provenance(self) -> Provenance:
        return Provenance(
            "tfidf", f"lower case, words of two letters and more, TF-IDF, SVD to {self.dim}",
            libraries=("scikit-learn", "numpy", "scipy"),
        )  # fmt: skip

    def fit(self, sources: Mapping[str, Any]) -> dict[str, str]:
        texts = list(sources.values())
        try:
            counts = CountVectorizer(min_df=2).fit_transform(texts)
        except ValueError as error:
            raise InputError(f"texts such as '{(*texts, '')[0][:40]}': no word is in two of them") from error
        held = counts.getnnz(axis=1) > 0
        rows = tfidf_svd(counts[held], self.dim).astype(np.float32)
        self.rows = dict(zip(np.array(texts, dtype=object)[held], rows, strict=True))
        return {item: "no word that another item has" for item, some in zip(sources, held, strict=True) if not some}

    def read(self, source: Any) -> Any:
        return source

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        return np.stack([self.rows[text] for text in batch])


class Sentences(Encoder):
    """A model of sentence-transformers, from a folder or a package that carries it."""

    def __init__(self, weights: str, device: str, download: bool = False) -> None:
        self.digests = Digests()
        self.name, self.place = Path(weights).name, _weights(weights, download)
        let_torchvision_import()  # which transformers imports
        library = optional("sentence_transformers", "pip install 'recbole-mm[text]'")
        try:
            self.model = library.SentenceTransformer(str(self.place), device=device, local_files_only=not download)
        except (OSError, ValueError) as error:
            raise InputError(f"--encoder=sentences:{weights}: cannot be loaded ({error})") from error

    @property
    def provenance(self) -> Provenance:
        digest = content_hash(self.place, self.digests) if isinstance(self.place, Path) else ""
        longest = self.model.get_max_seq_length()
        libraries = ("sentence-transformers", "transformers", "torch")
        return Provenance("sentences", f"the first {longest} tokens", self.name, digest, libraries)

    def read(self, source: Any) -> Any:
        return source

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        return np.asarray(self.model.encode(list(batch), show_progress_bar=False), dtype=np.float32)


def _weights(name: str, download: bool) -> Path | str:
    """Return the folder of a sentence encoder: a path, or that of an installed package with `get_model_path`."""
    if not name:
        raise InputError("--encoder=sentences: give its weights, sentences:FOLDER or sentences:PACKAGE")
    if Path(name).is_dir():
        return Path(name)
    module = name.replace("-", "_")
    if module.isidentifier():
        try:
            found = getattr(importlib.import_module(module), "get_model_path", None)
        except ImportError:
            found = None
        if found is not None:
            return Path(found())
    if download:
        return name
    raise InputError(
        f"--encoder=sentences:{name}: no folder and no installed package with get_model_path; install it, or let it "
        "be downloaded by --download"
    )
