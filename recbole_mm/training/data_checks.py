"""What is refused before training when the data are loaded: catalogue, splits and scores that cannot work.

RecBole meets these mistakes late, with another message, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from recbole.data.dataloader import FullSortEvalDataLoader

from recbole_mm.base.errors import InputError
from recbole_mm.base.randomness import random_states, restore
from recbole_mm.data.atomic import as_list


def check_catalogue(config: Any, dataset: Any) -> None:
    """Refuse a `topk` above the number of items that are left after filtering.

    Raises
    ------
    InputError
        Naming both numbers.
    """
    n_items, k = dataset.item_num - 1, max(as_list(config["topk"]), default=0)  # without [PAD]
    if k > n_items and getattr(config["eval_type"], "name", None) != "VALUE":
        raise InputError(
            f"topk asks for {k} items but '{config['dataset']}' has {n_items} after filtering: "
            f"lower topk to {n_items} or less"
        )


def check_splits(train_data: Any, valid_data: Any, test_data: Any) -> None:
    """Refuse an empty training, validation or test split of the three dataloaders.

    Raises
    ------
    InputError
        With the number of interactions in each split.
    """
    loaders = {"train": train_data, "valid": valid_data, "test": test_data}
    counts = {name: len(loader._dataset) for name, loader in loaders.items()}
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        sizes = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(
            f"the {' and '.join(empty)} split is empty ({sizes} interactions): "
            "raise its share in eval_args.split, or keep users with more interactions"
        )


@torch.no_grad()
def check_scores(trainer: Any, eval_data: Any) -> None:
    """Score the first batch of `eval_data` and refuse NaN, before an epoch is spent on it.

    The model, the dataloader and every random state are left as they were. Models that only `fit` gives a
    score (RecBole's traditional models and decision trees) are passed over.

    Raises
    ------
    InputError
        See `refuse_nan`.
    """
    model = trainer.model
    if getattr(trainer.config["MODEL_TYPE"], "name", None) in {"TRADITIONAL", "DECISIONTREE"}:
        return
    score = trainer._neg_sample_batch_eval
    if isinstance(eval_data, FullSortEvalDataLoader):
        score = trainer._full_sort_batch_eval
        if trainer.item_tensor is None:
            trainer.item_tensor = eval_data._dataset.get_item_feature().to(trainer.device)
    trainer.tot_item_num = eval_data._dataset.item_num
    training, cached = model.training, model.other_parameter()
    with _random_state_kept():
        model.eval()
        try:
            batch = eval_data.collate_fn(list(range(min(eval_data.step, eval_data.sample_size))))
            scores = score(batch)[1]
        finally:
            model.train(training)
            model.load_other_parameter(cached)
    refuse_nan(scores, type(model).__name__)


def refuse_nan(scores: torch.Tensor, model_name: str) -> None:
    """Refuse scores that are NaN or +inf; -inf marks masked items and is allowed.

    Parameters
    ----------
    scores : torch.Tensor
        Any shape.
    model_name : str
        For the message.

    Raises
    ------
    InputError
        How many of how many scores are unusable, and where to look.
    """
    if n_bad := unusable(scores):
        raise InputError(
            f"{model_name}: {n_bad} of {scores.numel()} scores are NaN or infinite: "
            "lower learning_rate, and look for NaN or huge values in the features"
        )


def unusable(scores: torch.Tensor) -> int:
    """Return how many scores are NaN or +inf."""
    if not scores.numel() or scores.max() < math.inf:  # the maximum of anything with NaN is NaN
        return 0
    return int((torch.isnan(scores) | (scores == math.inf)).sum())


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Put the global states of random, numpy and torch back at the end."""
    before = random_states()
    try:
        yield
    finally:
        restore(before)
