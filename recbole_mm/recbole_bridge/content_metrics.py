"""Metrics of lists in the space of the modalities: how unlike each other items are, and how unlike a user's history.

The distance of two items is 1 less the cosine of their features. A value is the mean over modalities of the mean over
users; items without features of a modality are left out of it, and so are users of whom nothing is left.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recbole_mm.base.errors import InputError
from recbole_mm.recbole_bridge.histories import training_pairs
from recbole_mm.recbole_bridge.top_items import ITEMS, users_of_rows

CONTENT, USERS = "data.content", "rec.users"  # in RecBole's data struct: features and histories, and the user of a row
NUMBERS = 1 << 23  # of features, that are looked at together


class ItemContent:
    """The features of all items, and the items of every user's training interactions.

    Attributes
    ----------
    tables : tuple of Tensor, each (n_items, d)
        A row of length 1, or of 0 where the item has no features of the modality.
    start, items : int tensors, (n_users + 1,) and (n,)
        The items of user u, each once, are `items[start[u]:start[u + 1]]`.
    """

    def __init__(self, dataset: Any) -> None:
        self.tables = tuple(
            F.normalize(dataset.modality(name)) * dataset.modality_mask(name)[:, None]
            for name in dataset.modality_names
        )
        pairs = np.unique(np.stack(training_pairs(dataset)), axis=1)  # (2, n), sorted by user
        self.start = torch.from_numpy(np.searchsorted(pairs[0], np.arange(dataset.user_num + 1)))
        self.items = torch.from_numpy(pairs[1])

    def cpu(self) -> ItemContent:
        return self

    def __deepcopy__(self, memo: Any) -> ItemContent:
        return self

    def profiles(self, users: Tensor, table: Tensor) -> Tensor:
        """Return the mean of the table's rows over the items of users (n,) that have one, (n, d); 0 without any."""
        sizes = self.start[users + 1] - self.start[users]
        first = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])[:-1]
        places = torch.arange(int(sizes.sum())) - torch.repeat_interleave(first - self.start[users], sizes)
        items = self.items[places]
        known = table.any(1)[items].to(table.dtype)
        total = F.embedding_bag(items, table, first, mode="sum")
        count = torch.zeros(len(users)).index_add_(0, torch.repeat_interleave(torch.arange(len(users)), sizes), known)
        return total / count.clamp_min(1)[:, None]


class _ContentMetric:
    """A metric as RecBole has them, which is the mean of what `of_rows` returns."""

    smaller = False
    metric_need: Sequence[str]

    def __init__(self, config: Any) -> None:
        self.topk: list[int] = config["topk"]
        self.decimal_place: int = config["metric_decimal_place"]

    def calculate_metric(self, dataobject: Any) -> dict[str, float]:
        """Return the metric by its name and k; NaN where no list has a value."""
        name, content = type(self).__name__.lower(), dataobject.get(CONTENT)
        items = dataobject.get(ITEMS)  # (n, k)
        users = dataobject.get(USERS) if USERS in self.metric_need else items[:, 0]
        found = [torch.cat(list(self._by_rows(content, table, users, items))) for table in content.tables]
        means = torch.stack([values.nanmean(0) for values in found]).nanmean(0)  # (len(topk),)
        return {
            f"{name}@{k}": round(mean, self.decimal_place) for k, mean in zip(self.topk, means.tolist(), strict=True)
        }

    def _by_rows(self, content: ItemContent, table: Tensor, users: Tensor, items: Tensor) -> Iterator[Tensor]:
        step = max(1, NUMBERS // max(1, items.shape[1] * table.shape[1]))
        for rows in torch.arange(len(items)).split(step):
            features = F.embedding(items[rows], table).double()  # (n, k, d)
            yield self.of_rows(content, table, users[rows], features)

    def of_rows(self, content: ItemContent, table: Tensor, users: Tensor, features: Tensor) -> Tensor:
        """Return a value for every row and k, (n, len(topk)), NaN where there is none.

        Parameters
        ----------
        users : int Tensor, (n,)
        features : Tensor, (n, max(topk), d)
            Of their lists, rows of `table`.
        """
        raise NotImplementedError


class IntraListDistance(_ContentMetric):
    """Mean distance of two items of a list; from 0, all alike, to 2 (Ziegler et al., WWW 2005)."""

    metric_need = (ITEMS, CONTENT)

    def of_rows(self, content: ItemContent, table: Tensor, users: Tensor, features: Tensor) -> Tensor:
        known = features.any(2).cumsum(1).double()  # (n, k)
        length = features.cumsum(1).square().sum(2)  # of the sum of the first vectors: n + the cosines of all pairs
        cosine = (length - known) / (known * (known - 1)).clamp_min(1)
        return _at(self.topk, torch.where(known > 1, 1 - cosine, torch.nan))


class ContentNovelty(_ContentMetric):
    """Mean distance of a list's items and those of the user's training interactions; from 0, all alike, to 2."""

    metric_need = (ITEMS, USERS, CONTENT)

    def of_rows(self, content: ItemContent, table: Tensor, users: Tensor, features: Tensor) -> Tensor:
        profile = content.profiles(users, table).double()  # (n, d)
        known = features.any(2).cumsum(1).double()  # (n, k)
        cosine = (features @ profile[:, :, None]).squeeze(2).cumsum(1) / known.clamp_min(1)
        return _at(self.topk, torch.where((known > 0) & profile.any(1)[:, None], 1 - cosine, torch.nan))


def _at(topk: Sequence[int], values: Tensor) -> Tensor:
    """Return the columns (n, len(topk)) of values by length of the list, (n, k)."""
    return values[:, [k - 1 for k in topk]]


CONTENT_METRICS = (IntraListDistance, ContentNovelty)


def with_content_metrics(register: Any) -> None:
    """Add the metrics to those of RecBole's module."""
    for metric in CONTENT_METRICS:
        name = metric.__name__.lower()
        register.metrics_dict[name] = metric
        register.metric_information[name] = list(metric.metric_need)
        register.metric_types[name] = register.metric_types["itemcoverage"]


def content_is_asked(config: Any) -> bool:
    """Tell whether a metric of the configuration needs features, whatever the model.

    Raises
    ------
    InputError
        One does, and the dataset has none.
    """
    given = {str(name).lower() for name in config["metrics"] or ()}
    asked = [metric.__name__ for metric in CONTENT_METRICS if metric.__name__.lower() in given]
    if asked and not config["modalities"]:
        raise InputError(
            f"metrics: {' and '.join(asked)} compare features, and the dataset has no modalities: add some under "
            "`modalities`, or leave the metric out"
        )
    return bool(asked)


def with_content(data_collect: Callable[..., None]) -> Callable[..., None]:
    """Let the collector keep features and histories where a metric needs them."""

    @functools.wraps(data_collect)
    def wrapped(self: Any, train_data: Any) -> None:
        data_collect(self, train_data)
        if self.register.need(CONTENT):
            self.data_struct.set(CONTENT, ItemContent(train_data._dataset))

    return wrapped


def with_users(collect: Callable[..., None]) -> Callable[..., None]:
    """Let the collector keep whose every row is where a metric needs it."""

    @functools.wraps(collect)
    def eval_batch_collect(self: Any, scores: Tensor, interaction: Any, rows: Tensor, items: Tensor) -> None:
        collect(self, scores, interaction, rows, items)
        if self.register.need(USERS):
            self.data_struct.update_tensor(USERS, users_of_rows(interaction[self.config["USER_ID_FIELD"]], scores))

    return eval_batch_collect


def without_users(get_data_struct: Callable[..., Any]) -> Callable[..., Any]:
    """Let the next evaluation begin without the users of this one."""

    @functools.wraps(get_data_struct)
    def wrapped(self: Any) -> Any:
        struct = get_data_struct(self)
        if USERS in self.data_struct:
            del self.data_struct[USERS]
        return struct

    return wrapped
