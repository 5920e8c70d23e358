"""Interactions in Parquet: the dataset that their text would give, and files that are refused."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.dataset import Dataset
from test_columns import FILTERS, ROW, SPLITS, configuration, contents, write

import recbole_mm_cli as cli
from recbole_mm.base.errors import InputError
from recbole_mm.configuration.request import Request, configure
from recbole_mm.data.file_checks import check_files, mistakes_in_files
from recbole_mm.data.identity import data_hash

FIELDS = ("user_id:token", "item_id:token", "rating:float", "timestamp:float", "place:token")
FEW = {"user_id": ["u1", "u1", "u2", "u2", "u3"], "item_id": [7, 8, 7, 9, 8], "timestamp": [5, 4, 3, 2, 1]}


def saved(folder: Path, columns: dict[str, Any] | pa.Table, name: str = "toy.inter.parquet", **how: Any) -> Path:
    """Write a table into the folder `toy`, and return the path."""
    (folder / "toy").mkdir(exist_ok=True)
    path = folder / "toy" / name
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **how)
    return path


def asked(folder: Path, **changes: Any) -> Config:
    keys = {"data_path": str(folder), "gpu_id": "", "load_col": None, **changes}
    return Config(model="BPR", dataset="toy", config_dict=keys)


def refused(folder: Path, **changes: Any) -> list[str]:
    return [str(mistake).replace(f"{folder}/toy", "DIR") for mistake in mistakes_in_files(asked(folder, **changes))]


def columns_of(rows: list[tuple[str, ...]], typed: bool, encoded: bool) -> pa.Table:
    """Return the rows of a text as columns, with names as in its header or alone, texts encoded or not."""
    texts = {field: list(cells) for field, cells in zip(FIELDS, zip(*rows, strict=True), strict=True)}
    made = {}
    for field, cells in texts.items():
        name, kind = field.split(":")
        if kind == "float":
            column = pa.array([float(cell) if cell else None for cell in cells], pa.float64())
        else:
            column = pa.array([cell or None for cell in cells], pa.string())
            column = column.dictionary_encode() if encoded else column
        made[field if typed else name] = column
    return pa.table(made)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(ROW, min_size=3, max_size=30),
    split=st.sampled_from(SPLITS),
    filters=st.sampled_from(FILTERS),
    typed=st.booleans(),
    encoded=st.booleans(),
    batch=st.sampled_from([2, 1000]),
)
def test_a_dataset_is_that_of_the_text(
    tmp_path: Path, rows: list[Any], split: Any, filters: Any, typed: bool, encoded: bool, batch: int
) -> None:
    write(tmp_path, rows)
    (tmp_path / "toy" / "toy.inter.parquet").unlink(missing_ok=True)
    config = configuration(tmp_path, split, filters)
    expected = contents(config)
    (tmp_path / "toy" / "toy.inter").unlink()
    saved(tmp_path, columns_of(rows, typed, encoded), row_group_size=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recbole_mm.data.parquet.BATCH_ROWS", batch)
        assert contents(config) == expected


@pytest.mark.parametrize("forms", ["ttp", "ptp", "ppp"])
@pytest.mark.parametrize("model", ["BPR", "SASRec"])
def test_given_splits(tmp_path: Path, forms: str, model: str) -> None:
    draw = np.random.default_rng(3)
    given = {"benchmark_filename": ["train", "valid", "test"], "data_path": str(tmp_path), "gpu_id": ""}
    given |= {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "MAX_ITEM_LIST_LENGTH": 4}
    parts = {part: [(f"u{draw.integers(6)}", f"i{draw.integers(9)}", row) for row in range(20)]
             for part in given["benchmark_filename"]}  # fmt: skip

    def write_parts(forms: str) -> Config:
        for (part, rows), form in zip(parts.items(), forms, strict=True):
            (tmp_path / "toy").mkdir(exist_ok=True)
            text = tmp_path / "toy" / f"toy.{part}.inter"
            text.unlink(missing_ok=True)
            if form == "p":
                names = ("user_id", "item_id", "timestamp")
                table = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
                saved(tmp_path, table, f"toy.{part}.inter.parquet")
            else:
                lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows)]
                text.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return Config(model=model, dataset="toy", config_dict=given)

    expected = contents(write_parts("ttt"))
    config = write_parts(forms)
    check_files(config)
    assert contents(config) == expected
    assert isinstance(expected, tuple)  # and was not refused


TOKENS: list[tuple[Any, list[str]]] = [
    (pa.array([7, 12, 7], pa.int64()), ["7", "12"]),
    (pa.array([7, 12, 7], pa.uint8()), ["7", "12"]),
    (pa.array([7.0, 12.0, 7.0], pa.float32()), ["7", "12"]),
    (pa.array([7.5, 12.0, 7.5]), ["7.5", "12"]),
    (pa.array(["07", "é", "07"], pa.large_string()), ["07", "é"]),
    (pa.array(["07", "é", "07"], pa.string_view()), ["07", "é"]),
    (pa.array([b"07", b"x", b"07"], pa.binary()), ["07", "x"]),
    (pa.array(["b", "a", "b"]).dictionary_encode(), ["b", "a"]),
    (pa.array([3, 1, 3]).dictionary_encode(), ["3", "1"]),
    (pa.DictionaryArray.from_arrays(pa.array([2, 0, 2], pa.int8()), ["a", "unused", "b"]), ["b", "a"]),
    (pa.array([Decimal("1.50"), Decimal("2.00"), Decimal("1.50")]), ["1.50", "2.00"]),
    (pa.array([date(2024, 5, 1), date(2023, 1, 1), date(2024, 5, 1)]), ["2024-05-01", "2023-01-01"]),
]


@pytest.mark.parametrize(("column", "expected"), TOKENS)
def test_ids_are_tokens_whatever_their_type(tmp_path: Path, column: Any, expected: list[str]) -> None:
    saved(tmp_path, {"user_id": column, "item_id": column})
    config = asked(tmp_path)
    check_files(config)
    dataset = create_dataset(config)
    assert list(dataset.field2id_token["user_id"]) == ["[PAD]", *expected]
    assert dataset.inter_feat["user_id"].tolist() == [1, 2, 1]


NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
SECONDS = 1714564800
NUMBERS: list[tuple[Any, list[float]]] = [
    (pa.array([NOON, NOON + timedelta(milliseconds=1)], pa.timestamp("ns", "UTC")), [SECONDS, SECONDS + 0.001]),
    (pa.array([NOON.replace(tzinfo=None)] * 2, pa.timestamp("s")), [SECONDS, SECONDS]),
    (pa.array([NOON, NOON], pa.timestamp("us", "Asia/Tokyo")), [SECONDS, SECONDS]),
    (pa.array([date(1970, 1, 2), date(1970, 1, 1)], pa.date32()), [86400, 0]),
    (pa.array([date(1970, 1, 2), date(1970, 1, 1)], pa.date64()), [86400, 0]),
    (pa.array(["1.5", "NA"]), [1.5, np.nan]),
    (pa.array(["1.5", "2"]).dictionary_encode(), [1.5, 2]),
    (pa.array([True, False]), [1, 0]),
    (pa.array([Decimal("1.25"), None]), [1.25, np.nan]),
    (pa.array([2**53 + 1, None]), [2.0**53, np.nan]),
]


@pytest.mark.parametrize(("column", "expected"), NUMBERS)
def test_numbers_and_times(tmp_path: Path, column: Any, expected: list[float]) -> None:
    saved(tmp_path, {"user_id": [1, 2], "item_id": [1, 2], "rating": column})
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dataset, "_data_filtering", lambda self: seen.append(self.inter_feat["rating"].to_numpy().copy()))
        create_dataset(asked(tmp_path))
    assert seen[0].dtype == np.float64
    assert np.array_equal(seen[0], expected, equal_nan=True)


def test_times_beyond_floats_stay_whole_numbers(tmp_path: Path) -> None:
    times = [1_700_000_000_000_000_003, 1_700_000_000_000_000_001, 1_700_000_000_000_000_002]
    saved(tmp_path, {"user_id": [1, 1, 1], "item_id": [1, 2, 3], "timestamp": times})
    dataset = create_dataset(asked(tmp_path))
    assert dataset.inter_feat["timestamp"].tolist() == times


def test_what_a_text_has_as_missing_is_missing(tmp_path: Path) -> None:
    saved(tmp_path, {"user_id": [1, 2, 3], "item_id": [1, 2, 3], "place": ["NA", "home", "NA"]})
    dataset = create_dataset(asked(tmp_path))
    assert dataset.field2id_token["place"].tolist() == ["[PAD]", "home"]
    assert dataset.inter_feat["place"].tolist() == [0, 1, 0]


def test_the_hash_of_a_dataset_is_of_the_content(tmp_path: Path) -> None:
    path = saved(tmp_path, FEW)
    first = data_hash(create_dataset(asked(tmp_path)))
    again = path.read_bytes()
    saved(tmp_path, {**FEW, "item_id": [7, 8, 7, 9, 9]})
    other = data_hash(create_dataset(asked(tmp_path)))
    path.write_bytes(again)
    assert first == data_hash(create_dataset(asked(tmp_path))) != other


def as_strings(texts: list[bytes]) -> Any:
    """Return a column of strings of these bytes, which need not be UTF-8."""
    return pa.Array.from_buffers(pa.string(), len(texts), pa.array(texts, pa.binary()).buffers())


LATIN = [b"a", "\xfc".encode("latin-1")]
LINE = "user_id:token\titem_id:token\nu1\t7\n"
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"item_id": [1]}, "DIR/toy.inter.parquet: no column 'user_id'; the columns are item_id."),
    ({"user": ["a"], "item_id": [1]}, "DIR/toy.inter.parquet: no column 'user_id'; the columns are user, item_id. Did"),
    ({"user_id:token": ["a"], "user_id": ["a"], "item_id": [1]}, "DIR/toy.inter.parquet: 'user_id' is there twice: re"),
    ({"user_id:tokn": ["a"], "item_id": [1]}, "DIR/toy.inter.parquet: 'user_id:tokn' has no type of token, token_seq,"),
    ({"user_id:float": [1], "item_id": [1]}, "DIR/toy.inter.parquet: 'user_id:float' holds ids, write user_id:token"),
    ({"user_id": ["a", None], "item_id": [1, 2]}, "DIR/toy.inter.parquet, row 2: user_id is missing: fill it in, or r"),
    ({"user_id": [1.0, float("nan")], "item_id": [1, 2]}, "DIR/toy.inter.parquet, row 2: user_id is missing: fill it"),
    (
        {"user_id": ["a", ""], "item_id": [1, 2]},
        "DIR/toy.inter.parquet, row 2: user_id is empty: fill it in, or remove the row",
    ),
    ({"user_id": ["a", "b", "NA"], "item_id": [1, 2, 3]}, "DIR/toy.inter.parquet, row 3: user_id 'NA' would be read a"),
    ({"user_id": ["a", "b "], "item_id": [1, 2]}, "DIR/toy.inter.parquet, row 2: user_id 'b ' has blanks around it: r"),
    ({"user_id": ["a", "b\tc"], "item_id": [1, 2]}, r"DIR/toy.inter.parquet, row 2: user_id 'b\tc' has a control char"),
    ({"user_id": ["a"], "item_id": [1], "place": ["x\0y"]}, r"DIR/toy.inter.parquet, row 1: place 'x\x00y' has a cont"),
    ({"user_id": LATIN, "item_id": [1, 2]}, r"DIR/toy.inter.parquet, row 2: b'\xfc' in user_id is not valid UTF-8: w"),
    ({"user_id": as_strings(LATIN), "item_id": [1, 2]}, r"DIR/toy.inter.parquet, row 2: b'\xfc' in user_id is not va"),
    (
        {"user_id": pa.array(LATIN).dictionary_encode(), "item_id": [1, 2]},
        r"DIR/toy.inter.parquet, row 2: b'\xfc' in user_id is not valid UTF-8: write the column as text",
    ),
    (
        {"user_id": [1, 2], "item_id": [1, 2], "place": LATIN},
        r"DIR/toy.inter.parquet, row 2: b'\xfc' in place is not valid UTF-8: write the column as text",
    ),
    ({"user_id": [[1]], "item_id": [1]}, "DIR/toy.inter.parquet: 'user_id' is of type list<element: int64>, and only "),
    ({"user_id": [1], "item_id": [1], "tags": [["a"]]}, "DIR/toy.inter.parquet: 'tags' is of type list<element: strin"),
    ({"user_id": [1], "item_id": [1], "tags:token_seq": ["a b"]}, "DIR/toy.inter.parquet: 'tags:token_seq' is of type"),
    ({"user_id": [1], "item_id": [1], "for": [timedelta(1)]}, "DIR/toy.inter.parquet: 'for' is of type duration[us], "),
    ({"user_id": [1, 2], "item_id": [1, 2], "rating": ["1", "one"]}, "DIR/toy.inter.parquet, row 2: invalid number 'o"),
    ({"user_id": [1, 2], "item_id": [1, 2], "timestamp": [3, None]}, "DIR/toy.inter.parquet, row 2: timestamp is miss"),
    ({"user_id": [1], "item_id": [1], "timestamp": [float("inf")]}, "DIR/toy.inter.parquet, row 1: timestamp is missi"),
    ({"user_id": pa.array([], pa.int64()), "item_id": pa.array([], pa.int64())}, "DIR/toy.inter.parquet: has no rows"),
]


@pytest.mark.parametrize(("columns", "expected"), MISTAKES)
@pytest.mark.parametrize("batch", [1, 1000])
def test_what_is_wrong_and_where(
    tmp_path: Path, columns: dict[str, Any], expected: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recbole_mm.data.parquet.BATCH_ROWS", batch)
    saved(tmp_path, columns)
    found = refused(tmp_path, eval_args={"order": "RO"})
    assert len(found) == 1
    assert found[0].startswith(expected)
    assert "\n" not in found[0]


def test_what_is_not_loaded_may_be_a_list(tmp_path: Path) -> None:
    saved(tmp_path, {**FEW, "tags": [["a"]] * 5})
    for changes in ({"unload_col": {"inter": ["tags"]}}, {"load_col": {"inter": ["user_id", "item_id"]}}):
        assert refused(tmp_path, **changes) == []
        assert "tags" not in create_dataset(asked(tmp_path, **changes)).inter_feat
    assert refused(tmp_path)[0].endswith("convert the column, or name 'tags' in unload_col")


def test_bytes_that_are_no_parquet(tmp_path: Path) -> None:
    path = saved(tmp_path, FEW)
    content = path.read_bytes()
    for broken in (b"user_id,item_id\n", b"", content[:60], content[:4] + bytes(40) + content[44:]):
        path.write_bytes(broken)
        found = refused(tmp_path)
        assert len(found) == 1
        assert found[0].startswith("DIR/toy.inter.parquet: ")
        with pytest.raises(InputError, match=r"toy\.inter\.parquet"):
            create_dataset(asked(tmp_path))


def test_both_forms_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, FEW)
    (tmp_path / "toy" / "toy.inter").write_text(LINE, encoding="utf-8")
    expected = (
        "DIR has both toy.inter and toy.inter.parquet, and which of the two is meant is unknown: remove or rename one"
    )
    assert refused(tmp_path) == [expected]
    with pytest.raises(InputError, match="which of the two is meant is unknown"):
        create_dataset(asked(tmp_path))


def test_none_is_there(tmp_path: Path) -> None:
    saved(tmp_path, FEW, "other.inter.parquet")
    assert refused(tmp_path) == ["DIR/toy.inter does not exist; the folder has other.inter.parquet"]


def test_ids_that_the_items_do_not_have(tmp_path: Path) -> None:
    saved(tmp_path, FEW)
    (tmp_path / "toy" / "toy.item").write_text("item_id:token\nx\n", encoding="utf-8")
    assert refused(tmp_path, load_col={"inter": ["user_id", "item_id"], "item": ["item_id"]}) == [
        "DIR: toy.inter and toy.item share no item_id, so every interaction would be filtered out: toy.inter has '7', "
        "toy.item has 'x'"
    ]


class TestCommands:
    """The command line on ten users, each of whom has six of ten items, in their order by time."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "dataset").mkdir()
        times = [datetime(2024, 1, 1 + place, user, tzinfo=timezone.utc) for user in range(10) for place in range(6)]
        table = pa.table({
            "user_id": pa.array([f"u{user}" for user in range(10) for _ in range(6)]).dictionary_encode(),
            "item_id": [(user + place) % 10 for user in range(10) for place in range(6)],
            "timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
        })  # fmt: skip
        saved(tmp_path / "dataset", table)
        given = {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
        (tmp_path / "dataset" / "toy" / "toy.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
        return tmp_path

    def test_inspect(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["inspect", "toy", "--model=BPR", "--data_path=dataset"]) == 0
        assert "60 interactions" in capsys.readouterr().out.replace(",", "")

    def test_run_and_recommend(self, folder: Path) -> None:
        run = ["run", "--model=BPR", "--dataset=toy", "--data_path=dataset", "--epochs=1", "--gpu_id="]
        assert cli.main([*run, "--checkpoint_dir=saved"]) == 0
        (made,) = (path.parent for path in folder.glob("saved/**/result.json"))
        assert cli.main(["recommend", str(made), "--k=2", "--out=lists.csv"]) == 0
        assert len(Path("lists.csv").read_text(encoding="utf-8").splitlines()) == 1 + 10 * 2

    def test_split(self, folder: Path) -> None:
        command = ["split", "toy", "--cold-items=0.2", "--data_path=dataset"]
        place = folder / "dataset" / "toy"
        assert cli.main([*command, "--name=table"]) == 0
        whole = pq.read_table(place / "toy.inter.parquet")
        lines = [f"{row['user_id']}\t{row['item_id']}\t{row['timestamp'].timestamp()}" for row in whole.to_pylist()]
        text = "\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines])
        (place / "toy.inter.parquet").unlink()
        (place / "toy.inter").write_text(f"{text}\n", encoding="utf-8")
        assert cli.main([*command, "--name=text"]) == 0
        for part in ("train", "valid", "test"):
            made = pq.read_table(place / f"toy.table.{part}.inter.parquet")
            assert made.schema.equals(whole.schema)
            _, *rows = (place / f"toy.text.{part}.inter").read_text(encoding="utf-8").splitlines()
            assert [f"{row['user_id']}\t{row['item_id']}" for row in made.to_pylist()] == [
                row.rpartition("\t")[0] for row in rows
            ]

    def test_a_split_in_the_place_of_one_of_text(self, folder: Path) -> None:
        command = ["split", "toy", "--cold-users=0.2", "--name=cold", "--data_path=dataset"]
        (folder / "dataset/toy/toy.cold.train.inter").write_text(LINE, encoding="utf-8")
        assert cli.main(command) == 2
        assert cli.main([*command, "--overwrite"]) == 0
        setting = yaml.safe_load((folder / "dataset/toy/cold.yaml").read_text(encoding="utf-8"))
        configure(Request(model="BPR", dataset="toy", settings={"data_path": "dataset", **setting}))
