"""SEA against the released code's numbers, its trainer, and its own promises."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from model_contract import (
    ModelContract,
    StandInConfig,
    StandInDataset,
    all_scores,
    assert_same,
    batch_of,
    golden,
    recorded_likelihoods,
)
from recbole.utils import get_trainer
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from recbole_mm.base.errors import InputError
from recbole_mm.model.general_recommender.sea import SEA, Projections
from recbole_mm.model.general_recommender.sea_trainer import SEATrainer
from recbole_mm.model.parts import losses


def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the permutation of the CLUB bound `i + 1 mod n`."""
    monkeypatch.setattr(torch, "randperm", lambda n, device=None: (torch.arange(n) + 1) % n)


def trainer_of(model: SEA, **settings: Any) -> SEATrainer:
    """Return SEATrainer with its two optimizers, without the rest of RecBole's configuration."""
    trainer = SEATrainer.__new__(SEATrainer)
    trainer.model, trainer.config = model, StandInConfig()
    trainer.learner, trainer.learning_rate, trainer.weight_decay = "adam", settings.get("learning_rate", 1e-3), 0.0
    trainer.optimizer = trainer._build_optimizer()
    return trainer


def step(trainer: SEATrainer, batch: dict[str, Tensor]) -> Tensor:
    trainer.optimizer.zero_grad()
    loss: Tensor = trainer.model.calculate_loss(batch)
    loss.backward()
    trainer.optimizer.step()
    return loss.detach()


class TestReleasedCode:
    """Golden numbers of the authors' code, where they lie beside the checkout."""

    MODALITIES = ("image", "text")

    @pytest.fixture
    def case(self) -> Any:
        return golden("sea")

    @pytest.fixture
    def model(self, case: Any, float64: None, monkeypatch: pytest.MonkeyPatch) -> SEA:
        without_noise(monkeypatch)
        weight = case["cfg/mm_image_weight"].item()
        names = ("hidden_dim", "out_dim", "knn_k", "n_mm_layers", "temp", "alpha_contrast", "ureg", "club_steps")
        config = StandInConfig(
            embedding_size=case["cfg/dim_latent"].item(),
            widths={"image": case["cfg/v_out"].item(), "text": case["cfg/t_out"].item()},
            graph_weights={"image": weight, "text": 1 - weight},
            club_hidden=case["cfg/club_hidden"].item() // 2,
            club_learning_rate=case["cfg/lr"].item(),
            club_pairing="released",
            bpr_log="2",
            **{name: case[f"cfg/{name}"].item() for name in names},
        )
        features = {name: case[f"in/{name}_feat"] for name in self.MODALITIES}
        dataset = StandInDataset(case["cfg/U"].item(), case["cfg/I"].item(), case["in/train_pairs"], features)
        model = SEA(config, dataset)
        state = {name: torch.tensor(case[self.theirs(name)]) for name in model.state_dict()}
        state["modality_weight"] = state["modality_weight"].squeeze(2)
        model.load_state_dict(state)
        for part in ("matrix", "transpose"):  # the released code divides by k + 1e-7, which no model needs: k >= 1
            getattr(model.item_graph, f"{part}_values").mul_(model.p.knn_k / (model.p.knn_k + 1e-7))
        return model

    def theirs(self, name: str, kind: str = "state") -> str:
        """Return the released code's name of a tensor of ours."""
        module, _, rest = name.partition(".")
        if module == "club":
            kind = {"state": "club", "grad": "club_grad_from_total"}.get(kind, kind)
            return f"{kind}/" + rest.replace("mean", "p_mu").replace("log_variance", "p_logvar")
        if module == "modality_weight":
            return f"{kind}/weight_u"
        number, _, leaf = rest.partition(".")
        initial = self.MODALITIES[int(number)].replace("image", "v")[0]
        place = {
            "preferences": "gcn.preference",
            "splits": f"item_linear.{leaf}",
            "heads": f"proj.head.{leaf}",
            "generic": f"trans1.{leaf}",
            "unique": f"trans2.{leaf}",
            "nodes": "gcn." + leaf.replace("0.", "MLP.").replace("2.", "MLP_1."),
        }[module]
        return f"{kind}/{initial}_{place}"

    @pytest.fixture
    def batch(self, case: Any) -> dict[str, Tensor]:
        return batch_of(*case["in/batch"])

    def test_every_tensor_of_the_state_has_a_counterpart(self, case: Any, model: SEA) -> None:
        dead = set(case["cfg/no_grad_params"])
        live = {name for name in case.files if name.startswith(("state/", "club/"))}
        assert {self.theirs(name) for name in model.state_dict()} == live - {f"state/{name}" for name in dead}

    def test_graphs(self, case: Any, model: SEA) -> None:
        n_users, n_items = model.n_real_users, model.n_real_items
        assert_same(model.item_graph(torch.eye(n_items)), case["graph/mm_adj"])
        edges = torch.zeros(n_users + n_items, n_users + n_items)
        edges[tuple(case["graph/edge_index"])] = 1
        assert torch.equal(model.adjacency(torch.eye(n_users + n_items)) > 0, edges > 0)

    def test_intermediates(self, case: Any, model: SEA) -> None:
        users, items, projections = model.forward()
        assert_same(users, case["mid/user_rep"])
        assert_same(items, case["mid/item_rep"])
        assert_same(torch.cat([users, items]), case["mid/result_embed"])
        for m, initial in enumerate("vt"):
            projected = projections[m]
            assert_same(model.splits[m](model.features[m]), case[f"mid/{initial}_item_embeddings"])
            assert_same(F.normalize(model.heads[m][1:](projected.head), dim=1), case[f"mid/{initial}_emd_proj"])
            assert_same(projected.generic, case[f"mid/{initial}_trans1"])
            assert_same(projected.unique, case[f"mid/{initial}_trans2"])
            assert_same(model.club.mean(projected.generic), case[f"mid/club_{initial}_mu"])
            assert_same(model.club.log_variance(projected.generic), case[f"mid/club_{initial}_logvar"])
            bound = model.club(projected.generic, projected.unique, torch.randperm(len(items)))
            assert_same(bound / 2, case[f"loss/club_{initial}"])
            assert_same(bound, case[f"loss/club_{initial}_bound_before_half_and_clamp"])

    def test_scores_of_the_batch(self, case: Any, model: SEA) -> None:
        users, items, _ = model.forward()
        user, positive, negative = torch.tensor(case["in/batch"])
        assert_same((users[user] * items[positive]).sum(1), case["mid/pos_scores"])
        assert_same((users[user] * items[negative]).sum(1), case["mid/neg_scores"])

    def test_loss_terms_gradients_and_running_statistics(self, case: Any, model: SEA, batch: dict[str, Tensor]) -> None:
        terms = model.losses(batch)
        assert set(terms) == {"bpr", "alignment", "distancing"}
        assert_same(terms["bpr"], case["loss/bpr_log2"])
        assert_same(terms["alignment"], case["cfg/alpha_contrast"] * case["loss/solosim_raw"])
        assert_same(terms["distancing"], case["cfg/ureg"] * (case["loss/club_t"] + case["loss/club_v"]) / 2)
        total = torch.stack(list(terms.values())).sum()
        assert_same(total, case["loss/total"])

        total.backward()
        for name, weight in model.named_parameters():
            theirs = case[self.theirs(name, "grad")]
            assert weight.grad is not None
            assert_same(weight.grad.reshape(theirs.shape), theirs)
        after = {self.theirs(name, "state_after"): value for name, value in model.state_dict().items() if "." in name}
        statistics = [name for name in case.files if name.startswith("state_after/")]
        assert len(statistics) == 12
        for name in statistics:
            assert_same(after[name], case[name])

    def test_the_batch_is_left_as_it_was(self, case: Any, model: SEA, batch: dict[str, Tensor]) -> None:
        """The released code adds U to the caller's item ids."""
        model.calculate_loss(batch)
        assert np.array_equal(torch.stack(list(batch.values())).numpy(), case["in/batch"] + 1)

    def test_scores_before_and_after_a_step_are_fresh(self, case: Any, model: SEA, batch: dict[str, Tensor]) -> None:
        """The released code scores with what the last training batch left behind."""
        assert_same(all_scores(model), case["out/scores_stale_before_step"])
        model.train()
        trainer = trainer_of(model, learning_rate=case["cfg/lr"].item())
        step(trainer, batch)
        assert_same(all_scores(model), case["out/scores_fresh_after_step1"])
        assert not np.allclose(case["out/scores_stale_after_step"], case["out/scores_fresh_after_step1"])

    def test_the_estimator_s_own_fifty_steps(
        self, case: Any, model: SEA, batch: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trainer = trainer_of(model)
        likelihoods = recorded_likelihoods(monkeypatch)
        model.calculate_loss(batch).backward()
        trainer.train_club()
        losses_of_steps = -torch.stack(likelihoods).view(50, 2).sum(1)
        assert_same(losses_of_steps, case["out/club_learning_loss_50"])
        for name, weight in model.club.named_parameters():
            assert_same(weight, case[self.theirs(f"club.{name}", "club_after")])

    def test_three_steps_of_the_trainer(self, case: Any, model: SEA, batch: dict[str, Tensor]) -> None:
        trainer = trainer_of(model, learning_rate=case["cfg/lr"].item())
        trajectory = torch.stack([step(trainer, batch) for _ in range(3)])
        assert_same(trajectory, case["out/trainer3_loss_trajectory"])


N_USERS, N_ITEMS = 9, 8
PAIRS = np.array([(u, i) for u in range(N_USERS - 1) for i in range(N_ITEMS - 1) if (u * 3 + i * 5) % 4 == 0])
BATCH = batch_of([0, 4, 0, 7, 4, 0], [0, 4, 4, 3, 0, 4], [7, 2, 5, 6, 1, 1])
SMALL = {"embedding_size": 6, "hidden_dim": 5, "out_dim": 4, "distance_dim": 4, "club_hidden": 3, "knn_k": 3}


def small(n_modalities: int = 2, masks: dict[str, Any] | None = None, kind: type[SEA] = SEA, **settings: Any) -> SEA:
    """Return a model of a problem whose last user and item are cold."""
    torch.manual_seed(5)
    features = {f"m{m}": torch.randn(N_ITEMS, 3 + m) for m in range(n_modalities)}
    dataset = StandInDataset(N_USERS, N_ITEMS, PAIRS, features, masks)
    return kind(StandInConfig(**{**SMALL, **settings}), dataset)


def gradients(model: SEA, terms: dict[str, Tensor]) -> dict[str, Tensor | None]:
    model.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


class Unfolded(SEA):
    """SEA as its equations say it: Z^m first."""

    def _projections(self, m: int) -> Projections:
        Z = self.splits[m](self.features[m])  # (I, 2h)
        g, q = Z.chunk(2, dim=1)
        return Projections(self.nodes[m][0](Z), self.heads[m][0](g), self.generic[m](g), self.unique[m](q))


@pytest.mark.parametrize("distancing", ["club", "mse"])
@pytest.mark.parametrize("widths", [{}, {"m0": 10, "m1": 2}])
def test_folding_gives_the_values_and_gradients_of_the_unfolded_form(
    widths: dict[str, int], distancing: str, float64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_noise(monkeypatch)
    settings = {"widths": widths, "distancing": distancing, "alpha_contrast": 1.0, "ureg": 1.0}
    folded, plain = (small(3, kind=kind, **settings) for kind in (SEA, Unfolded))
    plain.load_state_dict(folded.state_dict())
    for model in (folded, plain):
        with torch.no_grad():
            model.club.mean[2].weight.mul_(50)  # a bound above 0 in some modality
    ours, theirs = folded.losses(BATCH), plain.losses(BATCH)
    assert all(term != 0 for term in theirs.values())
    for name, term in theirs.items():
        torch.testing.assert_close(ours[name], term, rtol=1e-10, atol=0)
    expected = gradients(plain, theirs)
    for name, gradient in gradients(folded, ours).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(all_scores(folded), all_scores(plain), rtol=1e-10, atol=1e-12)


def test_the_wide_half_features_are_never_materialised() -> None:
    """No tensor of a step has a row for each item and a column for each of Z^m."""
    model = small(widths={"m0": 200, "m1": 202})
    shapes = set()

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            shapes.update(
                tuple(x.shape) for x in (out if isinstance(out, tuple | list) else [out]) if hasattr(x, "shape")
            )
            return out

    with Recorder():
        model.calculate_loss(BATCH).backward()
    assert (N_ITEMS, 24) in shapes  # the node's hidden layer: the recorder works
    assert not {(N_ITEMS, 200), (N_ITEMS, 202), (200, N_ITEMS), (202, N_ITEMS)} & shapes


@pytest.mark.parametrize("pairing", ["paper", "released"])
@pytest.mark.parametrize("n_modalities", [2, 5])
def test_any_number_of_modalities_from_two(n_modalities: int, pairing: str) -> None:
    model = small(n_modalities, club_pairing=pairing)
    terms = model.losses(BATCH)
    assert all(term.isfinite() for term in terms.values())
    pairs = n_modalities * (n_modalities - 1) // 2
    assert len(model.club_samples) == (n_modalities if pairing == "paper" else 2 * pairs)
    assert all(not x.requires_grad and not y.requires_grad for x, y in model.club_samples)
    assert all(grad is None or grad.isfinite().all() for grad in gradients(model, terms).values())
    assert all_scores(model).shape == (N_USERS, N_ITEMS)


def test_one_modality_is_refused() -> None:
    with pytest.raises(InputError, match=r"SEA aligns two or more modalities and the dataset has m0 alone.*MHCR"):
        small(1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"graph_weights": {"m0": 0.5, "m1": 0.6}}, "sum to 1"),
        ({"graph_weights": {"m0": 1.0}}, "must name m0, m1"),
        ({"graph_weights": {"m0": 0.5, "n1": 0.5}}, "graph_weights: unknown modality 'n1'; there are m0, m1"),
        ({"graph_weights": {"m0": 1.5, "m1": -0.5}}, "graph_weights must be at least 0"),
        ({"graph_weights": [0.5, 0.5]}, "graph_weights must be a mapping"),
        ({"widths": {"m0": 5}}, "widths of m0: must be even"),
        ({"widths": {"m0": 4.0}}, "widths must be a whole number"),
        ({"widths": {"mo": 4}}, "unknown modality 'mo'"),
        ({"distancing": "clob"}, "distancing must be one of club, mse"),
        ({"club_steps": 0}, "club_steps must be at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small(**settings)


def test_modalities_without_a_common_item_are_refused() -> None:
    half = np.arange(N_ITEMS) < 4
    with pytest.raises(InputError, match="fewer than two items have features of both m0 and m1"):
        small(masks={"m0": half, "m1": ~half})
    assert small(masks={"m0": half, "m1": ~half}, alpha_contrast=0.0).calculate_loss(BATCH).isfinite()


def test_the_item_graph_weighs_each_modality(float64: None) -> None:
    eye = torch.eye(N_ITEMS)
    alone = [small(3, graph_weights={f"m{k}": float(k == m) for k in range(3)}).item_graph(eye) for m in range(3)]
    mixed = small(3, graph_weights={"m0": 0.5, "m2": 0.2, "m1": 0.3}).item_graph(eye)
    torch.testing.assert_close(mixed, 0.5 * alone[0] + 0.3 * alone[1] + 0.2 * alone[2])
    torch.testing.assert_close(small(3).item_graph(eye), sum(alone) / 3)
    assert all(((graph > 0).sum(1) == 3).all() and graph.diagonal().gt(0).all() for graph in alone)


def test_filled_in_features_take_no_part_in_alignment_and_distancing(monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)
    mask = np.arange(N_ITEMS) != 2
    model = small(masks={"m1": mask})
    model.eval()  # BatchNorm's statistics see every item
    projections = model.forward()[2]
    before = (
        model._alignment([projected.head for projected in projections], torch.arange(1)),
        model._distancing(projections),
    )
    for changed in projections[1]:
        changed.data[2] += 100
    assert torch.equal(before[0], model._alignment([projected.head for projected in projections], torch.arange(1)))
    assert torch.equal(before[1], model._distancing(projections))
    assert [len(x) for x, _ in model.club_samples] == [N_ITEMS, N_ITEMS - 1]
    projections[0].head.data[0] += 100
    assert not torch.equal(before[0], model._alignment([projected.head for projected in projections], torch.arange(1)))


def test_the_squared_distance_by_hand() -> None:
    model = small(distancing="mse", ureg=1.0)
    projections = [
        Projections(torch.zeros(0), torch.zeros(0), torch.full((N_ITEMS, 4), 1.0 + m), torch.zeros(N_ITEMS, 4))
        for m in range(2)
    ]
    assert model._distancing(projections).item() == -(1 + 4) / 2
    assert model.club_samples == []


def test_a_positive_bound_moves_both_halves_of_every_modality() -> None:
    model = small(3, alpha_contrast=0.0, ureg=1.0)
    trainer = trainer_of(model)
    with torch.no_grad():  # what q says follows from what g says
        for m in range(3):
            model.splits[m].weight.normal_(std=3)
            model.splits[m].weight[2 + (m > 1) :] = model.splits[m].weight[: 2 + (m > 1)]
    for _ in range(60):
        model.losses(BATCH)
        trainer.train_club()
    model.zero_grad()
    terms = model.losses(BATCH)
    assert terms["distancing"] > 0
    terms["distancing"].backward()
    assert all(weight.grad.abs().max() > 1e-8 for half in (model.generic, model.unique) for weight in half.parameters())


def test_a_negative_bound_counts_as_0(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(ureg=1.0)
    bounds = iter([torch.tensor(3.0), torch.tensor(-5.0)])
    monkeypatch.setattr(model.club, "forward", lambda *_: next(bounds))
    assert model.losses(BATCH)["distancing"].item() == 0.5 * 3 / 2


def test_a_term_of_weight_0_is_left_out() -> None:
    assert list(small(alpha_contrast=0.0, ureg=0.0).losses(BATCH)) == ["bpr"]


def test_the_logarithm_of_bpr_scales_it() -> None:
    natural, binary = (small(bpr_log=log).losses(BATCH)["bpr"] for log in ("natural", "2"))
    torch.testing.assert_close(binary, natural / np.log(2))


class TestTrainer:
    """SEATrainer: two optimizers, in order, and both in the checkpoint."""

    def test_recbole_finds_it(self) -> None:
        assert get_trainer(None, "SEA") is SEATrainer

    def test_each_optimizer_has_its_own_parameters(self) -> None:
        model = small()
        trainer = trainer_of(model)
        club = set(model.club.parameters())
        main, own = (
            {weight for group in optimizer.param_groups for weight in group["params"]}
            for optimizer in (trainer.optimizer, trainer.club_optimizer)
        )
        assert own == club
        assert main == set(model.parameters()) - club

    def test_the_estimator_steps_between_backward_and_main_step(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = small(club_steps=3)
        trainer, order = trainer_of(model), []
        weights, estimator = model.splits[0].weight, model.club.mean[0].weight
        initial, initial_estimator = weights.detach().clone(), estimator.detach().clone()

        def own(optimizer: Any, *_: Any) -> None:
            assert weights.grad is not None, "before the main backward"
            assert torch.equal(weights, initial), "after the main step"
            order.append("club")

        trainer.club_optimizer.register_step_post_hook(own)
        trainer.optimizer.register_step_post_hook(lambda *_: order.append("main"))
        step(trainer, BATCH)
        assert order == ["club", "club", "club", "main"]
        assert not torch.equal(weights, initial)
        assert not torch.equal(estimator, initial_estimator)

    def test_the_estimator_s_steps_raise_its_likelihood_and_leave_the_model_alone(self) -> None:
        model = small(club_steps=20)
        trainer = trainer_of(model)
        model.calculate_loss(BATCH).backward()
        samples = model.club_samples
        others = {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}
        assert not any(name.startswith("club.") for name in others), "the main loss sees a constant"
        before = [model.club.log_likelihood(x, y).item() for x, y in samples]
        trainer.train_club()
        assert sum(model.club.log_likelihood(x, y).item() for x, y in samples) > sum(before)
        assert all(torch.equal(dict(model.named_parameters())[name].grad, grad) for name, grad in others.items())
        assert not any(weight.requires_grad for weight in model.club.parameters())
        assert all(weight.grad is None for weight in model.club.parameters()), "clipped with the model's own"

    def test_samples_serve_one_batch(self) -> None:
        model = small()
        trainer = trainer_of(model)
        step(trainer, BATCH)
        estimator = model.club.mean[0].weight.detach().clone()
        trainer.train_club()
        assert torch.equal(model.club.mean[0].weight, estimator)

    @pytest.mark.parametrize("settings", [{"distancing": "mse"}, {"ureg": 0.0}])
    def test_without_a_bound_the_estimator_rests(self, settings: dict[str, Any]) -> None:
        model = small(**settings)
        estimator = model.club.mean[0].weight.detach().clone()
        step(trainer_of(model), BATCH)
        assert torch.equal(model.club.mean[0].weight, estimator)


class TestSEA(ModelContract):
    model = "SEA"
    settings: ClassVar[dict[str, Any]] = {"embedding_size": 16, "hidden_dim": 16, "out_dim": 8, "alpha_contrast": 0.1}
    gradient_settings: ClassVar[dict[str, Any]] = {"distancing": "mse"}  # the CLUB bound may be at its 0
    # A bias before a BatchNorm is subtracted again with the mean.
    zero_gradient: ClassVar[frozenset[str]] = frozenset(f"heads.{m}.{n}.bias" for m in range(3) for n in (0, 3))

    def test_training_on_from_a_checkpoint_is_as_if_it_had_not_stopped(self, tmp_path: Path) -> None:
        whole = self.built(epochs=4)
        whole.trainer.fit(whole.train, whole.valid, verbose=False, saved=False)
        first = self.built(epochs=2)
        first.trainer.saved_model_file = str(tmp_path / "sea.pth")
        first.trainer.fit(first.train, None, verbose=False)
        second = self.built(epochs=4)
        torch.manual_seed(7)
        np.random.seed(7)
        second.trainer.resume_checkpoint(tmp_path / "sea.pth")
        second.trainer.fit(second.train, second.valid, verbose=False, saved=False)
        one, two = whole.model.state_dict(), second.model.state_dict()
        assert any(name.startswith("club.") for name in one)
        assert [name for name in one if not torch.equal(one[name], two[name])] == []
        states = [run.trainer.club_optimizer.state_dict()["state"] for run in (whole, second)]
        assert all(torch.equal(states[0][k][key], states[1][k][key]) for k in states[0] for key in states[0][k])
        assert whole.trainer.train_loss_dict[3] == second.trainer.train_loss_dict[3]

    def test_features_stay_out_of_the_checkpoint(self, trained: SimpleNamespace) -> None:
        assert not any(name.startswith("features") for name in trained.model.state_dict())
        assert not any(X.requires_grad for X in trained.model.features)


def test_the_alignment_is_among_the_items_that_the_setting_names() -> None:
    batch = {field: column[:2] for field, column in BATCH.items()}

    def alignment(**settings: Any) -> Tensor:
        model = small(masks={"m1": np.arange(N_ITEMS) != 4}, ureg=0.0, **settings)
        torch.manual_seed(0)
        return model.losses(batch)["alignment"]

    model = small(masks={"m1": np.arange(N_ITEMS) != 4})
    hidden = [projected.head for projected in model.forward()[2]]
    generic = [head[1:](x) for head, x in zip(model.heads, hidden, strict=True)]
    in_batch = torch.cat([batch["item_id"], batch["neg_item_id"]]).unique() - 1
    rows = in_batch[in_batch != 4]
    assert 2 < len(rows) < N_ITEMS - 1
    expected = model.p.alpha_contrast * losses.info_nce(generic[1][rows], generic[0][rows], model.p.temp)
    torch.testing.assert_close(alignment(contrast_negatives="batch"), expected)
    torch.testing.assert_close(alignment(contrast_negatives=N_ITEMS), alignment(contrast_negatives="all"))
    assert alignment(contrast_negatives=3) < alignment(contrast_negatives="all")


class TestSEAWithIds(ModelContract):
    model = "SEA"
    settings: ClassVar[dict[str, Any]] = TestSEA.settings | {"item_ids": True, "item_bias": True}
    gradient_settings: ClassVar[dict[str, Any]] = TestSEA.gradient_settings
    zero_gradient = TestSEA.zero_gradient


def test_an_item_bias_is_added_to_the_scores_and_an_id_to_its_nodes() -> None:
    plain, biased, ids = (small(**given).eval() for given in ({}, {"item_bias": True}, {"item_ids": True}))
    biased.load_state_dict(plain.state_dict() | {"item_bias": torch.arange(N_ITEMS).unsqueeze(1).float()})
    torch.testing.assert_close(all_scores(biased), all_scores(plain) + torch.arange(N_ITEMS))
    zeros = {f"item_embeddings.{m}": torch.zeros_like(table) for m, table in enumerate(ids.item_embeddings)}
    ids.load_state_dict(plain.state_dict() | zeros)
    torch.testing.assert_close(all_scores(ids), all_scores(plain))
    with torch.no_grad():
        ids.item_embeddings[0][2] += 1
    ids.train()
    assert not all_scores(ids.eval()).isclose(all_scores(plain)).all()
