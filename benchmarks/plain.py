"""RecBole as it is without the pack's faster ways, to measure and to test them beside it."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import recbole.data.utils
import recbole.trainer.trainer
import torch
from recbole.data.dataloader import FullSortEvalDataLoader, NegSampleEvalDataLoader, TrainDataLoader
from recbole.data.dataset import Dataset, SequentialDataset
from recbole.data.dataset.customized_dataset import DIENDataset
from recbole.data.interaction import Interaction
from recbole.evaluator.collector import Collector, DataStruct
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.model.layers import FeedForward, TransformerEncoder
from recbole.sampler.sampler import AbstractSampler, RepeatableSampler, Sampler
from recbole.trainer import Trainer

from recbole_mm.graphs import products as sparse
from recbole_mm.recbole_bridge import item_softmax
from recbole_mm.recbole_bridge.applying import Overlay
from recbole_mm.recbole_bridge.known_identity import known_ids
from recbole_mm.recbole_bridge.times import sorted_first

DATASETS: Any = importlib.import_module("recbole.data.dataset.dataset")
BY_COLUMNS = (
    *("_filter_by_inter_num", "_grouped_index", "_split_index_by_leave_one_out", "split_by_ratio"),
    *("counter", "avg_actions_of_users", "avg_actions_of_items", "_history_matrix"),
)
DRAWS, USED = ("sample_by_key_ids", "_build_alias_table", "_pop_sampling"), ("get_used_ids", "_get_candidates_list")


@functools.cache
def _from_source(module: str) -> Any:
    """Return a new module object of RecBole's source, which nothing has changed."""
    spec: Any = importlib.util.find_spec(module)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    return fresh


def _wide(self: Any, data: Any, convert: Any = Dataset._dataframe_to_interaction) -> Interaction:
    """Return the pack's tensors, with times as exact, in RecBole's 8 bytes a number."""
    return Interaction(dict(convert(self, data).interaction))


@contextmanager
def _with(parts: list[tuple[Any, str, Any]]) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, own in parts:
            stack.enter_context(patch.object(owner, name, own))
        yield


@contextmanager
def recboles_data() -> Iterator[None]:
    """Let datasets, loaders and samplers be RecBole's own within the block; only their times are exact."""
    interaction = _from_source("recbole.data.interaction").Interaction
    dataset = _from_source(DATASETS.__name__).Dataset
    sequential = _from_source("recbole.data.dataset.sequential_dataset").SequentialDataset
    dien = _from_source("recbole.data.dataset.customized_dataset").DIENDataset
    samplers = _from_source("recbole.sampler.sampler")
    parts: list[tuple[Any, str, Any]] = [
        (Interaction, "__getitem__", interaction.__getitem__),
        (Interaction, "_reindex", interaction._reindex),
        *((AbstractSampler, name, vars(samplers.AbstractSampler)[name]) for name in DRAWS),
        *(
            (kind, name, vars(vars(samplers)[kind.__name__])[name])
            for kind in (Sampler, RepeatableSampler)
            for name in USED
        ),
        (DATASETS, "pd", Overlay(DATASETS.pd, read_csv=DATASETS.pd.read_csv.__wrapped__)),
        (Dataset, "_dataframe_to_interaction", _wide),
        (SequentialDataset, "data_augmentation", sequential.data_augmentation),
        (DIENDataset, "data_augmentation", dien.data_augmentation),
        (Dataset, "_remap", known_ids(dataset._remap)),
        (Dataset, "time_based_split", sorted_first(dataset.time_based_split)),
        *((Dataset, name, vars(dataset)[name]) for name in BY_COLUMNS),
        (Dataset, "join", Dataset.join.__wrapped__),
        (Collector, "eval_batch_collect", Collector.eval_batch_collect.__wrapped__),
        (DataStruct, "update_tensor", DataStruct.update_tensor.__wrapped__),
        (recbole.data.utils, "TrainDataLoader", TrainDataLoader),
        (recbole.data.utils, "FullSortEvalDataLoader", FullSortEvalDataLoader),
        (recbole.data.utils, "NegSampleEvalDataLoader", NegSampleEvalDataLoader),
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
