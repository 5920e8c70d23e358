"""The softmax loss over all items, beside torch's own over scores that are all there at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from recbole_mm.model.parts import item_softmax as module
from recbole_mm.model.parts.item_softmax import item_softmax


def plain(users: Tensor, items: Tensor, target: Tensor) -> Tensor:
    scores = users @ items.T
    scores[:, 0] = -torch.inf
    return F.cross_entropy(scores, target)


@settings(deadline=None, max_examples=40)
@given(
    n_users=st.integers(1, 9),
    n_items=st.integers(2, 12),
    at_once=st.integers(1, 40),
    scale=st.sampled_from([0.0, 1.0, 60.0]),
    seed=st.integers(0, 99),
)
def test_loss_and_gradients_are_torchs(n_users: int, n_items: int, at_once: int, scale: float, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    users = (scale * torch.randn(n_users, 3, generator=draw, dtype=torch.float64)).requires_grad_()
    items = torch.randn(n_items, 3, generator=draw, dtype=torch.float64).requires_grad_()
    target = torch.randint(1, n_items, (n_users,), generator=draw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.SCORES, "cpu", at_once)  # from one user at a time to all of them
        ours = item_softmax(users, items, target)
    theirs = plain(users, items, target)
    torch.testing.assert_close(ours, theirs)
    for mine, own in zip(*(torch.autograd.grad(3 * loss, (users, items)) for loss in (ours, theirs)), strict=True):
        torch.testing.assert_close(mine, own)


def test_by_hand() -> None:
    users, items = torch.tensor([[1.0], [0.0]]), torch.tensor([[9.0], [0.0], [1.0]])  # item 0 is no answer
    loss = item_softmax(users, items, torch.tensor([1, 2]))
    e = torch.tensor(1.0).exp()
    torch.testing.assert_close(loss, ((1 + e).log() + torch.tensor(2.0).log()) / 2)


def test_half_precision_keeps_the_digits_of_the_sum() -> None:
    """Under autocast, as RecBole's `enable_amp` has it, the loss is that of whole numbers of the same inputs."""
    torch.manual_seed(0)
    users, items = torch.randn(4, 8).bfloat16(), torch.randn(3000, 8)
    target = torch.tensor([1, 2, 3, 4])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = item_softmax(users, items, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, plain(users.float(), items, target))


def test_no_batch_of_scores_is_kept() -> None:
    users, items = torch.randn(64, 4, requires_grad=True), torch.randn(50_000, 4, requires_grad=True)
    loss = item_softmax(users, items, torch.ones(64, dtype=torch.long))
    kept: list[Tensor] = loss.grad_fn.saved_tensors if loss.grad_fn is not None else []  # type: ignore[attr-defined]
    assert sum(tensor.numel() for tensor in kept) == users.numel() + items.numel()
