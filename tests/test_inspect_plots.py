"""The plots of an inspection: they draw the numbers that were counted."""

from __future__ import annotations

import numpy as np
import pytest
from pages import drawn

from recbole_mm.inspection.coconsumption import CoConsumption
from recbole_mm.inspection.inspect_plots import BINS, co_consumption_plot, history_plot, norms_plot
from recbole_mm.inspection.statistics import Counts

EVIL = "<b>m</b>"


def test_history_is_the_share_with_at_least_so_many() -> None:
    found = Counts(8, per_user=np.array([4, 2, 2, 0]), per_item=np.array([1, 7]))
    (users, items), axes = drawn(history_plot(found))
    assert users["x"] == [2, 4]
    assert users["y"] == pytest.approx([1, 1 / 3])  # of those with any interaction
    assert items["x"] == [1, 7]
    assert [axes[name]["type"] for name in ("xaxis", "xaxis2", "yaxis", "yaxis2")] == ["log"] * 4


def test_norms_are_counted_in_bins() -> None:
    norms = {
        EVIL: np.array([0.0, 1.0, 1.0, 4.0]),
        "audio": np.full(5, 2.0),
        "text": np.arange(3.0),
        "x": np.arange(9.0),
    }
    traces, axes = drawn(norms_plot(norms))
    counts = [trace["y"] for trace in traces]
    assert [sum(each) for each in counts] == [4, 5, 3, 9]
    assert [len(each) for each in counts] == [BINS, 1, BINS, BINS]
    assert [counts[0][0], counts[0][BINS // 4], counts[0][-1]] == [1, 2, 1]
    titles = [each["text"] for each in axes["annotations"]]
    assert titles == ["&lt;b&gt;m&lt;/b&gt;", "audio", "text", "x"]


def test_co_consumption_has_two_bars_a_modality() -> None:
    found = {EVIL: CoConsumption(10, 2, 20, 0.75, 0.5), "audio": CoConsumption(10, 2, 20, 0.25, 0.125)}
    (neighbours, chance), axes = drawn(co_consumption_plot(found))
    assert (neighbours["name"], neighbours["x"]) == ("neighbours", [0.75, 0.25])
    assert (chance["name"], chance["x"]) == ("random", [0.5, 0.125])
    assert neighbours["y"] == chance["y"] == ["&lt;b&gt;m&lt;/b&gt;", "audio"]
    assert axes["yaxis"]["type"] == "category"
