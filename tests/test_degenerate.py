"""A part of a model that is one vector for all users or items is named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from model_contract import DATASETS
from torch import nn

from recbole_mm.commands import cli
from recbole_mm.training.degenerate import LIMIT, degenerate_parts, resultant_length, resultant_lengths

RUN = ["run", "--dataset=microvideo", f"--data_path={DATASETS}", "--epochs=1", "--embedding_size=8"]


def test_the_resultant_length_by_hand() -> None:
    assert resultant_length(torch.tensor([[3.0, 0.0], [0.0, 4.0]])) == pytest.approx(math.sqrt(0.5))
    assert resultant_length(torch.tensor([[1.0, 1.0], [-2.0, -2.0]])) == pytest.approx(0)
    assert resultant_length(torch.tensor([[1.0, 2.0], [2.0, 4.0], [0.0, 0.0]])) == pytest.approx(1)
    assert resultant_length(torch.zeros(3, 2)) == 0


def test_any_model_s_embedding_tables_are_looked_at() -> None:
    model = nn.ModuleDict({name: nn.Embedding(5, 4) for name in ("good", "bad")} | {"bias": nn.Embedding(5, 1)})
    with torch.no_grad():
        model["good"].weight.copy_(torch.eye(5)[:, :4])
        model["bad"].weight.copy_(torch.arange(1.0, 6.0)[:, None] * torch.ones(4))
        model["bias"].weight.fill_(1)
    lengths = resultant_lengths(model)
    assert lengths == {"good": pytest.approx(0.5), "bad": pytest.approx(1)}
    assert list(degenerate_parts(lengths)) == ["bad"]
    assert model.training


def result(tmp_path: Path) -> dict[str, Any]:
    (file,) = (tmp_path / "saved").rglob("result.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_a_hypergraph_that_is_one_vector_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    released = ["--logit_scale=0", "--hyper_centre=False", "--hyper_users=memberships"]
    assert cli.main([*RUN, "--model=MHCR", *released, "--tau=1e6"]) == 0  # memberships of 1 / hyper_num for all
    lengths = result(tmp_path)["resultant_length"]
    found = degenerate_parts(lengths)
    assert lengths.keys() > found.keys()
    assert found.keys() >= {f"hypergraph of {name}, {kind}" for name in ("image", "audio", "text")
                            for kind in ("users", "items")}  # fmt: skip
    assert all(0.999 < length <= 1 + 1e-9 for length in found.values())
    assert not found.keys() & {"users", "items"}
    assert "MHCR: these parts of the model are one vector for all rows" in caplog.text
    assert "hypergraph of image, items" in caplog.text


@pytest.mark.parametrize("model", ["BPR", "VBPR", "SEA", "CCL4Rec"])
def test_a_model_without_such_a_part_has_no_warning(
    model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert cli.main([*RUN, f"--model={model}"]) == 0
    lengths = result(tmp_path)["resultant_length"]
    assert lengths
    assert all(length <= LIMIT for length in lengths.values())
    assert "one vector" not in caplog.text
