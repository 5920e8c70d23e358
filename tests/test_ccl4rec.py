"""CCL4Rec: its equations on small problems, its ablations, and its own promises."""

from __future__ import annotations

import math
import runpy
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from model_contract import DATASETS, ModelContract
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import init_seed
from torch import Tensor
from torch.nn import functional as F

from recbole_mm.base.errors import InputError
from recbole_mm.model.base import padded
from recbole_mm.model.sequential_recommender import ccl4rec
from recbole_mm.model.sequential_recommender.ccl4rec import CCL4Rec
from recbole_mm.recbole_bridge.whole_histories import whole_loss

pytestmark = pytest.mark.slow  # left out by `make quick`


@pytest.fixture(scope="module")
def data() -> tuple[Any, Any]:
    """Return train loader and its first batch, on the generated set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["x"])
        config = Config(model="CCL4Rec", dataset="microvideo", config_dict=settings_of())
        init_seed(config["seed"], config["reproducibility"])
        train = data_preparation(config, create_dataset(config))[0]
        return train, next(iter(train))


def settings_of(**changes: Any) -> dict[str, Any]:
    keys = {"data_path": str(DATASETS), "use_gpu": False, "train_batch_size": 256, "MAX_ITEM_LIST_LENGTH": 8}
    return {**keys, "embedding_size": 6, "n_contrasts": 40, "dropout": 0.0, "item_attention": True, **changes}


ALL = {"cl_weight": 0.1, "hard_weight": 0.1, "over_weight": 0.1}


def small(data: tuple[Any, Any], **changes: Any) -> CCL4Rec:
    config = Config(model="CCL4Rec", dataset="microvideo", config_dict=settings_of(**changes))
    torch.manual_seed(3)
    return CCL4Rec(config, data[0]._dataset)


@pytest.mark.parametrize("trust_beta", [0.0, 1.5])
def test_the_encoder_by_its_equations(data: tuple[Any, Any], trust_beta: float) -> None:
    model = small(data, trust_beta=trust_beta).eval()
    with torch.no_grad():
        model.recency.normal_()
        model.transition.weight.normal_()
    T = model.transition.weight
    W, b = model.attention[0].weight, model.attention[0].bias
    w = model.attention[2].weight[0]
    items, logits = (padded(table) for table in model.embeddings())
    history = torch.tensor([[5, 9, 2, 0, 0, 0, 0, 0], [7, 0, 0, 0, 0, 0, 0, 0]])
    users, attention = model.encode(history, items, logits)
    e = items[history[0, :3]]
    trust = model.trust_logits(history, items)[0, :3].sigmoid()
    logit = [w @ torch.tanh(W @ e_j + b) + 10 * model.recency[2 - j] for j, e_j in enumerate(e)]
    odds = torch.stack(logit).exp() * trust**trust_beta
    a = odds / odds.sum()
    torch.testing.assert_close(attention[0, :3], a)
    u = (a.unsqueeze(1) * e).sum(0)
    torch.testing.assert_close(users[0], u + T @ u)
    assert attention[1].tolist() == [1] + [0] * 7
    torch.testing.assert_close(users[1], items[7] + T @ items[7])
    assert not attention[0, 3:].any()


@pytest.mark.parametrize("changes", [{"use_ids": False}, {"use_modalities": False}, ALL])
def test_items_of_any_parts_train_in_mixed_precision(data: tuple[Any, Any], changes: dict[str, Any]) -> None:
    model = small(data, **changes)
    with torch.autocast("cpu"):
        loss = model.calculate_loss(data[1])
    loss.backward()
    torch.testing.assert_close(loss, small(data, **changes).calculate_loss(data[1]), rtol=0.05, atol=0)
    assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)


def test_what_follows_is_at_first_what_is_like(data: tuple[Any, Any]) -> None:
    """T starts at 0, and training moves it."""
    model, without = small(data), small(data, transition=False)
    without.load_state_dict({name: weight for name, weight in model.state_dict().items() if "transition" not in name})
    scores, others = (m.eval().full_sort_predict(data[1]) for m in (model, without))
    torch.testing.assert_close(scores, others)
    model.train().losses(data[1])["rec"].backward()
    assert model.transition.weight.grad.any()


def test_trust_is_of_item_vectors_and_centred_modalities(data: tuple[Any, Any]) -> None:
    model = small(data)
    items = padded(model.embeddings()[0])
    history = torch.tensor([[5, 9, 2, 11, 0, 0, 0, 0]])
    spaces = zip(model.features, model.masks, strict=True)
    X = [(F.normalize(X - X[real].mean(0), dim=1) * real[:, None])[history[0, :4] - 1][None] for X, real in spaces]
    expected = model.trust(items[history[0, :4]][None], X, torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(model.trust_logits(history, items)[:, :4], expected)
    assert len(small(data, trust_modalities=False).spaces) == 0
    without = small(data, trust_beta=0.0, trust_weight=0.0)
    assert not hasattr(without, "trust")
    assert not any("trust" in name for name, _ in without.named_parameters())


def test_the_users_of_every_prefix(data: tuple[Any, Any]) -> None:
    """Without trust, which knows the whole history in training, they are what the prefixes alone give."""
    model = small(data, trust_beta=0.0, trust_weight=0.0)
    with torch.no_grad():
        model.recency.normal_()
        model.transition.weight.normal_()
    tables = [padded(table) for table in model.embeddings()]
    history = torch.tensor([[5, 9, 2, 4, 0, 0, 0, 0], [7, 3, 0, 0, 0, 0, 0, 0]])
    every = model.encode_every(history, *tables)
    for row, length in ((0, 4), (1, 2)):
        for end in range(1, length + 1):
            alone, _ = model.encode(history[row : row + 1, :end], *tables)
            torch.testing.assert_close(every[row, end - 1], alone[0])


def test_trust_is_learned_from_planted_noise_alone_and_weighs_what_is_scored(data: tuple[Any, Any]) -> None:
    model, without = small(data), small(data, trust_beta=0.0, trust_weight=0.0)
    without.load_state_dict(
        {name: weight for name, weight in model.state_dict().items() if name in without.state_dict()}
    )
    terms, plain = model.losses(data[1]), without.losses(data[1])
    learned = [weight for name, weight in model.named_parameters() if name.startswith("trust.")]
    assert torch.autograd.grad(terms["rec"], learned, allow_unused=True, retain_graph=True) == (None,) * len(learned)
    assert all(gradient.any() for gradient in torch.autograd.grad(terms["trust"], learned))
    torch.testing.assert_close(terms["rec"], plain["rec"])
    scores, others = (m.eval().full_sort_predict(data[1]) for m in (model, without))
    assert (scores - others).abs().max() > 1e-4


def test_item_vectors_are_embedding_and_projected_modalities(data: tuple[Any, Any]) -> None:
    model = small(data)
    expected = model.item_embedding.weight + sum(
        F.linear(X, project.weight) for X, project in zip(model.features, model.projections, strict=True)
    )
    torch.testing.assert_close(model.embeddings()[0], expected)
    ids_only, features_only = small(data, use_modalities=False), small(data, use_ids=False)
    torch.testing.assert_close(ids_only.embeddings()[0], ids_only.item_embedding.weight)
    assert features_only.item_embedding.weight.numel() == 0
    with pytest.raises(InputError, match="items could not be told apart"):
        small(data, use_ids=False, use_modalities=False)


def test_padding_never_matters(data: tuple[Any, Any]) -> None:
    model = small(data).eval()
    history = torch.tensor([[5, 9, 2]])
    longer = F.pad(history, (0, 5))
    short, long = (model.encode(h, *model.scoring_embeddings())[0] for h in (history, longer))
    torch.testing.assert_close(short, long)


def test_an_empty_history_scores_0_and_not_nan(data: tuple[Any, Any]) -> None:
    model = small(data).eval()
    scores = model.full_sort_predict({model.ITEM_SEQ: torch.zeros(2, 8, dtype=torch.long)})
    assert not scores.any()


def test_histories_of_one_and_of_cold_items_train_and_score(data: tuple[Any, Any]) -> None:
    model = small(data, **ALL)
    rows = data[0]._dataset.inter_feat
    seen = torch.cat([rows["item_id"], rows["item_id_list"].flatten()]).unique()[1:]
    cold = np.setdiff1d(np.arange(1, model.n_items), seen)[:4].tolist()
    histories = [seen[:1].tolist(), cold[:1], cold[1:4], [*cold[:2], *seen[:5].tolist()], seen[5:11].tolist()]
    history = torch.tensor([items + [0] * (8 - len(items)) for items in histories])
    length = (history > 0).sum(1)
    batch = {model.USER_ID: torch.arange(1, 6), model.ITEM_SEQ: history, model.ITEM_SEQ_LEN: length}
    batch[model.ITEM_ID] = seen[1:6]
    for _ in range(20):  # views are drawn anew
        model.zero_grad()
        loss = model.calculate_loss(batch)
        loss.backward()
        assert loss.isfinite()
        assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())
    model.eval()
    scores = model.full_sort_predict(batch)
    assert scores.isfinite().all()
    assert len(scores.unique(dim=0)) == 5


def test_a_batch_of_short_histories_has_nothing_to_contrast(data: tuple[Any, Any]) -> None:
    model = small(data, **ALL)
    history = torch.tensor([[1, 2, 0, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0, 0, 0]])
    batch = {model.USER_ID: torch.tensor([1, 2]), model.ITEM_SEQ: history, model.ITEM_ID: torch.tensor([4, 5])}
    terms = model.losses(batch | {model.ITEM_SEQ_LEN: torch.tensor([2, 1])})
    assert list(terms) == ["rec"]


def test_without_recency_the_order_of_a_history_does_not_matter(data: tuple[Any, Any]) -> None:
    for recency in (True, False):
        model = small(data, recency=recency).eval()
        with torch.no_grad():
            model.recency.copy_(torch.arange(8.0) if recency else torch.zeros(8))
        one, other = (model.full_sort_predict({model.ITEM_SEQ: torch.tensor([h])}) for h in ([3, 4, 5], [5, 3, 4]))
        assert torch.allclose(one, other, atol=1e-5) != recency
        assert model.recency.requires_grad == recency


def test_the_softmax_loss(data: tuple[Any, Any]) -> None:
    full = small(data, trust_beta=0.0, trust_weight=0.0)
    terms = full.losses(data[1])
    users, _ = full.encode(data[1][full.ITEM_SEQ], *(padded(table) for table in full.embeddings()))
    expected = F.cross_entropy(users @ full.embeddings()[0].T, data[1][full.ITEM_ID] - 1)
    torch.testing.assert_close(terms["rec"], expected)


def test_few_drawn_items_stand_for_all(data: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawn item counts `n_items / n_drawn` times, one that is the target not at all."""
    model = small(data, trust_beta=0.0, trust_weight=0.0, softmax_items=40)
    drawn = torch.arange(1, 41)
    monkeypatch.setattr(torch, "randperm", lambda *_, device: drawn - 1)
    table, logits = (padded(part) for part in model.embeddings())
    scores = model.encode(data[1][model.ITEM_SEQ], table, logits)[0] @ table.T
    each = []
    for row, target in zip(scores, data[1][model.ITEM_ID].tolist(), strict=True):
        others = [row[item].exp() for item in drawn.tolist() if item != target]
        each.append((row[target].exp() + model.n_real_items / 40 * sum(others)).log() - row[target])
    torch.testing.assert_close(model.losses(data[1])["rec"], torch.stack(each).mean())


def test_an_item_of_the_history_has_a_bias_once(data: tuple[Any, Any]) -> None:
    """Of scores, of pairs, and of the softmax over all items and over some."""
    history, target = torch.tensor([[5, 9, 5, 2, 0, 0, 0, 0], [7, 3, 0, 0, 0, 0, 0, 0]]), torch.tensor([9, 4])
    batch = {"item_id_list": history, "item_length": torch.tensor([4, 2]), "item_id": target}
    batch |= {"user_id": torch.tensor([1, 2]), "neg_item_id": torch.tensor([3, 7])}
    few = {"trust_beta": 0.0, "trust_weight": 0.0}
    full, sampled = small(data, **few), small(data, softmax_items=20, **few)
    pairs = small(data, loss_type="BPR", train_neg_sample_args={"distribution": "uniform", "sample_num": 1}, **few)
    unbiased = full.eval().full_sort_predict(batch)
    for model in (full, sampled, pairs):
        with torch.no_grad():
            model.repeat.fill_(-0.3)
    expected = unbiased.clone()
    expected[0, [2, 5, 9]] -= 3
    expected[1, [3, 7]] -= 3
    torch.testing.assert_close(full.full_sort_predict(batch)[:, 1:], expected[:, 1:])
    torch.testing.assert_close(full.predict(batch), expected.gather(1, target.unsqueeze(1)).squeeze(1))
    torch.testing.assert_close(full.eval().losses(batch)["rec"], F.cross_entropy(expected[:, 1:], target - 1))
    apart = expected.gather(1, target.unsqueeze(1)) - expected.gather(1, batch["neg_item_id"].unsqueeze(1))
    torch.testing.assert_close(pairs.eval().losses(batch)["rec"], -F.logsigmoid(apart).mean(), atol=1e-6, rtol=1e-4)
    torch.manual_seed(8)
    loss = sampled.eval().losses(batch)["rec"]
    torch.manual_seed(8)
    drawn = torch.randperm(sampled.n_real_items)[:20] + 1
    each = []
    for row, answer in zip(expected, target.tolist(), strict=True):
        others = row[drawn[drawn != answer]].exp().sum() * sampled.n_real_items / 20
        each.append((row[answer].exp() + others).log() - row[answer])
    torch.testing.assert_close(loss, torch.stack(each).mean())


def test_beta_is_learned_from_what_follows_and_by_nothing_else(data: tuple[Any, Any]) -> None:
    """Its term is the softmax loss of histories weighed by trust; nothing else has a gradient of it."""
    model = small(data, trust_beta=1.5)
    with torch.no_grad():
        model.recency.normal_()
    others = [weight for name, weight in model.named_parameters() if name != "beta"]
    terms = model.losses(data[1])
    assert torch.autograd.grad(terms["beta"], others, allow_unused=True, retain_graph=True) == (None,) * len(others)
    (gradient,) = torch.autograd.grad(terms["beta"], model.beta)
    assert gradient != 0
    torch.manual_seed(5)
    loss = model.losses(data[1])["beta"]
    torch.manual_seed(5)
    rows = model._contrasted(data[1])
    batch = {model.ITEM_SEQ: data[1][model.ITEM_SEQ][rows]}
    expected = F.cross_entropy(model.eval().full_sort_predict(batch)[:, 1:], data[1][model.ITEM_ID][rows] - 1)
    torch.testing.assert_close(loss, expected)
    fixed = small(data, trust_beta=1.5, learn_beta=False)
    assert "beta" not in fixed.losses(data[1])
    assert not fixed.beta.requires_grad
    assert not hasattr(small(data, trust_beta=0.0), "beta")


def test_beta_below_0_counts_as_0(data: tuple[Any, Any]) -> None:
    """Behaviours are never weighed up for being distrusted."""
    model, without = small(data).eval(), small(data, trust_beta=0.0).eval()
    without.load_state_dict({name: weight for name, weight in model.state_dict().items() if name != "beta"})
    with torch.no_grad():
        model.beta.fill_(-0.4)
    torch.testing.assert_close(model.full_sort_predict(data[1]), without.full_sort_predict(data[1]))


def test_the_bias_of_repeats_follows_the_data(data: tuple[Any, Any]) -> None:
    """It falls where no user returns to an item, and rises where all do."""
    for target, sign in ((torch.tensor([4, 6]), 1), (torch.tensor([9, 7]), -1)):
        model = small(data, trust_weight=0.0)
        history = torch.tensor([[5, 9, 2, 0, 0, 0, 0, 0], [7, 3, 0, 0, 0, 0, 0, 0]])
        batch = {model.USER_ID: torch.tensor([1, 2]), model.ITEM_SEQ: history, model.ITEM_ID: target}
        loss = model.losses(batch | {model.ITEM_SEQ_LEN: torch.tensor([3, 2])})["rec"]
        assert sign * torch.autograd.grad(loss, model.repeat)[0] > 0
    assert not small(data, repeat_bias=False).repeat.requires_grad


def test_training_drops_entries_of_the_user(data: tuple[Any, Any]) -> None:
    model = small(data, dropout=0.5)
    one, other = (model.losses(data[1])["rec"] for _ in range(2))
    assert one != other
    model.eval()
    torch.testing.assert_close(model.losses(data[1])["rec"], small(data).eval().losses(data[1])["rec"])


def test_the_terms_by_their_equations(data: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, user by user and view by view, from the views and the noise that the model drew."""
    weights = {"cl_weight": 0.7, "hard_weight": 0.3, "over_weight": 0.4, "trust_weight": 0.6}
    model = small(data, n_contrasts=7, n_views=2, tau=0.3, tau_w=0.2, margin=0.1, **weights)
    drawn: dict[str, Any] = {}

    def recorded(name: str, function: Any) -> Any:
        def record(*args: Any) -> Any:
            drawn[name] = function(*args)
            return drawn[name]

        return record

    monkeypatch.setattr(model, "_contrasted", recorded("rows", model._contrasted))
    monkeypatch.setattr(model.contrast, "views", recorded("views", model.contrast.views))
    monkeypatch.setattr(ccl4rec, "plant", recorded("noise", ccl4rec.plant))
    terms = model.losses(data[1])
    rows, (good, bad), (noisy, planted) = (drawn[name] for name in ("rows", "views", "noise"))
    assert good.items.shape == (7, 4, 8)
    assert bad.items.shape == (7, 2, 8)

    items, logits = (padded(table) for table in model.embeddings())
    trust = model.trust_logits(noisy, items).sigmoid()
    known = -torch.where(planted, (1 - trust).log(), trust.log())[noisy > 0].mean()
    torch.testing.assert_close(terms["trust"], 0.6 * known)

    def f(history: Tensor) -> Tensor:
        users = model.encode(history, items, logits)[0]
        return F.normalize(model.contrast.user_head(users), dim=1)

    anchors = f(data[1][model.ITEM_SEQ][rows])
    following = F.normalize(model.contrast.item_head(items[data[1][model.ITEM_ID][rows]]), dim=1)
    pull, push, over = [], [], []
    for user in range(7):
        near, far = f(good.items[user]), f(bad.items[user])
        for v, w in enumerate((-good.damage[user] / 0.2).softmax(0)):
            odds = (near[v] @ anchors.T / 0.3).exp()
            pull.append(-w * (odds[user] / odds.sum()).log())
        for n, w in enumerate((bad.damage[user] / 0.2).softmax(0)):
            gap = far[n] @ anchors[user] - (near @ anchors[user]).min() + 0.1 * bad.damage[user, n]
            push.append(w * F.softplus(gap / 0.3))
        c, D = torch.cat([near, far]) @ following[user], torch.cat([good.damage[user], bad.damage[user]])
        for better, worse in permutations(range(6), 2):
            if (more := D[worse] - D[better]) > 0:
                over.append(more * F.softplus((c[worse] - c[better] + 0.1 * more) / 0.3))
    torch.testing.assert_close(terms["pull"], 0.7 * sum(pull) / 7)
    torch.testing.assert_close(terms["hard"], 0.3 * sum(push) / 7)
    torch.testing.assert_close(terms["over"], 0.4 * torch.stack(over).mean())


def test_the_contrast_of_whole_histories_is_anchored_at_their_own_next_item(
    data: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small(data, train_histories="whole", over_weight=1.0)
    seen: dict[str, Tensor] = {}
    forward = model.contrast.forward
    monkeypatch.setattr(
        model.contrast, "forward", lambda given, users, following, encode: seen.update(given=given.items, g=following)
        or forward(given, users, following, encode),
    )  # fmt: skip
    whole_loss(model, data[1])
    items = padded(model.embeddings()[0])
    pairs = zip(data[1][model.ITEM_SEQ].tolist(), data[1][model.ITEM_ID].tolist(), strict=True)
    target = {tuple(history): item for history, item in pairs}
    expected = items[[target[tuple(history)] for history in seen["given"].tolist()]]
    torch.testing.assert_close(seen["g"], expected)


def test_ablations_leave_terms_out(data: tuple[Any, Any]) -> None:
    def terms(**changes: Any) -> list[str]:
        return list(small(data, **changes).losses(data[1]))

    assert terms() == ["rec", "beta", "trust"]
    assert terms(learn_beta=False) == ["rec", "trust"]
    assert terms(trust_beta=0.0, trust_weight=0.0) == ["rec"]
    assert terms(**ALL) == ["rec", "beta", "trust", "pull", "hard", "over"]
    assert terms(cl_weight=0.1, trust_weight=0.0) == ["rec", "beta", "pull"]


def test_strengths_follow_damage_or_are_equal(data: tuple[Any, Any]) -> None:
    contrast = small(data, **ALL).contrast
    weights = contrast.strengths(-torch.tensor([[0.1, 0.4]]))
    torch.testing.assert_close(weights[0, 0] / weights[0, 1], torch.tensor(math.exp(0.3 / 0.1)))
    assert weights.sum().item() == pytest.approx(1)
    vanilla = small(data, **ALL, adaptive=False).contrast
    assert vanilla.strengths(torch.tensor([[0.1, 0.4]])).tolist() == [[0.5, 0.5]]


def test_trust_learns_what_was_planted(data: tuple[Any, Any]) -> None:
    """A few steps of its supervision: planted behaviours get less trust than the others, and less attention."""
    model = small(data, trust_weight=1.0, trust_beta=8.0, embedding_size=16)
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        model.losses(data[1])["trust"].backward()
        optimiser.step()
    model.eval()
    items, logits = (padded(table) for table in model.embeddings())
    long = data[1][model.ITEM_SEQ]
    noisy, planted = ccl4rec.plant(long[(long > 0).all(1)])
    trust = model.trust_logits(noisy, items)
    assert trust[planted].mean() < trust[~planted].mean() - 0.3
    without = small(data, trust_beta=0.0, embedding_size=16).eval()
    attention, plain = (m.encode(noisy, items, logits)[1] for m in (model, without))
    assert attention[planted].mean() < 0.9 * plain[planted].mean()


def test_each_user_of_a_batch_is_contrasted_once(data: tuple[Any, Any]) -> None:
    model = small(data, n_contrasts=1000)
    user = data[1][model.USER_ID]
    rows = model._contrasted(data[1])
    long = (data[1][model.ITEM_SEQ] > 0).sum(1) >= 5
    assert set(user[rows].tolist()) == set(user[long].tolist())
    assert long[rows].all()
    assert len(user[rows].unique()) == len(rows)
    few = small(data, n_contrasts=10)
    drawn = [user[few._contrasted(data[1])] for _ in range(2)]
    assert [len(d.unique()) for d in drawn] == [10, 10]
    assert set(drawn[0].tolist()) != set(drawn[1].tolist())


class TestCCL4Rec(ModelContract):
    model = "CCL4Rec"
    settings: ClassVar[dict[str, Any]] = {"embedding_size": 16, "MAX_ITEM_LIST_LENGTH": 10, "eval_batch_size": 64}


class Thin(TestCCL4Rec):
    dataset = "thin"
    __test__ = False


class TestCCL4RecWithAllContrasts(ModelContract):
    model = "CCL4Rec"
    settings: ClassVar[dict[str, Any]] = {**TestCCL4Rec.settings, **ALL}


class TestCCL4RecWithItemAttention(ModelContract):
    model = "CCL4Rec"
    settings: ClassVar[dict[str, Any]] = {**TestCCL4Rec.settings, "item_attention": True, "transition": False}


class TestCCL4RecOnWholeHistories(ModelContract):
    model = "CCL4Rec"
    settings: ClassVar[dict[str, Any]] = {**TestCCL4Rec.settings, "train_histories": "whole"}
    settings |= {"train_neg_sample_args": None}


class TestCCL4RecByPairs(ModelContract):
    model = "CCL4Rec"
    settings: ClassVar[dict[str, Any]] = {**TestCCL4Rec.settings, "loss_type": "BPR"}


def test_features_of_other_items_lower_the_validation_metric(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a generated set with few interactions an item; ids and features together, as by default."""
    size = ["--users=400", "--items=1200", "--cold-items=50", "--interactions-per-user=12"]
    monkeypatch.setattr("sys.argv", ["x", f"--out={tmp_path}", "--name=thin", *size])
    runpy.run_path(str(DATASETS / "generate_microvideo.py"), run_name="__main__")
    monkeypatch.setattr("sys.argv", ["x"])
    best = {}
    for shuffled in (False, True):
        run = Thin.built(data_path=str(tmp_path))
        if shuffled:
            order = torch.randperm(run.model.n_real_items)
            for X in run.model.features:
                X.copy_(X[order])
        best[shuffled], _ = run.trainer.fit(run.train, run.valid, verbose=False, saved=False)
    assert best[True] < 0.8 * best[False]
