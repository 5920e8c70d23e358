"""RecBole as it is without the pack's faster ways, to measure and to test them beside it."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import recbole.data.utils
import recbole.trainer.trainer
import torch
from recbole.data.dataloader import FullSortEvalDataLoader, TrainDataLoader
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.model.layers import FeedForward, TransformerEncoder
from recbole.sampler.sampler import AbstractSampler
from recbole.trainer import Trainer

from recbole_mm.graphs import products as sparse
from recbole_mm.recbole_bridge import item_softmax


@functools.cache
def _from_source(module: str) -> Any:
    """Return a new module object of RecBole's source, which nothing has changed."""
    spec: Any = importlib.util.find_spec(module)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    return fresh


@contextmanager
def _with(parts: list[tuple[Any, str, Any]]) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, own in parts:
            stack.enter_context(patch.object(owner, name, own))
        yield


@contextmanager
def recboles_data() -> Iterator[None]:
    """Let loaders and samplers be RecBole's own within the block."""
    interaction = _from_source("recbole.data.interaction").Interaction
    sampler = _from_source("recbole.sampler.sampler").AbstractSampler
    parts: list[tuple[Any, str, Any]] = [
        (Interaction, "__getitem__", interaction.__getitem__),
        (AbstractSampler, "sample_by_key_ids", sampler.sample_by_key_ids),
        (Dataset, "join", Dataset.join.__wrapped__),
        (recbole.data.utils, "TrainDataLoader", TrainDataLoader),
        (recbole.data.utils, "FullSortEvalDataLoader", FullSortEvalDataLoader),
        (Trainer, "_full_sort_batch_eval", Trainer._full_sort_batch_eval.__wrapped__),
    ]
    with _with(parts):
        yield


@contextmanager
def recboles_step() -> Iterator[None]:
    """Let a step be RecBole's own: gelu written out, the last layer at every position, scores kept for the softmax."""
    own = _from_source("recbole.model.layers")
    parts: list[tuple[Any, str, Any]] = [
        (FeedForward, "gelu", own.FeedForward.gelu),
        (TransformerEncoder, "forward", TransformerEncoder.forward.__wrapped__),
        (SequentialRecommender, "gather_indexes", SequentialRecommender.gather_indexes.__wrapped__),
        (item_softmax, "ScoresLater", lambda n_items: nullcontext()),
    ]
    with _with(parts):
        yield


@contextmanager
def recboles_own() -> Iterator[None]:
    """Let optimizers and sparse products be RecBole's own, too."""
    with (
        recboles_data(),
        _with([(recbole.trainer.trainer, "optim", torch.optim), (sparse, "constant_mm", torch.sparse.mm)]),
    ):
        yield
