from __future__ import annotations

import enum
import importlib.metadata
import json
import platform
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

import recbole_mm  # noqa: F401  (makes RecBole importable)
from recbole_mm.base import environment, files, memory
from recbole_mm.base.metrics import best_epoch
from recbole_mm.training import curve, result_files, run_screen


class Colour(enum.Enum):
    RED = 1


def test_metrics_table_has_a_row_a_metric_and_blanks_what_is_missing() -> None:
    table = run_screen.metrics_table({"recall@10": 0.1, "ndcg@10": 0.25}, {"recall@10": 0.3, "mrr@10": 0.5})
    assert [line.split() for line in table.splitlines()] == [
        ["metric", "valid", "test"],
        ["---------", "------", "------"],
        ["recall@10", "0.1000", "0.3000"],
        ["ndcg@10", "0.2500"],
        ["mrr@10", "0.5000"],
    ]
    assert table.splitlines()[4].index("0.5000") > table.splitlines()[3].index("0.2500")


def test_environment_names_versions_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    found = environment.environment()
    assert found["python"] == platform.python_version()
    assert found["recbole"] == "1.2.1"
    assert found["threads"] == torch.get_num_threads()

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert environment.environment()["recbole_mm"] == "not installed"


def test_peak_memory_is_at_least_what_is_used_now() -> None:
    used = psutil.Process().memory_info().rss / 2**20
    assert used - 1 < memory.peak_memory()["ram"] < 2**20


@pytest.mark.parametrize(("system", "expected"), [("linux", 3.0), ("darwin", 3.0 / 1024)], ids=["KiB", "bytes"])
def test_peak_memory_knows_the_unit_of_the_platform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, expected: float
) -> None:
    resource = pytest.importorskip("resource")
    usage = type("Usage", (), {"ru_maxrss": 3072})
    monkeypatch.setattr(memory, "STATUS", tmp_path / "none")
    monkeypatch.setattr(memory.sys, "platform", system)
    monkeypatch.setattr(resource, "getrusage", lambda who: usage)
    assert memory.peak_memory()["ram"] == round(expected, 1)


@pytest.mark.skipif(not memory.STATUS.is_file(), reason="asks Linux")
def test_peak_memory_is_of_this_process_alone() -> None:
    held = np.ones(500 * 2**20, dtype=np.uint8)
    ask = f"import runpy; print(runpy.run_path({memory.__file__!r})['peak_memory']()['ram'])"  # without the pack
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert float(done.stdout) < memory.peak_memory()["ram"] - held.nbytes / 2**21


def test_write_result_is_sorted_plain_json(tmp_path: Path) -> None:
    path = result_files.write_result(
        tmp_path / "new" / "folder",
        {
            "z": float("nan"),
            "colour": Colour.RED,
            "class": Colour,
            "device": torch.device("cpu"),
            "tensor": torch.tensor([1.0, float("inf")]),
            "array": np.arange(3),
            "score": np.float64(0.5),
            "text": np.str_("é"),
            "flag": np.bool_(True),
            "pair": (1, None),
            "set": {"b", "a"},
            "path": tmp_path,
            "inner": {2: True, Colour.RED: "x"},
        },
    )
    assert path == tmp_path / "new" / "folder" / "result.json"
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == {
        "array": [0, 1, 2],
        "class": "Colour",
        "colour": "RED",
        "device": "cpu",
        "flag": True,
        "inner": {"2": True, "RED": "x"},
        "pair": [1, None],
        "path": str(tmp_path),
        "score": 0.5,
        "set": ["a", "b"],
        "tensor": [1.0, None],
        "text": "é",
        "z": None,
    }
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_a_failed_write_leaves_the_old_result_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = result_files.write_result(tmp_path, {"run": 1})

    def fail(source: object, target: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        result_files.write_result(tmp_path, {"run": 2})
    assert json.loads(path.read_text()) == {"run": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_resolved_config_is_plain() -> None:
    config = type("Config", (), {"final_config_dict": {"device": torch.device("cpu"), "topk": (5, 10)}})()
    assert result_files.resolved_config(config) == {"device": "cpu", "topk": [5, 10]}


def entry(epoch: int, score: float | None) -> dict[str, float | int | None]:
    return {"epoch": epoch, "train_loss": 1.0 / (epoch + 1), "valid_score": score, "seconds": 0.1}


@pytest.mark.parametrize(
    ("metric", "scores", "best"),
    [
        ("NDCG@10", [0.1, None, 0.3, 0.2], 2),
        ("NDCG@10", [0.1, 0.3, 0.3, None], 2),
        ("LogLoss", [0.5, 0.2, None, 0.4], 1),
        ("GiniIndex@10", [0.5, 0.6], 0),
        ("NDCG@10", [None], None),
        ("NDCG@10", [], None),
    ],
)
def test_best_epoch(metric: str, scores: list[float | None], best: int | None) -> None:
    assert best_epoch([entry(epoch, score) for epoch, score in enumerate(scores)], metric) == best


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[curve.Figure]:
    """Return a list that every figure is put into when it is saved."""
    figures: list[curve.Figure] = []
    save = curve.Figure.savefig

    def keep(self: curve.Figure, path: Path, dpi: int) -> None:
        figures.append(self)
        save(self, path, dpi=dpi)

    monkeypatch.setattr(curve.Figure, "savefig", keep)
    return figures


def test_plot_curve_skips_epochs_without_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch)
    epochs = [entry(0, 0.1), entry(1, None), entry(2, 0.3), entry(3, None)]
    path = curve.plot_curve(tmp_path / "run", epochs, "NDCG@10")

    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (1050, 825)
    loss_axis, metric_axis = figures[0].axes
    np.testing.assert_array_equal(loss_axis.lines[0].get_xydata(), [[0, 1], [1, 1 / 2], [2, 1 / 3], [3, 1 / 4]])
    np.testing.assert_array_equal(metric_axis.lines[0].get_xydata(), [[0, 0.1], [2, 0.3]])
    np.testing.assert_array_equal(metric_axis.lines[1].get_xydata(), [[2, 0.3]])
    assert metric_axis.get_title("left") == "Validation NDCG@10"
    assert metric_axis.get_title("right") == "best 0.3000 in epoch 2"


@pytest.mark.parametrize("score", [0.25, None])
def test_plot_curve_of_one_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score: float | None) -> None:
    figures = drawn(monkeypatch)
    assert curve.plot_curve(tmp_path, [entry(0, score)], "MRR@5").stat().st_size > 0
    assert figures[0].axes[1].get_title("right") == ("best 0.2500 in epoch 0" if score else "")
    axis = figures[0].axes[1]
    left, right = axis.get_xlim()
    assert [tick for tick in axis.get_xticks() if left <= tick <= right] == [0]


def test_users_come_back_by_their_own_ids(tmp_path: Path) -> None:
    tokens = np.array(["[PAD]", "b", "10", "9", "a"])
    dataset = SimpleNamespace(uid_field="user", id2token=lambda field, ids: tokens[ids])
    assert result_files.write_users(tmp_path, dataset, None) is None
    assert [len(part) for part in result_files.read_users(tmp_path)] == [0, 0]
    result_files.write_users(tmp_path, dataset, (np.array([1, 2, 4]), {"recall@10": np.array([0.1, 0.2, 0.3])}))
    users, values = result_files.read_users(tmp_path)
    assert users.tolist() == ["10", "a", "b"]
    assert {name: each.tolist() for name, each in values.items()} == {"recall@10": [0.2, 0.3, 0.1]}
