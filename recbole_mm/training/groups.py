"""Metrics by group: of users and of items with none, few and many training interactions, in RecBole's own pass.

RecBole's collector keeps of every evaluated row which of its first items are held out, and how many are. A group of
users is some of these rows; for a group of items only its own items count as held out, in the rows that have one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, TypeVar

import numpy as np
import torch
from recbole.evaluator import Collector, Evaluator
from recbole.evaluator.collector import DataStruct
from recbole.evaluator.register import metric_information
from torch import Tensor

from recbole_mm.base.metrics import unround
from recbole_mm.recbole_bridge.histories import training_pairs
from recbole_mm.recbole_bridge.top_items import TOPK, users_of_rows
from recbole_mm.settings.execution import read_groups

Groups = dict[str, list[dict[str, Any]]]  # "users" and "items" -> their groups, the least trained first

Value = TypeVar("Value")

NAMES = ("cold", "few", "many")
# In RecBole's data struct: who each row is, and of which group; of which group the found and the held-out items are.
IDS, USERS, FOUND, HELD_OUT = "group.ids", "group.users", "group.found", "group.held_out"


class GroupCollector(Collector):
    """RecBole's collector, which also keeps the group of every row and of every held-out item that was found."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.edges = read_groups(config)
        self.user_field = config["USER_ID_FIELD"]
        self.group_of: dict[str, Tensor] = {}  # by internal id; empty until the training data is there

    def data_collect(self, train_data: Any) -> None:
        super().data_collect(train_data)
        if self.register.need(TOPK):
            dataset = train_data._dataset
            sizes = {"users": dataset.user_num, "items": dataset.item_num}
            for (kind, size), ids in zip(sizes.items(), training_pairs(dataset), strict=True):
                degrees = np.bincount(ids, minlength=size)
                groups = np.searchsorted(self.edges[kind], degrees, side="right")
                self.group_of[kind] = torch.from_numpy(groups).to(self.device)

    def eval_batch_collect(self, scores: Tensor, interaction: Any, positive_u: Tensor, positive_i: Tensor) -> None:
        super().eval_batch_collect(scores, interaction, positive_u, positive_i)
        if not self.group_of:
            return
        n_rows, n_items = scores.shape
        positive = torch.unique(positive_u.to(scores.device) * n_items + positive_i.to(scores.device))
        rows, items = positive // n_items, positive % n_items
        groups = self.group_of["items"][items]
        held_out = torch.zeros(n_rows, len(self.edges["items"]) + 1, dtype=torch.int64, device=scores.device)
        held_out.index_put_((rows, groups), torch.ones_like(groups), accumulate=True)

        is_held_out = self.data_struct[TOPK][-n_rows:, :-1].bool()
        found = torch.where(is_held_out, self.group_of["items"][self.last_top] + 1, 0).to(torch.int8)  # 0: not held out
        users = users_of_rows(interaction[self.user_field], scores)
        self.data_struct.update_tensor(IDS, users)
        self.data_struct.update_tensor(USERS, self.group_of["users"][users])
        self.data_struct.update_tensor(FOUND, found)
        self.data_struct.update_tensor(HELD_OUT, held_out)

    def get_data_struct(self) -> DataStruct:
        struct: DataStruct = super().get_data_struct()
        for key in (IDS, USERS, FOUND, HELD_OUT):
            if key in self.data_struct:
                del self.data_struct[key]
        return struct


class GroupEvaluator(Evaluator):
    """RecBole's evaluator without its rounding, which keeps what the last metrics by group are made from."""

    _last: DataStruct | None = None

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.edges = read_groups(config)
        unround(self)

    def evaluate(self, dataobject: DataStruct) -> Any:
        self._last = None
        if USERS in dataobject:
            self._last = DataStruct()
            for key in (TOPK, IDS, USERS, FOUND, HELD_OUT):
                self._last.set(key, dataobject[key])
        return super().evaluate(dataobject)

    @property
    def groups(self) -> Groups | None:
        """The metrics of the last evaluation by group, made when they are asked for; None where there are none."""
        last = self._last
        return None if last is None else {kind: self._by_group(kind, last) for kind in self.edges}

    @property
    def by_user(self) -> tuple[np.ndarray, dict[str, np.ndarray]] | None:
        """The metrics of the last evaluation by user, made when they are asked for; None where there are none.

        Internal ids (n_users,), each once, in ascending order, and metric -> (n_users,), unrounded. Of a user who was
        evaluated several times, as by a sequential model on several interactions, it is the mean.
        """
        if self._last is None:
            return None
        ids, row = np.unique(self._last[IDS].numpy(), return_inverse=True)
        count = np.bincount(row)
        values = self._metrics(self._last[TOPK], lambda each: np.bincount(row, each) / count)
        return ids, values

    def _by_group(self, kind: str, dataobject: DataStruct) -> list[dict[str, Any]]:
        groups = []
        for number, (name, degree) in enumerate(group_names(self.edges[kind])):
            ranked = dataobject[TOPK]  # (n_rows, k + 1): found or not, by place, and how many are held out
            if kind == "users":
                ranked = ranked[dataobject[USERS] == number]
            else:
                held_out = dataobject[HELD_OUT][:, number]
                found = (dataobject[FOUND] == number + 1).to(ranked.dtype)
                ranked = torch.cat([found, held_out[:, None].to(ranked.dtype)], dim=1)[held_out > 0]
            means = self._metrics(ranked, lambda each: float(each.mean())) if len(ranked) else {}
            groups.append({"group": name, "degree": degree, "evaluated": len(ranked), "metrics": means})
        return groups

    def _metrics(self, ranked: Tensor, summary: Callable[[np.ndarray], Value]) -> dict[str, Value]:
        """Return a summary of all rows, (n_rows,), of the metrics that need nothing but the held-out items' ranks."""
        struct = DataStruct()
        struct.set(TOPK, ranked)
        values: dict[str, Value] = {}
        for name in self.metrics:
            if metric_information[name] == [TOPK]:
                metric: Any = copy(self.metric_class[name])
                metric.topk_result = lambda name, rows, topk=metric.topk: {f"{name}@{k}": rows[:, k - 1] for k in topk}
                values |= {of: summary(rows) for of, rows in metric.calculate_metric(struct).items()}
        return values


def group_names(edges: Sequence[int]) -> list[tuple[str, str]]:
    """Return the name and the training interactions of each group: ``("few", "1-9")``.

    The names are `cold`, `few` and `many` where there are two edges, else the interactions.
    """
    starts, ends = [0, *edges], [*(edge - 1 for edge in edges), None]
    degrees = [
        f"{start}+" if end is None else str(start) if start == end else f"{start}-{end}"
        for start, end in zip(starts, ends, strict=True)
    ]
    return list(zip(NAMES if len(degrees) == len(NAMES) else degrees, degrees, strict=True))


def group_title(group: Mapping[str, Any]) -> str:
    """Return what a group is called where it stands alone: ``few, 1-9``."""
    return group["degree"] if group["group"] == group["degree"] else f"{group['group']}, {group['degree']}"
