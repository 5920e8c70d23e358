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
from recbole_mm.graphs.building import history_matrix
from recbole_mm.model.base import padded
from recbole_mm.model.parts.views import Views, make_views
from recbole_mm.model.sequential_recommender import ccl4rec
from recbole_mm.model.sequential_recommender.ccl4rec import CCL4Rec

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
    return {**keys, "embedding_size": 6, "related_k": 5, "n_contrasts": 40, "dropout": 0.0, **changes}


def small(data: tuple[Any, Any], **changes: Any) -> CCL4Rec:
    config = Config(model="CCL4Rec", dataset="microvideo", config_dict=settings_of(**changes))
    torch.manual_seed(3)
    return CCL4Rec(config, data[0]._dataset)


def test_the_encoder_by_its_equations(data: tuple[Any, Any]) -> None:
    model = small(data)
    with torch.no_grad():
        model.recency.normal_()
    W, b = model.attention[0].weight, model.attention[0].bias
    w = model.attention[2].weight[0]
    items, logits = (padded(table) for table in model.embeddings())
    history = torch.tensor([[5, 9, 2, 0, 0, 0, 0, 0], [7, 0, 0, 0, 0, 0, 0, 0]])
    users, attention = model.encode(history, items, logits)
    e = items[history[0, :3]]
    odds = torch.stack([(w @ torch.tanh(W @ e_j + b) + model.recency[2 - j]).exp() for j, e_j in enumerate(e)])
    a = odds / odds.sum()
    torch.testing.assert_close(attention[0, :3], a)
    torch.testing.assert_close(users[0], (a.unsqueeze(1) * e).sum(0))
    assert attention[1].tolist() == [1] + [0] * 7
    torch.testing.assert_close(users[1], items[7])
    assert not attention[0, 3:].any()


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


def test_the_shares_of_views_are_spread_over_their_range(data: tuple[Any, Any]) -> None:
    model = small(data, n_positives=3, n_negatives=1, r_min=0.2, r_max=0.8)
    torch.testing.assert_close(model.positive_shares, torch.tensor([0.2, 0.5, 0.8]))
    torch.testing.assert_close(model.negative_shares, torch.tensor([0.5]))
    assert small(data, n_negatives=0).negative_shares.numel() == 0


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
    model = small(data)
    seen = history_matrix(data[0]._dataset, "item_id_list", "item_length").sum(0).nonzero()[0] + 1
    cold = np.setdiff1d(np.arange(1, model.n_items), seen)[:4].tolist()
    histories = [seen[:1].tolist(), cold[:1], cold[1:4], [*cold[:2], int(seen[0])]]
    history = torch.tensor([items + [0] * (8 - len(items)) for items in histories])
    target = torch.as_tensor(seen[1:5])
    batch = {model.USER_ID: torch.arange(1, 5), model.ITEM_SEQ: history, model.ITEM_ID: target}
    for _ in range(20):  # views are drawn anew
        model.zero_grad()
        loss = model.calculate_loss(batch)
        loss.backward()
        assert loss.isfinite()
        assert all(weight.grad.isfinite().all() for weight in model.parameters())
    attention = model.encode(history, *model.scoring_embeddings())[1]
    for views in model.views(history, attention):
        assert ((views.items > 0) == (history > 0).unsqueeze(1)).all()
        assert ((views.damage >= 0) & (views.damage <= 1 + 1e-6)).all()
    model.eval()
    scores = model.full_sort_predict(batch)
    assert scores.isfinite().all()
    assert len(scores.unique(dim=0)) == 4


def test_without_recency_the_order_of_a_history_does_not_matter(data: tuple[Any, Any]) -> None:
    for recency in (True, False):
        model = small(data, recency=recency).eval()
        with torch.no_grad():
            model.recency.copy_(torch.arange(8.0) if recency else torch.zeros(8))
        one, other = (model.full_sort_predict({model.ITEM_SEQ: torch.tensor([h])}) for h in ([3, 4, 5], [5, 3, 4]))
        assert torch.allclose(one, other, atol=1e-5) != recency
        assert model.recency.requires_grad == recency


def test_the_softmax_loss_and_its_sampled_form(data: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    full = small(data, cl_weight=0.0, over_weight=0.0)
    terms = full.losses(data[1])
    users, _ = full.encode(data[1][full.ITEM_SEQ], *(padded(table) for table in full.embeddings()))
    expected = F.cross_entropy(users @ full.embeddings()[0].T, data[1][full.ITEM_ID] - 1)
    torch.testing.assert_close(terms["rec"], expected)
    sampled = small(data, cl_weight=0.0, over_weight=0.0, softmax_items=len(full.embeddings()[0]) - 1)
    everything = torch.arange(1, full.n_items)
    monkeypatch.setattr(torch, "randint", lambda *_, device: everything)
    torch.testing.assert_close(sampled.losses(data[1])["rec"], expected)


def test_few_drawn_items_stand_for_all(data: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawn item counts `n_items / n_drawn` times, one that is the target not at all."""
    model = small(data, cl_weight=0.0, over_weight=0.0, softmax_items=40)
    drawn = torch.arange(1, 41)
    monkeypatch.setattr(torch, "randint", lambda *_, device: drawn)
    table, logits = (padded(part) for part in model.embeddings())
    scores = model.encode(data[1][model.ITEM_SEQ], table, logits)[0] @ table.T
    each = []
    for row, target in zip(scores, data[1][model.ITEM_ID].tolist(), strict=True):
        others = [row[item].exp() for item in drawn.tolist() if item != target]
        each.append((row[target].exp() + model.n_real_items / 40 * sum(others)).log() - row[target])
    torch.testing.assert_close(model.losses(data[1])["rec"], torch.stack(each).mean())


def test_training_drops_entries_of_the_user(data: tuple[Any, Any]) -> None:
    model = small(data, dropout=0.5, cl_weight=0.0, over_weight=0.0)
    one, other = (model.losses(data[1])["rec"] for _ in range(2))
    assert one != other
    model.eval()
    torch.testing.assert_close(model.losses(data[1])["rec"], small(data).losses(data[1])["rec"])


def test_the_contrast_by_its_equations(data: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both terms, user by user and view by view, from the views that the model drew."""
    settings = {"n_positives": 2, "n_negatives": 3, "tau": 0.3, "tau_w": 0.2, "cl_weight": 0.7, "over_weight": 0.4}
    model = small(data, n_contrasts=12, r_min=0.2, r_max=0.8, **settings)
    drawn: list[tuple[Views, Tensor, bool]] = []

    def recorded(history: Tensor, a: Tensor, related: Any, shares: Tensor, positive: bool) -> Views:
        drawn.append((make_views(history, a, related, shares, positive), shares, positive))
        return drawn[-1][0]

    rows: list[Tensor] = []
    draw = model._contrasted
    monkeypatch.setattr(ccl4rec, "make_views", recorded)
    monkeypatch.setattr(model, "_contrasted", lambda interaction: rows.append(draw(interaction)) or rows[0])
    terms = model.losses(data[1])
    (good, few, is_good), (bad, many, is_bad) = drawn
    assert (is_good, is_bad) == (True, False)
    torch.testing.assert_close(few, torch.tensor([0.2, 0.8]))
    torch.testing.assert_close(many, torch.tensor([0.2, 0.5, 0.8]))

    tables = [padded(table) for table in model.embeddings()]

    def f(history: Tensor) -> Tensor:
        return F.normalize(model.contrast_head(model.encode(history.unsqueeze(0), *tables)[0][0]), dim=0)

    users = [f(history) for history in data[1][model.ITEM_SEQ][rows[0]]]
    pull, over = [], {"good": [], "bad": []}
    for number, user in enumerate(users):
        p, n = ([user @ f(view) / 0.3 for view in views.items[number]] for views in (good, bad))
        others = [(user @ other / 0.3).exp() for index, other in enumerate(users) if index != number]
        w_p = ((1 - good.damage[number]) / 0.2).softmax(0)
        w_n = 3 * (bad.damage[number] / 0.2).softmax(0)
        against = sum(w * c.exp() for w, c in zip(w_n, n, strict=True)) + sum(others)
        pull.append(-sum(w * (c.exp() / (c.exp() + against)).log() for w, c in zip(w_p, p, strict=True)))
        for kind, c, damaged in (("good", p, good.damage[number]), ("bad", n, bad.damage[number])):
            for better, worse in permutations(range(len(c)), 2):
                if damaged[better] < damaged[worse]:
                    gap = damaged[worse] - damaged[better]
                    over[kind].append(gap * F.softplus(c[worse] - c[better]))
    torch.testing.assert_close(terms["pull"], 0.7 * torch.stack(pull).mean())
    torch.testing.assert_close(terms["over"], 0.4 * sum(torch.stack(pairs).mean() for pairs in over.values()))


def test_ablations_leave_terms_out(data: tuple[Any, Any]) -> None:
    def terms(**changes: Any) -> list[str]:
        return list(small(data, **changes).losses(data[1]))

    assert terms() == ["rec", "pull", "over"]
    assert terms(over_weight=0.0) == ["rec", "pull"]
    assert terms(cl_weight=0.0) == ["rec", "over"]
    assert terms(cl_weight=0.0, over_weight=0.0) == ["rec"]


def test_equal_strengths_are_vanilla_contrast(data: tuple[Any, Any]) -> None:
    """Views of one damage have strengths 1 / P and 1, whatever the temperature."""
    model = small(data, n_positives=3, n_negatives=2)
    views = [Views(torch.zeros(2, n, 8), torch.full((2, n), 0.3)) for n in (3, 2)]
    adaptive = model._strengths(*views)
    vanilla = small(data, n_positives=3, n_negatives=2, adaptive=False)._strengths(*views)
    for ours, plain in zip(adaptive, vanilla, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=0)


def test_views_of_equal_quality_give_vanilla_contrast(data: tuple[Any, Any]) -> None:
    """Views that replace nothing: the adaptive loss is that of equal strengths, and nothing is over-contrasted."""
    found = []
    for adaptive in (True, False):
        model = small(data, r_min=0.0, r_max=0.0, adaptive=adaptive)
        torch.manual_seed(0)
        found.append(model.losses(data[1]))
    torch.testing.assert_close(found[0]["pull"], found[1]["pull"], rtol=1e-6, atol=0)
    assert found[0]["over"] == found[1]["over"] == 0


def test_strengths_follow_quality_and_damage(data: tuple[Any, Any]) -> None:
    model = small(data)
    good, bad = (Views(torch.zeros(1, 2, 8), torch.tensor([damage])) for damage in ([0.1, 0.4], [0.5, 0.9]))
    pull, push = model._strengths(good, bad)
    torch.testing.assert_close(pull[0, 0] / pull[0, 1], torch.tensor(math.exp(0.3 / 0.1)))
    assert pull.sum().item() == pytest.approx(1)
    assert push.sum().item() == pytest.approx(2)
    assert push[0, 1] > push[0, 0]


def test_each_user_of_a_batch_is_contrasted_once(data: tuple[Any, Any]) -> None:
    model = small(data, n_contrasts=1000)
    user = data[1][model.USER_ID]
    rows = model._contrasted(data[1])
    assert len(rows) == len(user.unique()) < len(user)
    assert len(user[rows].unique()) == len(rows)
    few = small(data, n_contrasts=10)
    drawn = [user[few._contrasted(data[1])] for _ in range(2)]
    assert [len(d.unique()) for d in drawn] == [10, 10]
    assert set(drawn[0].tolist()) != set(drawn[1].tolist())


def test_relatedness_comes_from_the_training_part_alone(data: tuple[Any, Any]) -> None:
    rows = data[0]._dataset.inter_feat
    matrix = history_matrix(data[0]._dataset, "item_id_list", "item_length")
    pairs = set()
    for user, target, history in zip(rows["user_id"], rows["item_id"], rows["item_id_list"], strict=True):
        pairs |= {(user.item(), item) for item in [target.item(), *history[history > 0].tolist()]}
    assert set(zip(*(index + 1 for index in matrix.nonzero()), strict=True)) == pairs
    assert set(np.unique(matrix.data)) == {1.0}


class TestCCL4Rec(ModelContract):
    model = "CCL4Rec"
    settings: ClassVar[dict[str, Any]] = {"embedding_size": 16, "MAX_ITEM_LIST_LENGTH": 10, "eval_batch_size": 64}


class Thin(TestCCL4Rec):
    dataset = "thin"
    __test__ = False


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
