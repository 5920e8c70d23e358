"""What the baselines promise; their equations are in test_baselines_dense and test_graph_baselines_dense."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from model_contract import ModelContract, StandInConfig, StandInDataset, all_scores, batch_of
from recbole.utils import get_model, init_seed
from torch import Tensor
from training import train

from recbole_mm.base.errors import InputError
from recbole_mm.model.base import MultimodalRecommender
from recbole_mm.training.trainer import run_trainer

pytestmark = pytest.mark.slow  # left out by `make quick`


BASELINES = ("VBPR", "LATTICE", "BM3", "FREEDOM", "MGCN", "MMHCL", "PGL", "LGMRec")
N_USERS, N_ITEMS = 7, 9
SIZES = {"embedding_size": 6, "feature_size": 5, "knn_k": 3, "dropout": 0.0, "edge_dropout": 0.0, "keep_rate": 1.0}
PAIRS = np.array(
    [[0, 0], [0, 1], [0, 3], [1, 1], [1, 4], [2, 2], [2, 3], [2, 7], [3, 5], [4, 0], [4, 6], [5, 1], [5, 2], [5, 5]]
)
BATCH = np.array([[0, 1, 2, 2, 5], [3, 4, 7, 2, 1], [5, 0, 0, 6, 8]])
PROPAGATED = ("MGCN", "PGL", "LGMRec")  # what fills in an item's features reaches others by the graph
BY_MODALITY = (
    "projections",
    "gates",
    "preferences",
    "transforms",
    "user_preferences",
    "hyperedges",
)  # lists with a module for each


def small(model: str, features: dict[str, Tensor], pairs: np.ndarray = PAIRS, **settings: Any) -> MultimodalRecommender:
    """Return a model of 7 users and 9 items; item 8 lacks the first modality."""
    first = next(iter(features), None)
    masks = {first: np.arange(N_ITEMS) < N_ITEMS - 1} if first else {}
    config = StandInConfig(**SIZES | settings)
    made: MultimodalRecommender = get_model(model)(config, StandInDataset(N_USERS, N_ITEMS, pairs, features, masks))
    return made


def features_of(n_modalities: int) -> dict[str, Tensor]:
    torch.manual_seed(n_modalities)
    return {f"m{m}": torch.randn(N_ITEMS, 4 + m) for m in range(n_modalities)}


def gradients(model: MultimodalRecommender, loss: Tensor) -> dict[str, Tensor | None]:
    names, weights = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, weights, allow_unused=True), strict=True))


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
@pytest.mark.parametrize("name", BASELINES)
def test_any_number_of_modalities(name: str, n_modalities: int) -> None:
    model = small(name, features_of(n_modalities))
    loss = model.calculate_loss(batch_of(*BATCH))
    assert loss.isfinite()
    for weight, grad in gradients(model, loss).items():
        no_choice = n_modalities == 1 and weight.startswith(("modality_weight", "attention", "preferences"))
        assert grad is not None, weight
        assert (grad == 0).all() == no_choice, weight
    scores = all_scores(model)
    assert scores.shape == (N_USERS, N_ITEMS)
    assert scores.isfinite().all()


@pytest.mark.parametrize("name", ["MHCR", "SEA", *BASELINES])
def test_a_data_set_without_features_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"^{name} needs modalities and the dataset has none: .*LightGCN"):
        small(name, {})


@pytest.mark.parametrize("name", [*BASELINES, "XSimGCL"])
def test_renumbering_users_items_and_modalities_changes_nothing(
    name: str, float64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "rand_like", lambda x: torch.full_like(x, 0.3))
    features, names = features_of(3), ["m2", "m0", "m1"]
    settings = {"cl_weight": 0.0} if name == "LGMRec" else {}  # in whose contrast the first modality is the anchor
    model = small(name, features, **settings)
    users, items = np.random.default_rng(0).permutation(N_USERS), np.random.default_rng(1).permutation(N_ITEMS)
    new_user, new_item = users.argsort(), items.argsort()  # the new number of each old one
    moved = {m: features[m][items] for m in names}
    pairs = np.stack([new_user[PAIRS[:, 0]], new_item[PAIRS[:, 1]]], axis=1)
    other = _renumbered(name, moved, pairs, items, **settings)
    widths = [X.shape[1] for X in features.values()]
    old = {key: _renamed(key, table, widths, users, items) for key, table in model.named_parameters()}
    other.load_state_dict(dict(old.values()), strict=False)

    loss, again = (each.calculate_loss(batch) for each, batch in (
        (model, batch_of(*BATCH)), (other, batch_of(new_user[BATCH[0]], new_item[BATCH[1]], new_item[BATCH[2]])),
    ))  # fmt: skip
    torch.testing.assert_close(again, loss)
    torch.testing.assert_close(all_scores(other), all_scores(model)[users][:, items])


def _renumbered(
    name: str, features: dict[str, Tensor], pairs: np.ndarray, items: np.ndarray, **settings: Any
) -> MultimodalRecommender:
    masks = {"m0": items < N_ITEMS - 1}
    config = StandInConfig(**SIZES | settings)
    made: MultimodalRecommender = get_model(name)(config, StandInDataset(N_USERS, N_ITEMS, pairs, features, masks))
    return made


def _renamed(
    key: str, table: Tensor, widths: Sequence[int], users: np.ndarray, items: np.ndarray
) -> tuple[str, Tensor]:
    """Return where a parameter stands, and how, when the modalities 0, 1, 2 become 1, 2, 0."""
    place, _, rest = key.partition(".")
    if place in BY_MODALITY:
        number, _, leaf = rest.partition(".")
        key = f"{place}.{(int(number) + 1) % 3}" + (f".{leaf}" if leaf else "")
        return key, table[users] if place.startswith("user_") else table
    if place in ("feature_map", "feature_bias"):
        first, second, third = table.split(list(widths), dim=1)
        return key, torch.cat([third, first, second], dim=1)
    if place == "modality_weight":
        return key, table[[2, 0, 1]]
    return key, table[users if place.startswith("user_") else items] if place.startswith(("user_", "item_")) else table


@pytest.mark.parametrize("name", BASELINES)
def test_filled_in_features_are_not_learned_from(name: str) -> None:
    """What stands in the row of item 8 reaches neither graphs nor losses; some use it as a feature."""
    features = features_of(2)
    changed = {**features, "m0": features["m0"].clone()}
    changed["m0"][8] = 3.0
    torch.manual_seed(0)
    model = small(name, features)
    torch.manual_seed(0)
    other = small(name, changed)
    batch = batch_of(*BATCH)
    same = torch.equal(model.calculate_loss(batch), other.calculate_loss(batch))
    assert same == (name not in ("VBPR", *PROPAGATED))
    assert torch.equal(all_scores(model)[:, :8], all_scores(other)[:, :8]) or name in PROPAGATED


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("VBPR", {"feature_size": 0}, "feature_size must be at least 1"),
        ("VBPR", {"reg_weight": "much"}, "reg_weight must be a number"),
        ("LATTICE", {"lambda_coeff": 1.1}, "lambda_coeff must be between 0.0 and 1.0"),
        ("LATTICE", {"knn_k": 0}, "knn_k must be at least 1"),
        ("BM3", {"dropout": 1.0}, "dropout must be between 0.0 and 0.999"),
        ("BM3", {"n_layers": 1.5}, "n_layers must be a whole number"),
        ("LGMRec", {"keep_rate": 0.0}, "keep_rate must be between 1e-06 and 1.0"),
        ("PGL", {"principal": "all"}, "principal must be one of edges, svd"),
        ("FREEDOM", {"dropout": -0.1}, "dropout must be between 0.0 and 1.0"),
        ("FREEDOM", {"graph_weights": {"m0": 0.5, "m1": 0.6}}, "graph_weights .*sum to 1"),
        (
            "FREEDOM",
            {"graph_weights": {"m0": 0.5, "n1": 0.5}},
            "graph_weights: unknown modality 'n1'; there are m0",
        ),
        ("MGCN", {"temp": 0.0}, "temp must be at least 1e-06"),
        ("XSimGCL", {"eps": -0.1}, "eps must be at least 0"),
        ("MMHCL", {"contrast_nodes": "some"}, "contrast_nodes must be one of all, batch"),
    ],
)
def test_a_wrong_parameter_is_named(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small(name, features_of(2), **settings)


class TestVBPR(ModelContract):
    model = "VBPR"
    settings: ClassVar[dict[str, Any]] = {"embedding_size": 16, "feature_size": 16}


class NewEpochs(ModelContract):
    """Of a model that makes a graph for an epoch: an interrupted run makes the same.

    Attributes
    ----------
    makes : str
        The method that makes it.
    """

    makes: ClassVar[str]

    def test_every_epoch_makes_its_graph_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kind, calls = get_model(self.model), []
        make = getattr(kind, self.makes)
        monkeypatch.setattr(kind, self.makes, lambda model: calls.append(model.training) or make(model))
        run = self.fitted(epochs=3)
        assert len(run.train) > 1
        assert calls == [True] * 3

    def test_training_on_from_a_checkpoint_is_as_if_it_had_not_stopped(self, tmp_path: Path) -> None:
        whole, first, rest = (self.built(epochs=epochs) for epochs in (3, 2, 3))
        for run in (whole, first, rest):
            init_seed(1, True)
            run.trainer = run_trainer(type(run.trainer))(run.config, run.model)
            run.trainer.saved_model_file = str(tmp_path / "run.pth")
            if run is rest:
                init_seed(7, True)
                run.trainer.resume_checkpoint(run.trainer.saved_model_file)
            run.trainer.fit(run.train, None, verbose=False, saved=run is first)
        for one, other in zip(whole.model.parameters(), rest.model.parameters(), strict=True):
            assert torch.equal(one, other)


class TestLATTICE(NewEpochs):
    model, makes = "LATTICE", "_learn"
    settings: ClassVar[dict[str, Any]] = {"embedding_size": 16, "feature_size": 8}


class TestBM3(ModelContract):
    model = "BM3"
    divided = False
    settings: ClassVar[dict[str, Any]] = {"embedding_size": 16}
    cold_within = 240  # features train an item's embedding through its interactions: items without any come last


def test_bm3_refuses_negatives_which_it_would_align() -> None:
    with pytest.raises(InputError, match="--train_neg_sample_args=None"):
        train("BM3", train_neg_sample_args={"distribution": "uniform", "sample_num": 1}, epochs=1)


class TestFREEDOM(NewEpochs):
    model, makes = "FREEDOM", "_pruned"
    divided = False
    settings: ClassVar[dict[str, Any]] = {"embedding_size": 16}


class TestMGCN(ModelContract):
    model = "MGCN"
    settings: ClassVar[dict[str, Any]] = {"embedding_size": 16}


class TestXSimGCL(ModelContract):
    model = "XSimGCL"
    divided = False
    settings: ClassVar[dict[str, Any]] = {"embedding_size": 16, "cold_items": "neighbours"}  # else all cold items are 0

    def test_it_trains_on_a_dataset_without_modalities(self) -> None:
        run = self.fitted(modalities=None, cold_items="own", epochs=2)
        assert run.data.modality_names == ()
        assert run.trainer.train_loss_dict[1] < run.trainer.train_loss_dict[0]
        assert all_scores(run.model).isfinite().all()

    def test_another_model_is_still_refused_there(self) -> None:
        contract = type("Contract", (ModelContract,), {"model": "VBPR"})
        with pytest.raises(InputError, match="must name at least one modality"):
            contract.built(modalities=None)


class TestMMHCL(ModelContract):
    model = "MMHCL"
    divided = False
    settings: ClassVar[dict[str, Any]] = {"embedding_size": 16}


class TestPGL(NewEpochs):
    model, makes = "PGL", "_pruned"
    settings: ClassVar[dict[str, Any]] = {"embedding_size": 16}


def test_pgl_by_singular_values_makes_no_graph_for_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_model("PGL"), "_pruned", lambda _: pytest.fail("edges were drawn"))
    run = TestPGL.fitted(epochs=2, principal="svd")
    assert run.trainer.train_loss_dict[1] < run.trainer.train_loss_dict[0]


class TestLGMRec(ModelContract):
    model = "LGMRec"
    settings: ClassVar[dict[str, Any]] = {"embedding_size": 16}
    cold_within = 240  # of an item without interactions the hypergraph alone knows something
