"""The controls of a comparison: rows whose items have exchanged their features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from model_contract import DATASETS

from recbole_mm.base.errors import InputError
from recbole_mm.comparison.configured import ConfiguredRows, configured_rows
from recbole_mm.comparison.differences import entry_pairs
from recbole_mm.comparison.rows import planned_rows
from recbole_mm.configuration.request import Request

# isort: split
from comparisons import entry, values

SETTINGS = {"data_path": str(DATASETS), "use_gpu": False, "MAX_ITEM_LIST_LENGTH": 5}


def quiet(_: str) -> None:
    """Take a line for the user."""


def configured(models: str, files: list[str] | None = None, **settings: Any) -> ConfiguredRows:
    rows = planned_rows(models.split(","), files or [], [], None)
    return configured_rows(rows, "microvideo", Request(settings={**SETTINGS, **settings}), ("shuffled",), quiet)


def test_rows_that_read_features_get_one_and_are_tested_against_it() -> None:
    rows = configured("Pop,VBPR,BPR,CCL4Rec").rows
    assert [(row.label, row.ablation_of, row.baseline) for row in rows] == [
        ("Pop", "", True),
        ("VBPR", "", True),
        ("VBPR, shuffled features", "VBPR", False),
        ("BPR", "", True),
        ("CCL4Rec", "", False),
        ("CCL4Rec, shuffled features", "CCL4Rec", False),
    ]
    entries = [entry(row.label, values("ndcg@10", 0.5), row.ablation_of, row.baseline) for row in rows]
    pairs = {(one.label, other.label) for one, other in entry_pairs(entries, "ndcg@10")}
    assert pairs >= {("VBPR, shuffled features", "VBPR"), ("CCL4Rec, shuffled features", "CCL4Rec")}


def test_a_dataset_without_features_has_no_controls() -> None:
    assert [row.label for row in configured("Pop,CCL4Rec,BPR", modalities=None).rows] == ["Pop", "CCL4Rec", "BPR"]


def test_an_unknown_control_is_refused() -> None:
    rows = planned_rows(["VBPR"], [], [], None)
    with pytest.raises(InputError, match=r"unknown control .shufled.; choose from shuffled"):
        configured_rows(rows, "microvideo", Request(settings=SETTINGS), ("shufled",), quiet)


def test_a_row_that_is_a_control_already_or_called_like_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--controls=shuffled sets shuffle_features, which VBPR has already"):
        configured("VBPR", shuffle_features=3)
    (tmp_path / "mine.yaml").write_text("model: BPR\n")
    with pytest.raises(InputError, match="makes a row 'VBPR, shuffled features', and there is one"):
        configured("VBPR", [f"VBPR, shuffled features={tmp_path}/mine.yaml"])
