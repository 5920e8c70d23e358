"""Items that no model has seen, scored by their features, without training again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.data.dataset import MultimodalDataset
from recbole_mm.data.feature_table import FeatureTable
from recbole_mm.data.features import read_features
from recbole_mm.data.folder import folder_of
from recbole_mm.graphs.nearest import nearest_among
from recbole_mm.model.parts.cold_items import FeatureItems, side_by_side
from recbole_mm.serving.trained_model import TrainedModel
from recbole_mm.serving.user_items import UserItems
from recbole_mm.serving.vectors import HistoryEncoder, history_encoder, vectors_of

SIMILAR = 10  # trained items in each modality


@dataclass
class WithNewItems:
    """See `recbole_mm.serving.scorer.Scorer`; the new items are behind the known ones.

    A new item has the vector that the model's network makes of its features, with ``cold_items: features``, or the mean
    vector of the trained items that are most similar to it in each modality, weighed by the cosine, as cold items have
    with ``cold_items: neighbours``.

    Attributes
    ----------
    weights : array (n_new, n_items)
        The similar items; rows of sum 1, or of 0 where nothing is similar.
    content : Tensor (n_new, dim) or None
        What the network reads.
    """

    trained: TrainedModel
    new_ids: np.ndarray
    weights: np.ndarray
    content: Tensor | None

    def __post_init__(self) -> None:
        trained = self.trained
        self.name, self.at_once, self.sequential = trained.name, trained.at_once, trained.sequential
        self.user_field, self.item_field = trained.user_field, trained.item_field
        self.time_field, self.trained_items = trained.time_field, len(trained.item_ids)
        self.user_ids, self.item_ids = trained.user_ids, np.concatenate([trained.item_ids, self.new_ids])
        self.seen = trained.seen
        vectors = vectors_of(trained)
        self.users = torch.from_numpy(vectors.users)
        items = torch.from_numpy(vectors.items)
        self.items = torch.cat([items, self._vectors(items)])
        nothing = self.weights.sum(axis=1) == 0 if self.content is None else ~self.content.numpy().any(axis=1)
        self.without = np.flatnonzero(nothing) + len(items)

    @torch.no_grad()
    def _vectors(self, items: Tensor) -> Tensor:  # (n_new, d)
        if self.content is None:
            return torch.from_numpy(self.weights.astype(np.float32)) @ items
        model: Any = self.trained.model
        made = model.cold.of_content(self.content.to(self.trained.device), model.embeddings()[1]).float().cpu()
        return torch.nn.functional.pad(made, (0, items.shape[1] - made.shape[1]))  # no bias of its own

    def scores(self, users: np.ndarray) -> Tensor:
        return self._of(self.users[torch.from_numpy(users)])

    def history_scores(self, histories: UserItems, rows: np.ndarray) -> Tensor:
        known = histories.of_users(rows).among_first(self.trained_items)
        made = self.encoder(known, np.arange(len(known)))
        return self._of(torch.nn.functional.pad(made, (0, self.items.shape[1] - made.shape[1]), value=1.0))

    @cached_property
    def encoder(self) -> HistoryEncoder:
        found = history_encoder(self.trained)
        if found is None:
            raise InputError(f"{self.name} has no vectors of histories")
        return found

    def _of(self, users: Tensor) -> Tensor:
        scores = users @ self.items.T
        scores[:, torch.from_numpy(self.without)] = -torch.inf
        return scores


def with_new_items(trained: TrainedModel, files: Mapping[str, Path], ids: Path) -> WithNewItems:
    """Return a model that also scores new items.

    Parameters
    ----------
    files : mapping of str to path
        By modality the features of the new items, made as those of the trained ones were; the name may be empty where
        the dataset has one modality.
    ids : path
        Their ids, one a line, of the rows of every file.

    Raises
    ------
    InputError
        The model has no modalities or no vectors, or a file does not fit them.
    """
    dataset = trained.dataset
    if not isinstance(dataset, MultimodalDataset) or not dataset.modality_names:
        raise InputError(f"--new-items: {trained.name} was trained without modalities: new items cannot be compared")
    names = dataset.modality_names
    folder = folder_of(trained.config)
    total: np.ndarray = np.zeros(0)
    new_ids: list[str] = []
    trained_rows = trained.seen.counts(len(trained.item_ids)) > 0
    read: dict[str, tuple[Tensor, np.ndarray]] = {}
    for name, file in files.items():
        modality = _modality(name, names)
        table = read_features(modality, dataset.modality_spec(modality), folder)
        spec = {"file": str(file.resolve()), "ids": str(ids.resolve())}
        new = read_features(modality, spec, replace(folder, path=Path("/")))
        if new.dim != table.dim:
            raise InputError(f"{file}: rows of {new.dim} numbers, but those of {modality} are of {table.dim}")
        if not new_ids:
            new_ids, total = list(new.ids), np.zeros((len(new.ids), len(trained.item_ids)))
            if known := sorted(set(new_ids) & set(trained.item_ids.tolist())):
                raise InputError(f"{ids}: '{known[0]}' is an item of {trained.name}: leave out what is not new")
        read[modality] = _matrix(new, new_ids)
        total += _similar(*read[modality], _matrix(table, trained.item_ids.tolist()), trained_rows)
    scale = total.sum(axis=1, keepdims=True)
    weights = np.divide(total, scale, out=np.zeros_like(total), where=scale > 0)
    return WithNewItems(trained, np.array(new_ids, dtype=str), weights, _content(trained, read))


def _content(trained: TrainedModel, read: Mapping[str, tuple[Tensor, np.ndarray]]) -> Tensor | None:
    """Return what the model's network reads of new items; None without one, or where it reads reduced features."""
    model, dataset = trained.model, trained.dataset
    specs = map(dataset.modality_spec, dataset.modality_names)
    if not isinstance(getattr(model, "cold", None), FeatureItems):
        return None
    if any("pca" in spec or spec.get("normalize", trained.config["normalize"]) == "standard" for spec in specs):
        return None
    n = len(next(iter(read.values()))[1])
    absent = {name: (torch.zeros(n, X.shape[1]), np.zeros(n, dtype=bool))
              for name, X in zip(dataset.modality_names, model.features, strict=True)}  # fmt: skip
    rows, there = zip(*(absent | dict(read)).values(), strict=True)
    return side_by_side(rows, [torch.from_numpy(real) for real in there])


def _modality(name: str, names: tuple[str, ...]) -> str:
    if not name and len(names) == 1:
        return names[0]
    if name not in names:
        asked = f"unknown modality '{name}'" if name else "name the modality, MODALITY=FILE"
        raise InputError(f"--new-items: {asked}; there are {', '.join(names)}.{nearest(name, names)}")
    return name


def _similar(rows: Tensor, there: np.ndarray, known: tuple[Tensor, np.ndarray], trained: np.ndarray) -> np.ndarray:
    """Return the cosines of new items with the `SIMILAR` nearest trained ones, others 0, (n_new, n_items)."""
    table, real = known[0], known[1] & trained
    found = np.zeros((len(rows), len(table)))
    if there.any() and real.any():
        places = np.flatnonzero(real)
        near, cosine = nearest_among(rows[there], table[real], min(SIMILAR, len(places)))
        found[np.flatnonzero(there)[:, None], places[near]] = cosine.clip(min=0)
    return found


def _matrix(table: FeatureTable, ids: list[str]) -> tuple[Tensor, np.ndarray]:
    """Return the rows (n, dim) of ids, and which have any that is not 0 (n,)."""
    place = {str(name): row for row, name in enumerate(ids)}
    rows = np.zeros((len(ids), table.dim), dtype=np.float32)
    for numbers, values in table.blocks():
        to = np.array([place.get(str(table.ids[number]), -1) for number in numbers], dtype=np.int64)
        rows[to[to >= 0]] = values[to >= 0]
    return torch.from_numpy(rows), np.asarray(rows.any(axis=1))
