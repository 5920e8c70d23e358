"""The histories of users or items as one matrix, filled at once: RecBole's, from the same random state."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_mm.recbole_bridge.splitting import RowsOfKeys

WARNED_SHARE = 0.2  # of all columns that the longest history has


def history_matrix(
    self: Any, row: str, value_field: str | None = None, max_history_len: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what users interacted with, or who with items, in random order, in place of `Dataset._history_matrix`.

    Parameters
    ----------
    row : str
        ``user`` or ``item``.
    value_field : str, optional
        Of the interactions; 1 where it is not given.
    max_history_len : int, optional
        Histories are cut there.

    Returns
    -------
    Tensors (n, longest), (n, longest) and (n,)
        Ids and values, padded with 0, and the lengths.
    """
    self._check_field("uid_field", "iid_field")
    feat = self.inter_feat
    if value_field is not None and value_field not in feat:
        raise ValueError(f"Value_field [{value_field}] should be one of `inter_feat`'s features.")
    fields, sizes = [self.uid_field, self.iid_field], [self.user_num, self.item_num]
    if row != "user":
        fields, sizes = fields[::-1], sizes[::-1]
    order = torch.randperm(len(feat))
    keys = feat[fields[0]][order].numpy()
    counts = np.bincount(keys, minlength=sizes[0])
    longest = int(counts.max()) if max_history_len is None else min(max_history_len, int(counts.max()))
    if longest > sizes[1] * WARNED_SHARE:
        self.logger.warning(
            f"Max value of {row}'s history interaction records has reached {longest / sizes[1] * 100}% of the total."
        )
    groups = RowsOfKeys(keys)
    kept = groups.position < longest
    rows, column = groups.rows[kept], groups.position[kept]
    place = torch.from_numpy(keys[rows] * np.int64(longest) + column)
    taken = order[torch.from_numpy(rows)]
    ids = torch.zeros((sizes[0], longest), dtype=torch.int64)
    values = torch.zeros((sizes[0], longest))
    ids.view(-1)[place] = feat[fields[1]][taken]
    values.view(-1)[place] = torch.ones(()) if value_field is None else feat[value_field][taken].float()
    return ids, values, torch.from_numpy(np.minimum(counts, longest))
