"""Datasets by columns: row by row and split by split those of RecBole's own code."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recbole.config import Config
from recbole.data import create_dataset, create_samplers, data_preparation
from recbole.data.interaction import Interaction
from training import configured, train

from benchmarks.plain import recboles_data
from recbole_mm.data.encoded import read_encoded
from recbole_mm.recbole_bridge.encoding import TokenIds, in_order_of_appearance
from recbole_mm.recbole_bridge.narrow import NarrowColumns, with_columns
from recbole_mm.recbole_bridge.used_items import UsedPairs

QUICK = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\tplace:token"
ROW = st.tuples(
    st.sampled_from(["u1", "u2", "u3", "7", "é", "u 6"]),
    st.sampled_from(["a", "b", "c", "08", "8", "e"]),
    st.sampled_from(["1", "2.5", "4", ""]),
    st.integers(1_700_000_000, 1_700_000_009).map(str),
    st.sampled_from(["home", "work", "NA", ""]),
)
SPLITS: list[dict[str, Any]] = [
    {"split": {"RS": [0.8, 0.1, 0.1]}, "group_by": "user", "order": "RO"},
    {"split": {"RS": [0.5, 0.3, 0.2]}, "group_by": "none", "order": "RO"},
    {"split": {"RS": [2, 1, 1]}, "group_by": "user", "order": "TO"},
    {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO"},
    {"split": {"LS": "valid_only"}, "group_by": "user", "order": "RO"},
    {"split": {"LS": "test_only"}, "group_by": "user", "order": "TO"},
    {"split": {"TS": [0.6, 0.2, 0.2]}, "group_by": "user", "order": "TO"},
]
FILTERS: list[dict[str, Any]] = [
    {},
    {"user_inter_num_interval": "[2,inf)"},
    {"user_inter_num_interval": "[2,inf)", "item_inter_num_interval": "[2,5]"},
    {"item_inter_num_interval": "(0,1];[3,9)"},
    {"rm_dup_inter": "first"},
    {"rm_dup_inter": "last", "user_inter_num_interval": "[1,3]"},
    {"val_interval": {"rating": "[2,5]", "place": ["home"]}},
    {"filter_inter_by_user_or_item": True, "item_inter_num_interval": "[2,inf)"},
]


def write(folder: Path, rows: list[tuple[str, ...]], listed: Sequence[str] = ("a", "b", "08", "z")) -> None:
    (folder / "toy").mkdir(exist_ok=True)
    lines = [HEADER, *("\t".join(row) for row in rows)]
    (folder / "toy" / "toy.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    items = ["item_id:token\tkind:token", *(f"{item}\t{item[-1]}" for item in listed)]
    (folder / "toy" / "toy.item").write_text("\n".join(items) + "\n", encoding="utf-8")


def configuration(folder: Path, split: dict[str, Any], filters: dict[str, Any], model: str = "BPR") -> Config:
    inter = ["user_id", "item_id", "rating", "timestamp", "place"]
    given = {"load_col": {"inter": inter, "item": ["item_id", "kind"]}, "data_path": str(folder), "gpu_id": ""}
    return Config(model=model, dataset="toy", config_dict={**given, **filters, "eval_args": split})


def contents(config: Config) -> Any:
    """Return all that a dataset and its parts hold, or what they are refused for."""
    torch.manual_seed(5)
    try:
        dataset = create_dataset(config)
        parts = dataset.build()
    except ValueError as error:
        return str(error)
    found: dict[str, Any] = {"ids": {field: list(ids) for field, ids in dataset.field2id_token.items()}}
    found["token ids"] = {field: dict(ids) for field, ids in dataset.field2token_id.items()}
    feats = {"all": dataset.inter_feat} | ({"items": dataset.item_feat} if dataset.item_feat is not None else {})
    for name, feat in {**feats, **{f"part {n}": part.inter_feat for n, part in enumerate(parts)}}.items():
        found[name] = {field: (feat[field].dtype, str(feat[field].tolist())) for field in feat}
    found["described"] = str(dataset), [str(part) for part in parts]
    counters = [dict(part.counter(field)) for part in parts if len(part) for field in ("user_id", "item_id")]
    try:
        samplers = [one.used_ids for one in create_samplers(config, dataset, parts) if one is not None]
    except ValueError as error:
        samplers = str(error)
    return found, counters, samplers if isinstance(samplers, str) else [[set(one) for one in used] for used in samplers]


@QUICK
@given(rows=st.lists(ROW, min_size=3, max_size=30), split=st.sampled_from(SPLITS), filters=st.sampled_from(FILTERS))
def test_a_dataset_is_recboles(  # at most 30 rows, some of them with nothing
    tmp_path: Path, rows: list[Any], split: dict[str, Any], filters: dict[str, Any]
) -> None:
    write(tmp_path, rows)
    config = configuration(tmp_path, split, filters)
    with recboles_data():
        expected = contents(copy.deepcopy(config))
    assert contents(config) == expected


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("split", SPLITS)
def test_a_larger_one_is_recboles(tmp_path: Path, split: dict[str, Any], filters: dict[str, Any]) -> None:
    draw = random.Random(4)
    rows = [
        (f"u{draw.randrange(40)}", f"{int(draw.paretovariate(0.6)) % 50}", "3", str(draw.randrange(200)), "home")
        for _ in range(400)
    ]
    write(tmp_path, rows, [str(item) for item in range(60)])
    config = configuration(tmp_path, split, filters)
    with recboles_data():
        expected = contents(copy.deepcopy(config))
    found = contents(config)
    assert found == expected
    assert isinstance(found, tuple)  # and none was refused


@pytest.mark.parametrize("filled", [1 << 14, 7])
@pytest.mark.parametrize("more", [{}, {"numerical_features": ["rating"]}])
def test_histories_are_recboles(tmp_path: Path, filled: int, more: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setattr("recbole_mm.recbole_bridge.augmentation.FILLED_ROWS", filled)
    draw = random.Random(4)
    rows = [
        (f"u{int(draw.paretovariate(0.5)) % 12}", f"{draw.randrange(9)}", f"{draw.random():.3f}", str(place), "home")
        for place in draw.sample(range(90), 60)
    ]
    write(tmp_path, rows, [str(item) for item in range(9)])
    split = {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO"}
    config = configuration(tmp_path, split, {"MAX_ITEM_LIST_LENGTH": 5, **more}, "SASRec")
    with recboles_data():
        expected = contents(copy.deepcopy(config))
    found = contents(config)
    assert found == expected
    assert "item_id_list" in found[0]["part 2"]


@pytest.mark.parametrize("quote", ["", '"'])  # a file with quotes is not read by columns
def test_given_splits_are_put_below_each_other(tmp_path: Path, quote: str) -> None:
    write(tmp_path, [("u1", "a", "1", "1", "home")])
    quoted = f"u3\t{quote}d{quote}"
    parts = {"train": ["u1\ta", "u2\tb", "u1\tc"], "valid": ["u2\tc", quoted], "test": ["u3\ta", "u4\te"]}
    for name, lines in parts.items():
        text = "\n".join(["user_id:token\titem_id:token", *lines]) + "\n"
        (tmp_path / "toy" / f"toy.{name}.inter").write_text(text, encoding="utf-8")
    given = {"benchmark_filename": list(parts), "load_col": {"inter": ["user_id", "item_id"]}}
    given |= {"data_path": str(tmp_path), "gpu_id": ""}
    config = Config(model="BPR", dataset="toy", config_dict=given)
    with recboles_data():
        expected = contents(copy.deepcopy(config))
    found = contents(config)
    assert found == expected
    assert found[0]["ids"]["item_id"] == ["[PAD]", *"abcde"]


@pytest.mark.parametrize(("model", "changes"), [("LightGCN", {}), ("NGCF", {}), ("NCL", {"num_clusters": 20})])
def test_graphs_are_recboles(model: str, changes: dict[str, Any]) -> None:
    made = train(model, epochs=1, **changes).model
    graph = made.get_norm_adj_mat().coalesce()
    pairs = set(zip(made.interaction_matrix.row.tolist(), made.interaction_matrix.col.tolist(), strict=True))
    users, items = (np.bincount(side) for side in zip(*pairs, strict=True))
    expected = {}
    for user, item in pairs:
        weight = np.float32((users[user] + 1e-7) ** -0.5 * (items[item] + 1e-7) ** -0.5)
        expected[user, made.n_users + item] = expected[made.n_users + item, user] = float(weight)
    places = zip(*graph.indices().tolist(), strict=True)
    found = dict(zip(places, graph.values().tolist(), strict=True))
    assert found.keys() == expected.keys()
    assert all(found[place] == pytest.approx(weight, rel=1e-7) for place, weight in expected.items())


class TestNarrowColumns:
    @pytest.fixture
    def feat(self) -> Interaction:
        kept = {"user": torch.tensor([3, 1, 2], dtype=torch.int32), "time": torch.tensor([5, 6, 4], dtype=torch.int32)}
        wide = {"user": torch.int64, "time": torch.float64}
        return with_columns(NarrowColumns({**kept, "rating": torch.tensor([1.0, 2.0, 3.0])}, wide))

    def test_what_is_read_is_as_wide_as_recboles(self, feat: Interaction) -> None:
        assert {name: feat[name].dtype for name in feat} == {
            "user": torch.int64, "time": torch.float64, "rating": torch.float32
        }  # fmt: skip
        assert feat["time"].tolist() == [5.0, 6.0, 4.0]

    def test_rows_sorting_and_copies(self, feat: Interaction) -> None:
        feat.sort(by="time")
        assert feat["user"].tolist() == [2, 3, 1]
        assert feat[1:]["user"].tolist() == [3, 1]
        assert feat[np.array([2, 0])]["rating"].tolist() == [2.0, 3.0]
        assert copy.deepcopy(feat)["time"].dtype == torch.float64
        assert feat.to("cpu")["user"].tolist() == [2, 3, 1]

    def test_what_does_not_fit_is_kept_wide(self, feat: Interaction) -> None:
        feat["time"] = feat["time"] + 0.5
        feat["user"] = torch.tensor([2**40, 1, 2])
        assert feat["time"].tolist() == [5.5, 6.5, 4.5]
        assert feat["user"].tolist() == [2**40, 1, 2]

    def test_a_column_that_goes_and_one_that_comes(self, feat: Interaction) -> None:
        feat.drop("time")
        feat["label"] = torch.ones(3)
        assert feat.columns == ["user", "rating", "label"]
        assert len(feat) == 3


@QUICK
@given(columns=st.lists(st.lists(st.integers(-1, 6), max_size=12), min_size=1, max_size=3), block=st.integers(1, 5))
def test_numbers_in_order_of_appearance(columns: list[list[int]], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recbole_mm.recbole_bridge.encoding.BLOCK_ROWS", block)
        found = in_order_of_appearance([np.array(column, dtype=np.int64) for column in columns], 7)
    expected = list(dict.fromkeys(number for column in columns for number in column if number >= 0))
    assert found.tolist() == expected


@QUICK
@given(
    names=st.lists(st.sampled_from(["x", "y", "", "NA", "z z", "ö"]), min_size=1),
    number=st.sampled_from(["1", "-2.5", "", "1e3"]),
    block=st.integers(40, 80),
)
def test_columns_are_those_of_pandas(tmp_path: Path, names: list[str], number: str, block: int) -> None:
    file = tmp_path / "toy.inter"
    lines = "".join(f"{name}\t{number}\n" for name in names)
    file.write_text(f"name:token\tnumber:float\n{lines}", encoding="utf-8")
    kinds: dict[Any, Any] = {"name:token": object, "number:float": np.float64}
    expected = pd.read_csv(file, sep="\t", dtype=kinds, engine="python", skip_blank_lines=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recbole_mm.data.by_columns.BLOCK_BYTES", block)  # a few rows
        found = read_encoded(file, {"name:token": False, "number:float": True}, "\t", "utf-8")
    assert found is not None
    for texts in (found.iloc[:, 0], expected.iloc[:, 0]):
        assert [text if isinstance(text, str) else "" for text in texts] == [name.replace("NA", "") for name in names]
    assert np.array_equal(found.iloc[:, 1], expected.iloc[:, 1], equal_nan=True)


@pytest.mark.parametrize(
    "text", ['a\t"1"\n', "a\t1\r\n", "a\n", "a\t1\t2\n", "a\tone\n", "a\t1\n\n\xff".replace("\xff", "b")]
)
def test_what_pandas_may_read_otherwise_is_left_to_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "toy.inter"
    file.write_text("name:token\tnumber:float\n" + text, encoding="utf-8")
    assert read_encoded(file, {"name:token": False, "number:float": True}, "\t", "utf-8") is None
    file.write_text("name:token\tnumber:float\na\t1\n", encoding="utf-8")
    assert read_encoded(file, {"name:token": False, "number:float": True}, "\t", "latin-1") is None


@QUICK
@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=20))
def test_values_of_keys(pairs: list[tuple[int, int]]) -> None:
    keys, values = (np.array(side, dtype=np.int64) for side in (zip(*pairs, strict=True) if pairs else ([], [])))
    used = UsedPairs.of(keys, values, 5, 6)
    asked = np.array([4, 0, 2, 2])
    found, row = used.of_keys(asked)
    expected = [
        (place, value) for place, key in enumerate(asked) for value in sorted({v for k, v in pairs if k == key})
    ]
    assert list(zip(row.tolist(), found.tolist(), strict=True)) == expected
    assert used.counts().tolist() == [len({value for key, value in pairs if key == number}) for number in range(5)]


def test_a_loader_of_an_evaluation_has_the_items_of_users_as_recboles() -> None:
    config = configured("BPR")
    torch.manual_seed(5)
    loader = data_preparation(config, create_dataset(config))[1]
    torch.manual_seed(5)
    with recboles_data():
        own = data_preparation(config, create_dataset(config))[1]
    users = own.uid_list.tolist()
    alike = [user for user in users if own.uid2items_num[user] == own.uid2items_num[users[0]]]
    assert len(alike) > 1  # of one length
    assert torch.equal(loader.uid_list, own.uid_list)
    assert np.array_equal(loader.uid2items_num, own.uid2items_num)
    for name in ("uid2history_item", "uid2positive_item"):
        ours, theirs = getattr(pickle.loads(pickle.dumps(loader)), name), getattr(own, name)
        for asked in (users, alike):
            assert [sorted(items.tolist()) for items in ours[asked]] == [
                sorted(items.tolist()) for items in theirs[asked]
            ]
        assert sorted(ours[users[3]].tolist()) == sorted(theirs[users[3]].tolist())


def test_token_ids_are_a_dictionary() -> None:
    ids = TokenIds(np.array(["[PAD]", "a", "b"]))
    ids["c"] = 3
    del ids["a"]
    assert dict(ids) == {"[PAD]": 0, "b": 2, "c": 3}
    assert len(ids) == 3
    assert "a" not in ids


def test_a_user_s_own_loader_of_recboles_kind_reads_used_items() -> None:
    config = configured("BPR")
    dataset = create_dataset(config)
    parts = dataset.build()
    sampler = create_samplers(config, dataset, parts)[1]
    with recboles_data():
        expected = create_samplers(config, dataset, parts)[1].used_ids
    assert sampler.used_ids[7] == expected[7]
    assert list(sampler.used_ids[[3, 5]]) == list(expected[[3, 5]])
    assert len(sampler.used_ids) == len(expected)
    with pytest.raises(IndexError):
        sampler.used_ids[len(expected)]
