"""Items without training interactions: who stands in for them, by hand, and what MHCR and SEA make of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from model_contract import DATASETS, ModelContract
from recbole.utils import get_model
from torch.nn import functional as F

from recbole_mm.commands.cli import main
from recbole_mm.model.parts.cold_items import ColdItems, FeatureItems, cold_to_trained
from recbole_mm.recbole_bridge.own_names import MODELS
from recbole_mm.settings.parameters import defaults

TRAINED = np.array([True, True, True, False, False, False])
IMAGE = torch.tensor([[1.0, 0], [0, 2], [-1, 0], [3, 4], [0, 0], [1, 1]])  # items 3, 4 and 5 are cold
AUDIO = torch.tensor([[2.0], [1], [1], [5], [1], [9]])
HAS_AUDIO = torch.tensor([False, True, True, True, False, False])


def test_weights_by_hand() -> None:
    ones = torch.ones(6, dtype=torch.bool)
    weights = cold_to_trained([IMAGE], [ones], TRAINED, 2).toarray()
    expected = np.zeros((6, 6))
    expected[3, :2] = 0.6 / 1.4, 0.8 / 1.4
    expected[5, :2] = 0.5
    np.testing.assert_allclose(weights, expected, atol=1e-7)  # item 4 is similar to none
    both = cold_to_trained([IMAGE, AUDIO], [ones, HAS_AUDIO], TRAINED, 3).toarray()
    np.testing.assert_allclose(both[3, :3], np.array([0.6, 1.8, 1.0]) / 3.4, atol=1e-7)  # a negative cosine counts as 0
    np.testing.assert_allclose(both[5], expected[5], atol=1e-7)  # without audio


def test_trained_items_and_those_like_no_other_keep_their_embeddings() -> None:
    cold = ColdItems([IMAGE], [torch.ones(6, dtype=torch.bool)], TRAINED, 1)
    items = torch.arange(12.0).reshape(6, 2)
    assert cold(items)[:5].tolist() == [[0, 1], [2, 3], [4, 5], [2, 3], [8, 9]]
    assert cold(items)[5].tolist() in ([0, 1], [2, 3])  # equally similar to both
    assert not cold.state_dict()


@pytest.mark.parametrize("trained", [np.ones(6, dtype=bool), np.zeros(6, dtype=bool)])
def test_nothing_to_replace(trained: np.ndarray) -> None:
    cold = ColdItems([IMAGE], [torch.ones(6, dtype=torch.bool)], trained, 3)
    items = torch.randn(6, 2)
    torch.testing.assert_close(cold(items), items)


DEGREE = np.array([6, 1, 2, 0, 0, 0])


def feature_items(**options: float) -> FeatureItems:
    torch.manual_seed(3)
    masks = [torch.tensor([True] * 4 + [False, True]), HAS_AUDIO]
    return FeatureItems([IMAGE, AUDIO], masks, DEGREE, 2, **{"scale": 1.5, "prior": 2.0} | options).eval()


def test_features_speak_for_cold_items_and_in_part_for_those_with_few_interactions() -> None:
    made, items = feature_items(), torch.randn(6, 2)
    out, said = made(items), F.normalize(made.layers(made.content), dim=1)
    said = said * 1.5 * items[:3].norm(dim=1).mean()
    for row, share in enumerate([2 / 8, 2 / 3, 2 / 4, 1, 0, 1]):  # item 4 has no features
        torch.testing.assert_close(out[row], share * said[row] + (1 - share) * items[row])
    lengths = made.content.square().sum(1)
    assert lengths.tolist() == pytest.approx([1, 2, 2, 2, 0, 1])  # each modality that is there has length 1


def test_without_a_prior_features_speak_for_cold_items_alone() -> None:
    made, items = feature_items(prior=0.0), torch.randn(6, 2)
    assert [row for row in range(6) if not torch.equal(made(items)[row], items[row])] == [3, 5]


def test_the_loss_of_features_reaches_the_network_alone() -> None:
    made, users = feature_items(), torch.randn(3, 2, requires_grad=True)
    item = torch.tensor([0, 2, 1])
    loss = made.loss(item, users)
    cosines = F.normalize(made.layers(made.content[item]), dim=1) @ F.normalize(users, dim=1).T / 0.2
    torch.testing.assert_close(loss, F.cross_entropy(cosines, torch.arange(3)))
    loss.backward()
    assert users.grad is None
    assert all(weight.grad.abs().sum() > 0 for weight in made.parameters())


@pytest.mark.parametrize("model", ["LATTICE", "BM3", "FREEDOM", "MGCN", "XSimGCL", "MMHCL", "LGMRec", "MHCR"])
def test_every_graph_model_learns_what_features_say_of_items(model: str) -> None:
    contract = type("Contract", (ModelContract,), {"model": model})
    made = contract.built(cold_items="features", cold_prior=0.0)
    made.model.train()
    made.model.calculate_loss(next(iter(made.train))).backward()
    assert all(weight.grad.abs().sum() > 0 for weight in made.model.cold.parameters())
    items = made.model.eval().scoring_embeddings()[1][1:]
    cold = made.model.cold.share.squeeze(1) == 1
    assert 0 < cold.sum() < len(cold)
    assert len(items[cold].unique(dim=0)) == cold.sum()
    built_own = contract.built().model.eval()
    own = built_own.scoring_embeddings()[1][1:]
    assert not own[cold].isclose(items[cold]).all(1).any()


@pytest.mark.parametrize(("model", "rate", "rule"), [("MHCR", 0.01, "neighbours"), ("SEA", 0.001, "own")])
def test_cold_items_are_recommended(model: str, rate: float, rule: str, tmp_path: Path) -> None:
    """A user's cold items are among the first 20 of 240 more than twice as often as by chance."""
    shutil.copytree(DATASETS / "microvideo", tmp_path / "microvideo")
    assert main(["split", "microvideo", "--cold-items=0.1", f"--data_path={tmp_path}"]) == 0
    command = ["run", f"--model={model}", "--dataset=microvideo", f"--data_path={tmp_path}", "--epochs=20"]
    split = f"--config_files={tmp_path / 'microvideo/cold_items_0_1.yaml'}"
    keys = ["--metrics=['Recall']", "--topk=[20]", "--valid_metric=Recall@20", f"--learning_rate={rate}"]
    assert main([*command, split, *keys, "--embedding_size=32", f"--cold_items={rule}"]) == 0
    (file,) = tmp_path.rglob("result.json")
    cold = json.loads(file.read_text())["test_groups"]["items"][0]
    assert cold["group"] == "cold"
    assert cold["evaluated"] > 100
    assert cold["metrics"]["recall@20"] > 2 * 20 / 240


def test_all_models_score_cold_items_by_the_same_rule_by_default() -> None:
    """A comparison of cold items favours no model."""
    rules = {}
    for model in MODELS:
        declared = defaults(get_model(model).parameter_class)
        if "cold_items" in declared:
            rules[model] = declared["cold_items"]
    assert set(rules.values()) == {"own"}
    assert set(MODELS) - set(rules) == {"CCL4Rec"}  # has no embedding of an item to replace
