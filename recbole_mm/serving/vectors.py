"""The vectors that a model's scores are dot products of, where they are: found, and checked against its own scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.base.errors import InputError
from recbole_mm.serving.trained_model import TrainedModel
from recbole_mm.serving.user_items import UserItems

CHECKED = 64  # users whose scores are compared
STEPS = 20  # to tell a bias of the items from one of the users, where some scores are left out
TOLERANCE = 1e-4  # of the largest score

Tables = tuple[Tensor, Tensor]  # users (n_users, d), items (n_items, d)
HistoryEncoder = Callable[[UserItems, np.ndarray], Tensor]


@dataclass(frozen=True, slots=True)
class Vectors:
    """Scores are ``users @ items.T``, but for what is the same for all items of a user.

    Attributes
    ----------
    users, items : float32 arrays (n_users, d), (n_items, d)
        A bias of the items is their last number, 1 that of the users.
    checked : float
        The largest difference from the model's own scores, of the items that a user has not seen.
    """

    users: np.ndarray
    items: np.ndarray
    checked: float


def vectors_of(trained: TrainedModel) -> Vectors:
    """Return the vectors of all users and items of a model.

    Raises
    ------
    InputError
        Its scores are no dot products.
    """
    random = np.random.default_rng(0)
    some = np.sort(random.permutation(len(trained.user_ids))[:CHECKED])
    own = trained.scores(some).double()
    tables = _of_histories if trained.sequential else _of_users
    for users, items in tables(trained):
        fitting = _fitting(trained, own, some, users[some], items)
        if fitting is not None:
            bias, checked = fitting
            made = (users, items) if bias is None else (F.pad(users, (0, 1), value=1.0), _beside(items, bias))
            return Vectors(made[0].float().numpy(), made[1].float().numpy(), checked)
    raise InputError(
        f"{trained.file}: the scores of {trained.config['model']} are no dot products of a vector of the user and one "
        "of the item: there are no vectors to export; recommend from the checkpoint"
    )


def _beside(items: Tensor, bias: Tensor) -> Tensor:
    return torch.cat([items, bias.to(items.dtype).unsqueeze(1)], dim=1)


def _fitting(
    trained: TrainedModel, own: Tensor, some: np.ndarray, users: Tensor, items: Tensor
) -> tuple[Tensor | None, float] | None:
    """Return the bias of the items, if any, and the largest difference; None where the vectors do not fit."""
    known = torch.ones_like(own, dtype=torch.bool)
    place, item = trained.seen.pairs(some)
    known[torch.from_numpy(place), torch.from_numpy(item.astype(np.int64))] = False
    rest = (own - users.double() @ items.double().T).masked_fill(~known, torch.nan)
    of_user, bias = torch.zeros(len(rest), 1), torch.zeros(rest.shape[1])
    for _ in range(STEPS):  # what all items of a user have in common changes no list
        of_user = (rest - bias).nanmean(dim=1, keepdim=True)
        bias = (rest - of_user).nanmean(dim=0).nan_to_num()
    rest = rest - of_user
    largest = TOLERANCE * float(own[own.isfinite()].abs().max().clamp_min(1e-6))
    plain = float((rest - rest.nanmean(dim=1, keepdim=True)).abs().nan_to_num().max())
    if plain <= largest:
        return None, plain
    biased = float((rest - bias).abs().nan_to_num().max())
    return (bias, biased) if biased <= largest else None


def _is_table(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 2


@torch.no_grad()
def _of_users(trained: TrainedModel) -> Iterator[Tables]:
    """Yield tables that may be those of a general model: the pack's, RecBole's for evaluation, its layers."""
    model: Any = trained.model
    n_users, n_items = len(trained.user_ids) + 1, len(trained.item_ids) + 1
    found: list[Any] = []
    if hasattr(model, "scoring_embeddings"):
        found.append(model.scoring_embeddings())
    found.append((getattr(model, "restore_user_e", None), getattr(model, "restore_item_e", None)))
    for make in (getattr(model, "forward", None), getattr(model, "computer", None)):
        try:
            found.append(make() if make else ())
        except (TypeError, NotImplementedError, AttributeError):  # it takes a batch
            continue
    layers = [getattr(model, name, None) for name in ("user_embedding", "item_embedding")]
    found.append(tuple(layer.weight if isinstance(layer, nn.Embedding) else None for layer in layers))
    for pair in found:
        if isinstance(pair, tuple | list) and len(pair) >= 2 and all(map(_is_table, pair[:2])):
            users, items = pair[0][:n_users], pair[1][:n_items]
            if len(users) == n_users and len(items) == n_items and users.shape[1] == items.shape[1]:
                yield users[1:].detach().cpu(), items[1:].detach().cpu()


def _of_histories(trained: TrainedModel) -> Iterator[Tables]:
    """Yield the users as their histories make them, and the items, of a sequential model."""
    encode = history_encoder(trained)
    if encode is None:
        return
    items = _item_table(trained.model)[1 : len(trained.item_ids) + 1]
    try:
        rows = np.arange(len(trained.user_ids))
        parts = [encode(trained.seen, rows[first : first + trained.at_once])
                 for first in range(0, len(rows), trained.at_once)]  # fmt: skip
    except Exception:  # a forward of another kind fails in many ways
        return
    users = torch.cat(parts)
    if users.dim() == 2 and users.shape[1] == items.shape[1]:
        yield users, items.cpu()


def history_encoder(trained: TrainedModel) -> HistoryEncoder | None:
    """Return what makes the vector of a user (n, d) out of histories; None where the model has no table of items."""
    if _item_table(trained.model) is None:
        return None

    @torch.no_grad()
    def encode(histories: UserItems, rows: np.ndarray) -> Tensor:
        asked = trained.asked_after(histories, rows)
        model = trained.model
        made: Tensor = model.forward(asked[model.ITEM_SEQ], asked[model.ITEM_SEQ_LEN])
        return made.float().cpu()

    return encode


def _item_table(model: Any) -> Any:
    """Return the vectors of items by internal id, or None."""
    if hasattr(model, "scoring_embeddings"):
        return model.scoring_embeddings()[0]
    layer = getattr(model, "item_embedding", None)
    return layer.weight.detach() if isinstance(layer, nn.Embedding) else None
