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


def feature_items() -> FeatureItems:
    torch.manual_seed(3)
    return FeatureItems([IMAGE, AUDIO], [torch.tensor([True] * 4 + [False, True]), HAS_AUDIO], TRAINED, 2)


def test_features_speak_for_cold_items_alone() -> None:
    made, items = feature_items(), torch.randn(6, 2)
    out = made(items)
    said = made.layers(made.content)
    assert torch.equal(out[[0, 1, 2, 4]], items[[0, 1, 2, 4]])  # item 4 has no features
    assert torch.equal(out[[3, 5]], said[[3, 5]])
    lengths = made.content.square().sum(1)
    assert lengths.tolist() == pytest.approx([1, 2, 2, 2, 0, 1])  # each modality that is there has length 1


@pytest.mark.parametrize(("share", "replaced"), [(0.0, []), (0.9999999, [0, 1, 2])])
def test_dropped_ids_are_those_of_trained_items(share: float, replaced: list[int]) -> None:
    made, item = feature_items(), torch.arange(6)
    rows = torch.randn(6, 2)
    out = made.dropped(item, rows, share)
    said = made.layers(made.content)
    assert [place for place in range(6) if not torch.equal(out[place], rows[place])] == replaced
    torch.testing.assert_close(out[replaced], said[replaced])


@pytest.mark.parametrize("model", ["LATTICE", "BM3", "FREEDOM", "MGCN", "XSimGCL", "MMHCL", "LGMRec", "MHCR"])
def test_every_graph_model_learns_what_features_say_of_items(model: str) -> None:
    contract = type("Contract", (ModelContract,), {"model": model})
    made = contract.built(cold_items="features", id_dropout=0.5)
    made.model.train()
    made.model.calculate_loss(next(iter(made.train))).backward()
    assert all(weight.grad.abs().sum() > 0 for weight in made.model.cold.parameters())
    items = made.model.eval().scoring_embeddings()[1][1:]
    cold = made.model.cold.cold.squeeze(1)
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
