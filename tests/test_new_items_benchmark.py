"""`benchmarks.new_items`: what is taken out of the data, and what the ranking of new items is worth."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from model_contract import DATASETS

from benchmarks import new_items

pytestmark = pytest.mark.slow  # left out by `make quick`


def test_recall_and_ndcg_by_hand() -> None:
    """One of the first user's two items comes second of two; a user without a new item is not asked."""
    later = pd.DataFrame({"user": ["a", "a", "stranger"], "item": ["x", "z", "x"]})
    scores = np.array([[2.0, 3.0, 1.0], [1.0, 2.0, 3.0]])
    found = new_items.ranked(scores, np.array(["a", "b"]), np.array(["x", "y", "z"]), later, 2)
    assert found == pytest.approx((1 / 2, (1 / np.log2(3)) / (1 + 1 / np.log2(3))))


def test_new_items_are_in_no_part_and_their_users_get_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "microvideo"
    shutil.copytree(DATASETS / "microvideo", data)
    Path("model.yaml").write_text("model: VBPR\ntrain_batch_size: 512\n")
    asked = [f"--data_path={tmp_path}", "--dataset=microvideo", "--models", "VBPR=model.yaml", "--out=out"]
    new_items.main([*asked, "--seeds=7", "--epochs=5", "--k=10"])
    new = Path("out/data-7/new.ids").read_text().split()
    assert len(new) == 22  # a tenth of the 220 that have interactions
    for file in Path("out/data-7/microvideo").glob("*.i*"):
        assert not set(pd.read_csv(file, sep="\t", dtype=str)["item_id:token"]) & set(new)
    whole, part = (np.load(folder / "image.npy") for folder in (data, Path("out/data-7/microvideo")))
    ids = pd.read_csv(data / "microvideo.item", sep="\t", dtype=str)["item_id:token"]
    np.testing.assert_allclose(part, whole[~ids.isin(new)])
    rows = {line.split("|")[1].strip(): line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")}
    recall = {name: float(row.split("|")[3]) for name, row in rows.items() if name in ("VBPR", "content", "chance")}
    assert min(recall["VBPR"], recall["content"]) > recall["chance"]
