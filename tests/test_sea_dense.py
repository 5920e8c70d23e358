"""SEA against a dense restatement of its equations."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from model_contract import (
    StandInConfig,
    StandInDataset,
    all_scores,
    assert_same,
    batch_of,
    fixture_maker,
    recorded_likelihoods,
)

from recbole_mm.model.general_recommender.sea import SEA
from recbole_mm.model.general_recommender.sea_trainer import SEATrainer

SMALL = Path(__file__).parent / "fixtures" / "sea_small.npz"
MODALITIES = ("picture", "sound", "words")
PLACES = {  # our module of each linear layer of the restatement, `m` being the modality
    "user": "preferences.m",
    "split": "splits.m",
    "node_in": "nodes.m.0",
    "node_out": "nodes.m.2",
    "head_in": "heads.m.0",
    "head_middle": "heads.m.3",
    "head_out": "heads.m.6",
    "generic": "generic.m",
    "unique": "unique.m",
}


maker = fixture_maker("make_sea_small")


def ours(name: str) -> str:
    """Return our name of a tensor of the dense restatement."""
    block, *rest = name.split(".")
    if block == "user_weights":
        return "modality_weight"
    if block == "club":  # club.mean_in.weight
        network, _, layer = rest[0].rpartition("_")
        return f"club.{network}.{2 if layer == 'out' else 0}.{rest[1]}"
    place, leaf = PLACES[block].replace(".m", f".{rest[0]}"), rest[1:]
    if leaf and leaf[0].startswith("norm_"):
        linear, _, position = place.rpartition(".")
        return f"{linear}.{int(position) + 1}.{leaf[0].removeprefix('norm_')}"
    return ".".join([place, *leaf])


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    return dict(np.load(SMALL, allow_pickle=False))


def part(stored: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Return the arrays under one heading, without it."""
    return {key.removeprefix(f"{name}/"): array for key, array in stored.items() if key.startswith(f"{name}/")}


def small(problem: dict[str, np.ndarray], **settings: Any) -> SEA:
    """Return our model of the problem, with its weights."""
    config = StandInConfig(
        embedding_size=maker.D,
        widths={"picture": maker.WIDTHS[0], "words": maker.WIDTHS[2]},  # the second is its dimension made even
        graph_weights=dict(zip(MODALITIES, maker.GRAPH_WEIGHTS, strict=True)),
        hidden_dim=maker.HIDDEN,
        out_dim=maker.OUT,
        distance_dim=maker.DISTANCE,
        club_hidden=maker.CLUB_HIDDEN,
        knn_k=maker.KNN_K,
        n_ui_layers=maker.UI_LAYERS,
        n_mm_layers=maker.MM_LAYERS,
        temp=maker.TEMPERATURE,
        alpha_contrast=maker.ALPHA_CONTRAST,
        ureg=maker.UREG,
        club_pairing="paper",
        club_steps=maker.CLUB_STEPS,
        club_learning_rate=maker.CLUB_LEARNING_RATE,
        **settings,
    )
    features = {name: problem[f"features.{m}"] for m, name in enumerate(MODALITIES)}
    masks = {name: problem[f"mask.{m}"] for m, name in enumerate(MODALITIES)}
    model = SEA(config, StandInDataset(maker.U, maker.I, problem["pairs"], features, masks))
    weights = {ours(name): torch.tensor(problem[name]) for name in filter(maker.is_parameter, problem)}
    assert set(weights) == {name for name, _ in model.named_parameters()}
    model.load_state_dict(weights, strict=False)
    return model


def test_the_fixture_is_what_its_script_computes(stored: dict[str, np.ndarray]) -> None:
    computed = maker.compute()
    assert set(stored) == set(computed)
    for name, array in computed.items():
        np.testing.assert_allclose(stored[name], array, rtol=1e-9, atol=1e-12)


def test_the_fixture_sees_both_sides_of_the_clamp(stored: dict[str, np.ndarray]) -> None:
    """Two CLUB bounds are clearly positive, that of the modality with a missing row among them; one is negative."""
    first, second, third = stored["steps/bounds"]
    assert min(first, second) > 0.1
    assert third < -0.1
    assert stored["in/mask.1"].sum() == maker.I - 1


@pytest.mark.parametrize("case", maker.CASES)
def test_losses_gradients_statistics_and_scores(
    case: str, stored: dict[str, np.ndarray], float64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, expected = part(stored, "in"), part(stored, case)
    monkeypatch.setattr(torch, "randperm", lambda n, device=None: (torch.arange(n) + 1) % n)
    distancing, bpr_log = maker.CASES[case]
    model = small(problem, distancing=distancing, bpr_log=bpr_log)

    terms = model.losses(batch_of(*problem["batch"]))
    assert list(terms) == list(part(expected, "loss"))
    for name, term in terms.items():
        assert_same(term, expected[f"loss/{name}"])
    torch.stack(list(terms.values())).sum().backward()

    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    assert any(name.startswith("club.") for name in gradients) == (distancing == "club")
    assert set(gradients) == {ours(name) for name in part(expected, "grad")}
    for name, gradient in part(expected, "grad").items():
        assert_same(gradients[ours(name)], gradient)

    state = model.state_dict()
    assert len(part(expected, "mean")) == len([name for name in state if name.endswith("running_mean")]) == 6
    for name, mean in part(expected, "mean").items():
        norm = ours(f"{name}.norm_weight").removesuffix(".weight")
        assert_same(state[f"{norm}.running_mean"], mean)
        assert_same(state[f"{norm}.running_var"], expected[f"variance/{name}"])
    assert_same(all_scores(model), expected["scores"])


def test_the_estimator_s_own_steps(
    stored: dict[str, np.ndarray], float64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, expected = part(stored, "in"), part(stored, "steps")
    model = small(problem, distancing="club")
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    likelihoods = recorded_likelihoods(monkeypatch)
    model.losses(batch_of(*problem["batch"]))
    optimizer = torch.optim.Adam(model.club.parameters(), lr=model.p.club_learning_rate)
    trainer: Any = SimpleNamespace(model=model, club_optimizer=optimizer)
    SEATrainer.train_club(trainer)

    assert_same(-torch.stack(likelihoods).view(maker.CLUB_STEPS, len(MODALITIES)).sum(1), expected["losses"])
    after = dict(model.named_parameters())
    for name in filter(maker.is_parameter, problem):
        if name.startswith("club."):
            assert_same(after[ours(name)], expected[name])
        else:
            assert torch.equal(after[ours(name)], before[ours(name)])
