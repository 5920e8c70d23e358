"""RecBole's draws of items by their popularity, many at once: the same draws from the same random state."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from recbole_mm.recbole_bridge.encoding import in_order_of_appearance


def items_of_parts(self: Any) -> np.ndarray:
    """Return the item of each interaction, in the place of RecBole's `Sampler._get_candidates_list`."""
    return np.concatenate([part.inter_feat[self.iid_field].numpy() for part in self.datasets])


def items_of_dataset(self: Any) -> np.ndarray:
    """Return the item of each interaction, in the place of RecBole's `RepeatableSampler._get_candidates_list`."""
    found: np.ndarray = self.dataset.inter_feat[self.iid_field].numpy()
    return found


def build_alias_table(self: Any) -> None:
    """Note what is drawn, each with its share and with what is drawn for the rest to 1.

    In the place of RecBole's `AbstractSampler._build_alias_table`, with its arithmetic. What has no partner in the
    end, because shares were rounded, is its own; RecBole draws -1.
    """
    drawn = np.asarray(self._get_candidates_list())
    counts = np.bincount(drawn)
    self.candidates = in_order_of_appearance([drawn], len(counts))
    weights = [pow(count / len(drawn), self.alpha) for count in counts[self.candidates].tolist()]
    total = sum(weights)
    share = [weight / total * len(weights) for weight in weights]
    partner = list(range(len(share)))
    large = deque(place for place, one in enumerate(share) if one > 1)
    small = deque(place for place, one in enumerate(share) if one < 1)
    while large and small:
        place, other = large.popleft(), small.popleft()
        partner[other] = place
        share[place] -= 1 - share[other]
        if share[place] < 1:
            small.append(place)
        elif share[place] > 1:
            large.append(place)
    self.prob, self.alias = np.array(share), self.candidates[partner]


def pop_sampling(self: Any, sample_num: int) -> np.ndarray:
    """Return items (n,) drawn by their popularity, in the place of RecBole's `AbstractSampler._pop_sampling`."""
    place = np.random.randint(0, len(self.candidates), sample_num)
    found: np.ndarray = np.where(
        self.prob[place] > np.random.random(sample_num), self.candidates[place], self.alias[place]
    )
    return found
