"""SEA against the released code's numbers, its trainer, and its own promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_contract import StandInConfig, StandInDataset, all_scores, batch_of
from torch import Tensor
from torch.nn import functional as F

from recbole_mm import losses
from recbole_mm.model.general_recommender.sea import SEA
from recbole_mm.trainer import SEATrainer

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "parity" / "sea" / "case_a.npz"


@pytest.fixture
def float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the permutation of the CLUB bound `i + 1 mod n`."""
    monkeypatch.setattr(torch, "randperm", lambda n, device=None: (torch.arange(n) + 1) % n)


def assert_same(ours: Tensor, theirs: np.ndarray, rtol: float = 1e-6) -> None:
    """Compare relative to each value and, where a value is nearly 0, to the largest of the array."""
    scale = np.abs(theirs).max(initial=0.0)
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=rtol, atol=1e-3 * rtol * scale + 1e-12)


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
        if not REFERENCE.is_file():
            pytest.skip(f"the released code's numbers are not here: {REFERENCE}")
        return np.load(REFERENCE, allow_pickle=False)

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
        likelihoods: list[Tensor] = []
        own = losses.CLUB.log_likelihood

        def recorded(self: losses.CLUB, x: Tensor, y: Tensor) -> Tensor:
            likelihoods.append(own(self, x, y))
            return likelihoods[-1]

        monkeypatch.setattr(losses.CLUB, "log_likelihood", recorded)
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
