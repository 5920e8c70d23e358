"""The items of the highest scores, and which of them are held out: as RecBole finds them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.evaluator.collector import Collector, DataStruct
from training import configured

from benchmarks.plain import _from_source
from recbole_mm.recbole_bridge import top_items as top
from recbole_mm.recbole_bridge.top_items import hits, top_items

QUICK = settings(deadline=None, max_examples=60)


@QUICK
@given(
    n=st.integers(0, 5),
    n_items=st.integers(7, 90),
    k=st.integers(1, 6),
    levels=st.integers(1, 400),
    seed=st.integers(0, 99),
)
def test_they_are_torch_s(n: int, n_items: int, k: int, levels: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randint(levels, (n, n_items), generator=draw).float()  # some of them equal
    scores[torch.rand(n, n_items, generator=draw) < 0.3] = -torch.inf
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top, "CHUNK", 4)
        patch.setattr(top, "MANY_ITEMS", 0)
        found = top_items(scores, k)
    assert torch.equal(found, torch.topk(scores, k, dim=-1).indices)


def test_among_many_items() -> None:
    scores = torch.randn(3, top.MANY_ITEMS + 11, generator=torch.Generator().manual_seed(1))
    scores[2, 5:] = 0.5  # equal
    assert torch.equal(top_items(scores, 20), torch.topk(scores, 20).indices)


@QUICK
@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), max_size=15), k=st.integers(1, 9))
def test_hits_are_those_of_a_matrix(pairs: list[tuple[int, int]], k: int) -> None:
    rows, items = (torch.tensor([pair[side] for pair in pairs], dtype=torch.int64) for side in (0, 1))
    matrix = torch.zeros(4, 9, dtype=torch.int64)
    matrix[rows, items] = 1
    shown = torch.stack([torch.randperm(9, generator=torch.Generator().manual_seed(row))[:k] for row in range(4)])
    found, n_held_out = hits(shown, rows, items, 9)
    assert torch.equal(found, matrix.gather(1, shown))
    assert torch.equal(n_held_out, matrix.sum(1, keepdim=True))


METRICS = ["Recall", "NDCG", "ItemCoverage", "GAUC"]


@pytest.mark.parametrize("metrics", [METRICS, METRICS[:2], METRICS[2:3], METRICS[3:]])
def test_what_is_collected_is_recboles(metrics: list[str]) -> None:
    config = configured(
        "BPR", metrics=metrics, topk=[3, 5], valid_metric=f"{metrics[0]}@5" if metrics != ["GAUC"] else "GAUC"
    )
    found: list[Any] = []
    for kind in (_from_source("recbole.evaluator.collector").Collector, Collector):
        collector: Any = kind(config)
        for seed in range(4):
            draw = torch.Generator().manual_seed(seed)
            scores = torch.randn(6, 40, generator=draw)
            rows, items = torch.randint(6, (9,), generator=draw), torch.randint(40, (9,), generator=draw)
            collector.eval_batch_collect(scores, None, rows, items)
        found.append(dict(collector.data_struct._data_dict))
    assert found[0].keys() == found[1].keys()
    for name, values in found[0].items():
        assert torch.equal(values, found[1][name]), name
        assert values.dtype == found[1][name].dtype, name


def test_rows_are_added_where_there_is_room() -> None:
    struct = DataStruct()
    for start in range(0, 20, 4):
        struct.update_tensor("rows", torch.arange(start, start + 4)[:, None])
        early = copy.deepcopy(struct)["rows"]
        assert early.flatten().tolist() == list(range(start + 4))
    struct.update_tensor("rows", torch.tensor([[0.5]]))
    assert struct["rows"].dtype == torch.float32
    del struct["rows"]
    struct.update_tensor("rows", torch.tensor([[7]]))
    struct.update_tensor("rows", torch.tensor([[8]]))
    assert struct["rows"].tolist() == [[7], [8]]
    struct.set("number", 3)
    with pytest.raises(ValueError, match="is not a tensor"):
        struct.update_tensor("number", torch.ones(1))
