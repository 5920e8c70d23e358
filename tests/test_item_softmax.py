"""The softmax loss over all items, beside torch's own over scores that are all there at once."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.data import create_dataset, data_preparation
from recbole.trainer import Trainer
from recbole.utils import get_model, init_seed
from torch import Tensor
from torch.nn import functional as F
from training import configured, write_toy

from recbole_mm.recbole_bridge import item_softmax as module
from recbole_mm.recbole_bridge.item_softmax import LaterScores, ScoresLater, item_softmax

CE = {"train_neg_sample_args": None, "hidden_size": 8, "inner_size": 8, "n_heads": 2}
# RecBole's models whose cross entropy is over a plain product with all items, and one that divides it first.
PLAIN = ("SASRec", "GRU4Rec", "FDSA", "NARM", "STAMP", "SRGNN", "NextItNet", "LightSANs")
DIVIDED = "CORE"


def plain(users: Tensor, items: Tensor, target: Tensor, with_pad: bool = False) -> Tensor:
    scores = users @ items.T
    if not with_pad:
        scores[:, 0] = -torch.inf
    return F.cross_entropy(scores, target)


@settings(deadline=None, max_examples=40)
@given(
    n_users=st.integers(1, 9),
    n_items=st.integers(2, 12),
    at_once=st.integers(1, 40),
    scale=st.sampled_from([0.0, 1.0, 60.0]),
    seed=st.integers(0, 99),
    with_pad=st.booleans(),
)
def test_loss_and_gradients_are_torchs(
    n_users: int, n_items: int, at_once: int, scale: float, seed: int, with_pad: bool
) -> None:
    draw = torch.Generator().manual_seed(seed)
    users = (scale * torch.randn(n_users, 3, generator=draw, dtype=torch.float64)).requires_grad_()
    items = torch.randn(n_items, 3, generator=draw, dtype=torch.float64).requires_grad_()
    target = torch.randint(1, n_items, (n_users,), generator=draw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.SCORES, "cpu", at_once)  # from one user at a time to all of them
        ours = item_softmax(users, items, target, with_pad=with_pad)
    theirs = plain(users, items, target, with_pad)
    torch.testing.assert_close(ours, theirs)
    for mine, own in zip(*(torch.autograd.grad(3 * loss, (users, items)) for loss in (ours, theirs)), strict=True):
        torch.testing.assert_close(mine, own)


@settings(deadline=None, max_examples=40)
@given(n_users=st.integers(1, 9), n_items=st.integers(2, 12), at_once=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_bias_of_some_items_of_each_user(n_users: int, n_items: int, at_once: int, seed: int) -> None:
    """Loss and gradients are torch's, the bias's too; a user may have none of them, and the target among them."""
    draw = torch.Generator().manual_seed(seed)
    users, items = (torch.randn(n, 3, generator=draw).double().requires_grad_() for n in (n_users, n_items))
    bias = torch.tensor(-1.5, dtype=torch.float64, requires_grad=True)
    target = torch.randint(1, n_items, (n_users,), generator=draw)
    among = torch.rand(n_users, n_items, generator=draw) < 0.4
    among[:, 0] = False
    seen = (among * torch.arange(n_items)).sort(1, descending=True).values
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.SCORES, "cpu", at_once)
        ours = item_softmax(users, items, target, seen=seen, seen_bias=bias)
    theirs = F.cross_entropy((users @ items.T + bias * among)[:, 1:], target - 1)
    torch.testing.assert_close(ours, theirs)
    for mine, own in zip(*(torch.autograd.grad(loss, (users, items, bias)) for loss in (ours, theirs)), strict=True):
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
    assert sum(tensor.numel() for tensor in kept if tensor is not None) == users.numel() + items.numel()


def test_items_that_are_constant_have_no_gradient() -> None:
    users, items, target = torch.randn(4, 3, requires_grad=True), torch.randn(5, 3), torch.tensor([1, 2, 3, 4])
    loss = item_softmax(users, items, target)
    assert loss.grad_fn is not None
    assert loss.grad_fn.saved_tensors[1] is None  # type: ignore[attr-defined]
    of_users = [torch.autograd.grad(one, users)[0] for one in (loss, plain(users, items, target))]
    torch.testing.assert_close(*of_users)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("softmax"))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return a list that gets the shape of every product that is computed after all."""
    shapes = []
    whole = LaterScores.whole

    def noted(self: LaterScores) -> Tensor:
        result = whole(self)
        shapes.append(tuple(result.shape))
        return result

    monkeypatch.setattr(LaterScores, "whole", noted)
    return shapes


def loaded(model: str, toy: Path, **changes: Any) -> tuple[Any, Any, Any]:
    config = configured(model, "toy", data_path=str(toy), selected_features=["class"], **CE | changes)
    init_seed(config["seed"], config["reproducibility"])
    loader = data_preparation(config, create_dataset(config))[0]
    return config, loader, get_model(model)(config, loader.dataset)


@pytest.mark.parametrize("model", [*PLAIN, DIVIDED])
def test_recbole_s_models_have_their_own_loss(model: str, toy: Path, computed: list[tuple[int, ...]]) -> None:
    _, loader, built = loaded(model, toy)
    built.eval()  # nothing is drawn
    batch = next(iter(loader))
    with ScoresLater(built.n_items):
        ours = built.calculate_loss(batch)
    assert computed == ([(len(batch), built.n_items)] if model == DIVIDED else [])
    theirs = built.calculate_loss(batch)
    torch.testing.assert_close(ours, theirs)
    for mine, own in zip(
        *(torch.autograd.grad(loss, list(built.parameters()), allow_unused=True) for loss in (ours, theirs)),
        strict=True,
    ):
        assert (mine is None) == (own is None)
        if mine is not None and own is not None:
            torch.testing.assert_close(mine, own, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{"weight": torch.ones(6)}, {"ignore_index": 2}, {"reduction": "none"}, {"label_smoothing": 0.1}]
)
def test_another_cross_entropy_is_torchs(changes: dict[str, Any], computed: list[tuple[int, ...]]) -> None:
    torch.manual_seed(0)
    users, items = torch.randn(4, 3, requires_grad=True), torch.randn(6, 3, requires_grad=True)
    target = torch.tensor([1, 2, 3, 0])
    with ScoresLater(6):
        ours = F.cross_entropy(torch.matmul(users, items.T), target, **changes)
    assert computed == [(4, 6)]
    assert torch.equal(ours, F.cross_entropy(users @ items.T, target, **changes))
    with ScoresLater(6):
        shares = F.cross_entropy(torch.matmul(users, items.T), F.one_hot(target, 6).float())  # targets by share
    torch.testing.assert_close(shares, F.cross_entropy(users @ items.T, target))


def test_other_products_and_other_uses_are_torchs(computed: list[tuple[int, ...]]) -> None:
    """Scores that are looked at first are computed once, and are those that the loss then has."""
    torch.manual_seed(0)
    users, items, target = torch.randn(4, 3, requires_grad=True), torch.randn(6, 3), torch.tensor([1, 2, 3, 0])
    with ScoresLater(6):
        assert type(torch.matmul(users, items[:5].T)) is Tensor
        with torch.no_grad():
            assert type(torch.matmul(users, items.T)) is Tensor
        later = torch.matmul(users, items.T)
        assert isinstance(later, LaterScores)
        assert type(doubled := later * 2) is Tensor
        loss = F.cross_entropy(later, target)
    assert torch.equal(doubled, (users @ items.T) * 2)
    assert torch.equal(loss, F.cross_entropy(users @ items.T, target))
    assert later.requires_grad
    assert type(torch.matmul(users, items.T)) is Tensor  # nothing stays behind
    assert set(computed) == {(4, 6)}


@pytest.mark.parametrize("histories", ["prefixes", "whole"])
def test_training_ends_at_the_same_weights(
    histories: str, toy: Path, computed: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained() -> tuple[float, dict[str, Tensor]]:
        config, loader, built = loaded("SASRec", toy, train_histories=histories, epochs=2)
        losses = [Trainer(config, built)._train_epoch(loader, epoch) for epoch in range(2)]
        return losses[-1], built.state_dict()

    calls = []
    monkeypatch.setattr(
        module, "item_softmax", lambda *args, **kwargs: calls.append(1) or item_softmax(*args, **kwargs)
    )
    ours = trained()
    assert calls
    assert not computed
    calls.clear()
    monkeypatch.setattr(module, "ScoresLater", lambda n_items: nullcontext())  # RecBole's own
    torch.testing.assert_close(trained(), ours, rtol=1e-4, atol=1e-6)
    assert not calls
