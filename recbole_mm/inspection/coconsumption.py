"""Do neighbours in the features have users in common? Compared with random pairs of items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from tqdm import tqdm

from recbole_mm.graphs.nearest import nearest_among
from recbole_mm.inspection.statistics import Pairs

NEIGHBOURS = 10
QUERIES = 4_000  # items whose neighbours are looked up, at most
INTERACTIONS_AT_A_TIME = 4_000_000  # read to compare pairs of items


@dataclass(frozen=True, slots=True)
class CoConsumption:
    """How often two items share a training user: neighbours in one modality, and as many random pairs.

    Attributes
    ----------
    items : int
        Items with training interactions and features of their own that are not all 0: all that is compared.
    k, edges : int
        Neighbours an item, and pairs compared of each kind.
    neighbours, random : float
        Shares of the pairs whose two items share a training user.
    """

    items: int
    k: int
    edges: int
    neighbours: float
    random: float

    @property
    def ratio(self) -> float:
        """`neighbours` for one of `random`; infinite where no random pair shares a user."""
        return self.neighbours / self.random if self.random else float("inf")

    @property
    def odds_ratio(self) -> float:
        """The odds of sharing a user, for one of random pairs; not squeezed like `ratio` where most pairs do."""
        odds = self.random * (1 - self.neighbours)
        return self.neighbours * (1 - self.random) / odds if odds else float("inf")


def co_consumption(features: Tensor, real: Tensor, train: Pairs, seed: int) -> CoConsumption | None:
    """Compare the nearest items of a sample of items with random items, each pair with the same first item.

    Parameters
    ----------
    features : Tensor (item_num, dim)
        A row for each internal item id.
    real : bool Tensor (item_num,)
        Which rows are the items' own.
    train : Pairs
        The training interactions.
    seed : int
        Of the sample of at most `QUERIES` items, and of the random pairs.

    Returns
    -------
    CoConsumption or None
        None where fewer than three items can be compared.
    """
    has_users = np.bincount(train.items, minlength=len(features)) > 0
    items = np.flatnonzero(has_users & real.numpy() & features.any(dim=1).numpy())
    if len(items) < 3:
        return None
    k = min(NEIGHBOURS, len(items) - 1)
    draw = np.random.default_rng(seed)
    queries = np.sort(draw.permutation(len(items))[:QUERIES])  # places in `items`
    compared = features[items]
    near, _ = nearest_among(compared[queries], compared, k + 1, torch.from_numpy(queries))
    near = near[:, 1:]  # without itself: (queries, k)
    other = (queries[:, None] + draw.integers(1, len(items), near.shape)) % len(items)  # never the item itself
    users = _users_of_items(train, items)
    first = queries.repeat(k)
    shares = [float(share_a_user(users, first, second.ravel()).mean()) for second in (near, other)]
    return CoConsumption(len(items), k, len(first), shares[0], shares[1])


def _users_of_items(train: Pairs, items: np.ndarray) -> sp.csr_matrix:
    """Return 0 or 1 for each of `items` and each user, (items, users)."""
    place = np.full(train.items.max() + 1, -1)
    place[items] = np.arange(len(items))
    rows = place[train.items]
    shape = len(items), int(train.users.max()) + 1
    found = rows >= 0
    matrix = sp.csr_matrix((np.ones(found.sum(), dtype=np.float32), (rows[found], train.users[found])), shape)
    matrix.data[:] = 1  # a user who came back counts once
    return matrix


def share_a_user(users: sp.csr_matrix, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return for each pair of rows (n,) whether they have a nonzero column in common.

    Only the rows of some pairs are multiplied at a time.
    """
    size = np.diff(users.indptr)
    read = np.cumsum(size[first] + size[second]) // INTERACTIONS_AT_A_TIME
    parts = np.split(np.arange(len(first)), np.flatnonzero(np.diff(read)) + 1)
    shared = np.zeros(len(first), dtype=bool)
    for part in tqdm(parts, desc="shared users", unit="part", leave=False, delay=1):
        common = users[first[part]].multiply(users[second[part]])
        shared[part] = np.diff(common.tocsr().indptr) > 0
    return shared
