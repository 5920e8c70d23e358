"""Evaluation on items that are drawn for each user, `uni100` or `pop100`, a batch of users at once."""

from __future__ import annotations

from logging import getLogger
from typing import Any

import numpy as np
import torch
from recbole.data.dataloader import NegSampleEvalDataLoader
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader
from recbole.data.interaction import Interaction
from recbole.utils import InputType
from torch import Tensor


class SampledBatches(NegSampleEvalDataLoader):
    """RecBole's `NegSampleEvalDataLoader`, which draws user by user, with the same draws, and does all else at once.

    Where nothing is drawn, or histories are changed at random (`transform`), it is RecBole's own.

    Attributes
    ----------
    first_row : int array (n_users,) or None
        The first interaction of each user.
    """

    step: int
    first_row: np.ndarray | None = None

    def __init__(self, config: Any, dataset: Any, sampler: Any, shuffle: bool = False) -> None:
        self.logger = getLogger()
        phase = "test" if sampler is None else sampler.phase
        asked = config[f"{phase}_neg_sample_args"]
        drawn = "none" not in (asked["distribution"], asked["sample_num"]) and not asked.get("dynamic")
        if not drawn or config["transform"] is not None:
            super().__init__(config, dataset, sampler, shuffle=shuffle)
            return
        self._set_neg_sample_args(config, dataset, InputType.POINTWISE, asked)
        dataset.sort(by=dataset.uid_field, ascending=True)
        users = dataset.inter_feat[dataset.uid_field].numpy()
        self.uid2items_num = np.bincount(users, minlength=dataset.user_num)
        self.uid_list = np.flatnonzero(self.uid2items_num)
        self.first_row = np.cumsum(self.uid2items_num) - self.uid2items_num
        self.sample_size = len(self.uid_list)
        if shuffle:
            self.logger.warning("NegSampleEvalDataLoader can't shuffle")
        AbstractDataLoader.__init__(self, config, dataset, sampler, shuffle=False)

    def _init_batch_size_and_step(self) -> None:
        if self.first_row is None:
            super()._init_batch_size_and_step()
            return
        totals = np.cumsum(np.sort(self.uid2items_num * self.times)[::-1])  # of the users with the most
        self.step = max(1, int(np.searchsorted(totals, self.config["eval_batch_size"], side="right")))
        self.set_batch_size(int(totals[self.step - 1]))

    def collate_fn(self, index: Any) -> tuple[Any, Tensor | None, Tensor | None, Tensor | None]:
        """Return the interactions of some users, each with what is drawn for it; of each row the place of the user.

        Then, of each held-out interaction, the place of the user, and the item.
        """
        if self.first_row is None:
            own: tuple[Any, Tensor | None, Tensor | None, Tensor | None] = super().collate_fn(index)
            return own
        users = self.uid_list[np.asarray(index)]
        sizes = self.uid2items_num[users]
        held_out = self._dataset[_ranges(self.first_row[users], sizes)]
        starts = np.cumsum(sizes) - sizes
        blocks = sizes * self.times  # rows of each user: what is held out, then as often what is drawn
        position = _ranges(np.zeros(len(users), dtype=np.int64), blocks)
        rows = torch.from_numpy(np.repeat(starts, blocks) + position % np.repeat(sizes, blocks))
        is_drawn = torch.from_numpy(position >= np.repeat(sizes, blocks))
        found = Interaction({name: held_out[name][rows] for name in held_out})
        found[self.iid_field][is_drawn] = self._draws(held_out, starts, sizes)
        found = self._dataset.join(found)
        found.update(Interaction({self.label_field: (~is_drawn).float()}))
        place = np.arange(len(users))
        of_row, of_answer = (torch.from_numpy(np.repeat(place, counts)) for counts in (blocks, sizes))
        return found, of_row, of_answer, held_out[self.iid_field]

    def _draws(self, held_out: Any, starts: np.ndarray, sizes: np.ndarray) -> Tensor:
        """Return what is drawn for one user after the other."""
        users, items = (held_out[field].numpy() for field in (self.uid_field, self.iid_field))
        parts = (slice(start, start + size) for start, size in zip(starts.tolist(), sizes.tolist(), strict=True))
        return torch.cat(
            [self._sampler.sample_by_user_ids(users[part], items[part], self.neg_sample_num) for part in parts]
        )


def _ranges(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the numbers from each start on, as many as its size, one range behind the other."""
    ends = np.cumsum(sizes)
    found: np.ndarray = np.repeat(starts - ends + sizes, sizes) + np.arange(ends[-1] if len(ends) else 0)
    return found
