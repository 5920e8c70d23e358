"""A trained model with its data, from a checkpoint: it scores through RecBole's own functions, whatever model it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.utils import ModelType
from torch import Tensor

from recbole_mm.base.errors import InputError
from recbole_mm.recbole_bridge import checkpoint
from recbole_mm.recbole_bridge.device import found_device
from recbole_mm.recbole_bridge.full_sort import HELD_AT_ONCE, MOST_USERS, bytes_of_a_user
from recbole_mm.recbole_bridge.histories import part_and_time
from recbole_mm.serving.user_items import UserItems
from recbole_mm.settings.execution import Engine
from recbole_mm.settings.parameters import read_config
from recbole_mm.training.build import build_trained

PAIRS_AT_ONCE = 1 << 16  # of a model that scores pair by pair


@dataclass
class TrainedModel:
    """See `recbole_mm.serving.scorer.Scorer`; rows are internal ids less 1."""

    file: Path
    config: Any
    dataset: Any
    model: Any
    seen: UserItems
    at_once: int = 0

    def __post_init__(self) -> None:
        self.user_field, self.item_field = self.dataset.uid_field, self.dataset.iid_field
        self.time_field = self.dataset.time_field or ""
        fields = self.user_field, self.item_field
        self.user_ids, self.item_ids = (np.asarray(self.dataset.field2id_token[name][1:], str) for name in fields)
        self.trained_items = len(self.item_ids)
        self.sequential = self.config["MODEL_TYPE"] == ModelType.SEQUENTIAL
        self.name = f"{self.config['model']} on {self.config['dataset']}"
        self.device = self.config["device"]
        if not self.at_once:
            self.at_once = self._at_once()

    def _at_once(self) -> int:
        """Return how many users `eval_memory` allows."""
        memory = read_config(Engine, self.config).eval_memory * 2**20
        some = self._asked(np.arange(min(2, len(self.user_ids)))) if not self.sequential else self.asked_after(
            UserItems.of_lists([[0], [0]]), np.arange(2)
        )  # fmt: skip
        each = bytes_of_a_user(self.model, some) if len(some) == 2 else 1
        return int(max(1, min(MOST_USERS, memory // (HELD_AT_ONCE * max(each, 4 * len(self.item_ids))))))

    @torch.no_grad()
    def scores(self, users: np.ndarray) -> Tensor:
        if self.sequential:
            return self.history_scores(self.seen, users)
        return self._scored(self._asked(users))

    @torch.no_grad()
    def history_scores(self, histories: UserItems, rows: np.ndarray) -> Tensor:
        return self._scored(self.asked_after(histories, rows))

    def _asked(self, users: np.ndarray) -> Any:
        return self.dataset.join(Interaction({self.user_field: torch.from_numpy(users + 1)})).to(self.device)

    def asked_after(self, histories: UserItems, rows: np.ndarray) -> Any:
        """Return what a sequential model is asked with; a new history has the user that RecBole pads with."""
        length = self.config["MAX_ITEM_LIST_LENGTH"]
        items, held = histories.last(rows, length)
        users = rows + 1 if histories is self.seen else np.zeros_like(rows)
        asked = Interaction({
            self.user_field: torch.from_numpy(users),
            self.item_field + self.config["LIST_SUFFIX"]: torch.from_numpy(items.astype(np.int64) + 1),
            self.config["ITEM_LIST_LENGTH_FIELD"]: torch.from_numpy(held.clip(min=1)),
        })  # fmt: skip
        return self.dataset.join(asked).to(self.device)

    def _scored(self, asked: Any) -> Tensor:  # (n, n_items)
        try:
            scores = self.model.full_sort_predict(asked)
        except NotImplementedError:
            scores = self._pair_by_pair(asked)
        except KeyError as error:
            raise InputError(
                f"{self.config['model']} needs more of an interaction than user and items ({error}): no lists"
            ) from error
        return scores.view(len(asked), -1)[:, 1 : len(self.item_ids) + 1].float().cpu().clone()

    def _pair_by_pair(self, asked: Any) -> Tensor:
        """Return the scores of a model that knows no full ranking, as RecBole's trainer asks it."""
        n_items = len(self.item_ids) + 1
        pairs = asked.repeat_interleave(n_items)
        pairs.update(self.dataset.get_item_feature().to(self.device).repeat(len(asked)))
        parts = [
            self.model.predict(pairs[first : first + PAIRS_AT_ONCE]) for first in range(0, len(pairs), PAIRS_AT_ONCE)
        ]
        return torch.cat([part.view(-1) for part in parts])


def checkpoint_file(place: Path) -> Path:
    """Return the checkpoint that a path names: itself, or the only one of a run's folder.

    Raises
    ------
    InputError
        There is none, or there are several.
    """
    if place.is_file():
        return place
    if not place.is_dir():
        raise InputError(f"{place}: no such checkpoint or folder")
    found = sorted(place.glob("*.pth"))
    if len(found) != 1:
        told = f"{len(found)} checkpoints, name one of them" if found else "no checkpoint (.pth)"
        raise InputError(f"{place}: {told}")
    return found[0]


def trained_model(place: Path, device: str = "") -> TrainedModel:
    """Load a checkpoint and its data.

    Raises
    ------
    InputError
        A device that torch does not find, a file that cannot be read, data that are not those of the checkpoint, or a
        model without a ranking.
    """
    file = checkpoint_file(place)
    asked = found_device(device) if device else None
    state = checkpoint.load_trained(file, map_location=asked or (None if torch.cuda.is_available() else "cpu"))
    config = state["config"]
    if asked:
        config["device"] = asked
    if config["MODEL_TYPE"] == ModelType.DECISIONTREE:
        raise InputError(f"{file}: {config['model']} ranks no items: recommend with another model")
    seen: list[UserItems] = []
    config, model, dataset, *_ = build_trained(file, state, lambda dataset: seen.append(_all_items(dataset)))
    return TrainedModel(file, config, dataset, model.eval(), seen[0])


def _all_items(dataset: Any) -> UserItems:
    """Return the items of all interactions, part after part of a split that is given, by time."""
    feat, (part, time) = dataset.inter_feat, part_and_time(dataset)
    order = np.lexsort((time, part))
    users, items = (feat[name].to_numpy()[order] - 1 for name in (dataset.uid_field, dataset.iid_field))
    return UserItems.of(users, items, dataset.user_num - 1)
