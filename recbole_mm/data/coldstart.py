"""Which part of a split each interaction belongs to, training, validation or test: by cold ids, histories or time.

Every function returns an array (n,) of 0, 1 and 2 for these parts, and 3 for what is in none.
"""

from __future__ import annotations

import numpy as np

TRAIN, VALID, TEST, LEFT_OUT = range(4)


def warm(
    users: np.ndarray, times: np.ndarray | None, shares: tuple[float, float], seed: int, min_history: int = 1
) -> np.ndarray:
    """Hold out the last interactions of every user, or any of them where there is no time.

    Parameters
    ----------
    users : int array (n,)
        The user of each interaction, from 0.
    times : float array (n,), optional
        Interactions of the same time stay in their order.
    shares : two floats
        Of validation and test, in [0, 1). They are rounded down, but to 1 rather than 0 where the share is above 0
        and the user can spare it, as in RecBole's own split.
    seed : int
        Of the choice without times.
    min_history : int
        Training interactions that a user keeps at the least, from 1; who has no more is not held out.
    """
    n = len(users)
    key = np.random.default_rng(seed).permutation(n) if times is None else times
    order = np.lexsort((np.arange(n), key, users))
    counts = np.bincount(users, minlength=1)
    train, held_out = counts.copy(), {}
    for part, share in ((TEST, shares[1]), (VALID, shares[0])):
        wanted = np.maximum((share * counts).astype(np.int64), share > 0)
        held_out[part] = np.clip(wanted, 0, np.maximum(train - min_history, 0))
        train -= held_out[part]
    place = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)  # within the user, in order
    ordered = users[order]
    parts = np.empty(n, dtype=np.int8)
    parts[order] = (place >= train[ordered]).astype(np.int8) + (place >= (train + held_out[VALID])[ordered])
    return parts


def cold(ids: np.ndarray, candidates: np.ndarray, share: float, seed: int, rest: np.ndarray) -> np.ndarray:
    """Move all interactions of some items, or of some users, into validation and test.

    Parameters
    ----------
    ids : int array (n,)
        The item (or user) of each interaction, from 0.
    candidates : int array
        Those that may be chosen.
    share : float
        How many of the candidates are, in (0, 1]; half of these for validation, half for test.
    seed : int
        Of the choice.
    rest : array (n,)
        The parts of all other interactions.
    """
    chosen = np.random.default_rng(seed).permutation(candidates)[: max(2, round(share * len(candidates)))]
    parts = rest.copy()
    parts[np.isin(ids, chosen[: len(chosen) // 2])] = VALID
    parts[np.isin(ids, chosen[len(chosen) // 2 :])] = TEST
    return parts


def by_time(times: np.ndarray, shares: tuple[float, float]) -> np.ndarray:
    """Hold out the last interactions of all users together, so that nothing in training is later than any of them.

    Parameters
    ----------
    times : float array (n,)
        Interactions of the same time are in the same part.
    shares : two floats
        Of validation and test, in [0, 1).
    """
    ends = np.percentile(times, [100 * (1 - shares[0] - shares[1]), 100 * (1 - shares[1])])
    return (times[:, None] > ends).sum(axis=1).astype(np.int8)


def without_cold(users: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Leave out the held-out interactions of users (n,) that have no training interaction.

    Parameters
    ----------
    users, parts : int array (n,)
        The user and the part of each interaction.
    """
    trained = np.isin(users, users[parts == TRAIN])
    return np.where(trained, parts, LEFT_OUT).astype(parts.dtype)
