"""The benchmarks run, and measure what they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import problem, steps


def test_a_size_has_what_it_says(tmp_path: Path) -> None:
    size = problem.SIZES["small"]
    folder = problem.write("small", tmp_path)
    pairs = np.loadtxt(folder / "small.train.inter", skiprows=1, dtype=int)
    assert pairs.shape == (size.interactions, 2)
    assert len(np.unique(pairs, axis=0)) == size.interactions
    assert set(pairs[:, 0]) == set(range(size.users))
    assert set(pairs[:, 1]) == set(range(size.items))
    for name, dim in size.modalities.items():
        assert np.load(folder / f"{name}.npy").shape == (size.items, dim)
    again = problem.write("small", tmp_path / "again")
    assert (again / "small.train.inter").read_bytes() == (folder / "small.train.inter").read_bytes()


def test_steps_are_measured_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps.main(["--size=small", "--models=SEA", "--repeats=2", "--threads=1", f"--out={tmp_path}"])
    result = json.loads((tmp_path / "steps-small.json").read_text())
    assert set(result["models"]) == {"SEA", "LightGCN"}
    assert result["models"]["LightGCN"]["ratio"] == [1, 1, 1]
    sea = result["models"]["SEA"]
    assert len(sea["rounds"]) == 2
    assert sea["seconds"][1] == pytest.approx(np.median(sea["rounds"]))
    assert 0 < sea["club_share"] < 1
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "steps-small.md").read_text()
    assert f"{sea['seconds'][1]:.3f}" in printed


def test_an_unknown_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        steps.main(["--models=SEE", "--size=small"])
    assert "'SEE' is no model" in capsys.readouterr().err
