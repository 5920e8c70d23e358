"""What an evaluation asks: how many questions, of which users and items, and a hash that two evaluations can share."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np

HASHED_PAIRS = 1 << 16  # joined to one text at a time


def held_out(valid: Any, test: Any) -> dict[str, Any]:
    """Return the evaluation protocol: interactions, users and questions of both splits, and how many items are ranked.

    A question is one ranking: a user, and the test items to find. Most models rank once per user; sequential models
    rank for every interaction, with the history before it, unless `ask_users_once` is set. The hash is of all
    questions by the ids in the files, in any order: two runs that share it are evaluated on the same interactions.
    """
    parts: dict[str, Any] = {"items": valid._dataset.item_num - 1}
    for name, loader in (("valid", valid), ("test", test)):
        alone = loader.is_sequential and getattr(loader, "questions", None) is None
        parts[name] = _questions(loader._dataset, alone)
    return parts


def _questions(dataset: Any, alone: bool) -> dict[str, Any]:
    """Return the numbers and the hash of a split, whose interactions are a question each, or one for each user."""
    (users, user_ids), (items, item_ids) = (_ranked(dataset, field) for field in (dataset.uid_field, dataset.iid_field))
    order = np.lexsort((items, users))
    users, items = users[order], items[order]
    new_user = np.append(True, users[1:] != users[:-1])[: len(users)]
    new_item = np.append(True, items[1:] != items[:-1])[: len(users)]
    counts = {"interactions": len(users), "users": int(new_user.sum())}
    first = np.ones(len(users), dtype=bool) if alone else new_user
    kept = np.flatnonzero(first | new_item)
    digest = sha256()
    for start in range(0, len(kept), HASHED_PAIRS):
        places = kept[start : start + HASHED_PAIRS]
        rows = zip(first[places].tolist(), user_ids[users[places]], item_ids[items[places]], strict=True)
        text = "".join(f"\n{user}\t{item}" if begins else f"\t{item}" for begins, user, item in rows)
        digest.update(text.removeprefix("\n" if not start else "").encode())
    return counts | {"questions": int(first.sum()), "hash": digest.hexdigest()}


def _ranked(dataset: Any, field: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the rank (n,) of the id of each interaction among those of the files, and the ids in their order."""
    ids, places = np.unique(dataset.inter_feat[field].numpy(), return_inverse=True)
    texts = dataset.id2token(field, ids)
    order = np.argsort(texts, kind="stable")
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks[places], texts[order]
