from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.config import Config
from recbole.utils import ModelType
from test_checks import Settings, message

from recbole_mm.base.errors import InputError
from recbole_mm.data import atomic
from recbole_mm.data.by_columns import PlainFile
from recbole_mm.data.file_checks import check_files
from recbole_mm.data.one_file import check_file

INTER = "user_id:token\titem_id:token\trating:float\n1\t5\t3.5\n2\t6\t4\n"


def folder(tmp_path: Path, files: dict[str, str], **given: Any) -> Settings:
    """Write `ml.<suffix>` files, and return the settings that read them."""
    path = tmp_path / "ml"
    path.mkdir()
    for suffix, text in files.items():
        (path / f"ml.{suffix}").write_text(text, encoding="utf-8")
    usual = {
        "data_path": str(path),
        "dataset": "ml",
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "field_separator": "\t",
        "seq_separator": " ",
        "filter_inter_by_user_or_item": True,
    }
    return Settings({**usual, **given})


def refusal(config: Settings) -> str:
    """Return the message without the folder."""
    return message(check_files, config).replace(config["data_path"], "DIR")


@pytest.mark.parametrize(
    ("files", "given"),
    [
        ({"inter": INTER}, {}),
        ({"inter": INTER.removesuffix("\n")}, {"load_col": {"inter": ["user_id", "item_id"]}}),
        ({"inter": INTER + "\n  \n3\t7\tNA\n4\t8\t\n"}, {}),
        ({"inter": INTER.replace("\t", ",")}, {"field_separator": ","}),
        ({"inter": INTER.replace("\t", "::")}, {"field_separator": "::"}),
        ({"inter": INTER + '"a ""b"""\t"tab\there"\t1\nmid"dle\t7\t2\n'}, {}),
        ({"inter": INTER.replace("3.5", "text")}, {"load_col": {"inter": ["user_id", "item_id"]}}),
        ({"inter": INTER.replace("3.5", "text")}, {"unload_col": {"inter": ["rating"]}}),
        ({"inter": INTER, "item": "broken"}, {"load_col": {"inter": "*"}}),
        ({"inter": INTER, "item": "item_id:token\tx:float_seq\n5\t1 2  3\n6\t\n7\tnan\n"}, {}),
        ({"train.inter": INTER, "test.inter": INTER}, {"benchmark_filename": ["train", "test"]}),
        ({"inter": INTER, "item": "item_id:token\n8\n"}, {"filter_inter_by_user_or_item": False}),
        ({"inter": INTER, "emb": "iid:token\temb:float_seq\n5\t1 2\n"}, {"additional_feat_suffix": "emb"}),
        ({"inter": "a:token\tb:float\nx\t1\n"}, {"USER_ID_FIELD": None, "ITEM_ID_FIELD": None}),
    ],
)
def test_good_files_pass(tmp_path: Path, files: dict[str, str], given: dict[str, Any]) -> None:
    check_files(folder(tmp_path, files, **given))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    config = Settings(data_path=str(tmp_path / "absent"), dataset="absent")
    assert message(check_files, config) == (
        f"{tmp_path / 'absent'}: the folder of dataset 'absent' does not exist: make it or set data_path"
    )


@pytest.mark.parametrize(
    ("files", "given", "expected"),
    [
        (
            {"b.inter": INTER, "a.inter": INTER},
            {},
            "DIR/ml.inter does not exist; the folder has ml.a.inter, ml.b.inter",
        ),
        ({"item": "item_id:token\n5\n"}, {}, "DIR/ml.inter does not exist; the folder has no .inter file"),
        (
            {"train.inter": INTER},
            {"benchmark_filename": ["train", "test"]},
            "DIR/ml.test.inter does not exist; the folder has ml.train.inter",
        ),
        (
            {"inter": INTER},
            {"additional_feat_suffix": ["emb"]},
            "DIR/ml.emb does not exist, but the settings ask for its features",
        ),
        (
            {"inter": INTER, "kg": "head_id:token\n1\n"},
            {"MODEL_TYPE": ModelType.KNOWLEDGE},
            "DIR/ml.link does not exist, but the settings ask for its features",
        ),
        (
            {"inter": INTER},
            {"load_col": {"item": ["item_id"]}},
            "load_col has no 'inter': list there the columns to load of DIR/ml.inter",
        ),
        (
            {"inter": INTER},
            {"load_col": {"inter": "*", "item": ["item_id"]}},
            "DIR/ml.item does not exist, but the settings ask for its features",
        ),
        (
            {"inter": INTER},
            {"load_col": {"inter": "*", "itm": ["item_id"]}},
            "DIR/ml.itm does not exist, but the settings ask for its features. Did you mean 'item'?",
        ),
        (
            {"inter.gz": ""},
            {},
            "DIR/ml.inter does not exist, and ml.inter.gz is not read as it is: unpack it with "
            "gunzip -k DIR/ml.inter.gz",
        ),
        (
            {"train.inter": INTER, "test.inter.zip": ""},
            {"benchmark_filename": ["train", "test"]},
            "DIR/ml.test.inter does not exist, and ml.test.inter.zip is not read as it is: unpack it with "
            "unzip DIR/ml.test.inter.zip -d DIR",
        ),
        (
            {"inter": INTER, "item.gz": ""},
            {"load_col": {"inter": "*"}},
            "DIR/ml.item does not exist, and ml.item.gz is not read as it is: unpack it with gunzip -k DIR/ml.item.gz",
        ),
        (
            {"inter": INTER, "user.bz2": ""},
            {},
            "DIR/ml.user does not exist, and ml.user.bz2 is not read as it is: unpack it with "
            "bunzip2 -k DIR/ml.user.bz2",
        ),
        (
            {"inter": INTER, "kg.xz": "", "link": "item_id:token\tentity_id:token\n5\ta\n"},
            {"MODEL_TYPE": ModelType.KNOWLEDGE, "TIME_FIELD": None},
            "DIR/ml.kg does not exist, and ml.kg.xz is not read as it is: unpack it with unxz -k DIR/ml.kg.xz",
        ),
    ],
)
def test_a_missing_file_is_refused(tmp_path: Path, files: dict[str, str], given: dict[str, Any], expected: str) -> None:
    assert refusal(folder(tmp_path, files, **given)) == expected


def test_atomic_files_are_those_that_are_loaded(tmp_path: Path) -> None:
    files = dict.fromkeys(("train.inter", "test.inter", "user", "item", "emb", "kg"), INTER)
    config = folder(tmp_path, files, benchmark_filename=["train", "test"], additional_feat_suffix="emb")
    config["load_col"] = {"inter": "*", "item": "*", "emb": "*"}
    names = [path.name for path in atomic.atomic_files(config)]
    assert names == ["ml.train.inter", "ml.test.inter", "ml.item", "ml.emb"]


COLUMNS = "the columns are user_id, item_id, rating"


@pytest.mark.parametrize(
    ("head", "given", "expected"),
    [
        ("user_id\titem_id:token", {}, "'user_id' has no type, write user_id:token"),
        (
            "user_id:tokn\titem_id:token",
            {},
            "'user_id:tokn' has no type of token, token_seq, float, float_seq. Did you mean 'token'?",
        ),
        (
            "user_id:token,item_id:token",
            {},
            'looks comma-separated: set field_separator: "," or convert it to tabs',
        ),
        ("user_id,item_id", {}, 'looks comma-separated: set field_separator: "," or convert it to tabs'),
        (
            "user_id:token\titem_id:token",
            {"field_separator": ","},
            'looks tab-separated: set field_separator: "\\t" or convert it to commas',
        ),
        ("", {}, "no header, such as user_id:token\titem_id:token"),
        ("\ufeffuser_id:token\titem_id:token", {}, "starts with a byte-order mark: set encoding: utf-8-sig"),
        ("user_id:token\tuser_id:token", {}, "'user_id' is there twice"),
        (
            "user:token\titem_id:token",
            {},
            "no column 'user_id'; the columns are user, item_id. Did you mean 'user'?",
        ),
        ("user_id:token\tid:token", {}, "no column 'item_id'; the columns are user_id, id."),
        ("user_id:float\titem_id:token", {}, "'user_id:float' holds ids, write user_id:token"),
        (
            "user_id:token\titem_id:token\trating:float",
            {"load_col": {"inter": ["user_id", "item_id", "ratings"]}},
            f"no column for load_col.inter, 'ratings'; {COLUMNS}. Did you mean 'rating'?",
        ),
        (
            "user_id:token\titem_id:token\trating:float",
            {"unload_col": {"inter": ["ratings"]}},
            f"no column for unload_col.inter, 'ratings'; {COLUMNS}. Did you mean 'rating'?",
        ),
        (
            "user_id:token\titem_id:token\trating:token",
            {"TIME_FIELD": "rating", "eval_args": {"order": "TO"}},
            "'rating:token' holds times, write rating:float",
        ),
    ],
)
def test_a_header_that_recbole_cannot_read_is_refused(
    tmp_path: Path, head: str, given: dict[str, Any], expected: str
) -> None:
    config = folder(tmp_path, {"inter": f"{head}\n1\t2\t3\n"}, **given)
    assert refusal(config) == f"DIR/ml.inter, line 1: {expected}"


@pytest.mark.parametrize(
    "given", [{"load_col": {"inter": ["item_id", "rating"]}}, {"unload_col": {"inter": ["user_id"]}}]
)
def test_an_id_column_that_is_not_loaded_is_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    assert refusal(folder(tmp_path, {"inter": INTER}, **given)) == (
        "load_col and unload_col leave out 'user_id' of DIR/ml.inter: it must be loaded"
    )


@pytest.mark.parametrize(
    "given",
    [
        {"MODEL_TYPE": ModelType.SEQUENTIAL},
        {"eval_args": {"order": "TO"}},
    ],
)
def test_a_time_that_the_split_needs_is_asked_for(tmp_path: Path, given: dict[str, Any]) -> None:
    text = INTER.replace("rating", "timestamp")
    columns = {"inter": ["user_id", "item_id"]}
    config = folder(tmp_path, {"inter": text}, TIME_FIELD="timestamp", load_col=columns, **given)
    assert refusal(config) == ("load_col and unload_col leave out 'timestamp' of DIR/ml.inter: it must be loaded")
    config["load_col"] = None
    check_files(config)
    config["TIME_FIELD"] = "zzz"
    assert refusal(config) == ("DIR/ml.inter, line 1: no column 'zzz'; the columns are user_id, item_id, timestamp.")


def test_columns_that_only_recbole_asks_for_may_be_absent(tmp_path: Path) -> None:
    class WithDefaults(Settings):
        external_config_dict: dict[str, Any]
        dataset_config_dict: dict[str, Any]

    config = WithDefaults(folder(tmp_path, {"inter": INTER}))
    config["load_col"] = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id"]}
    config.external_config_dict = config.dataset_config_dict = {}
    check_files(config)
    config.dataset_config_dict = {"load_col": {"inter": ["user_id"]}}  # which RecBole's own has replaced
    check_files(config)
    for name in ("external_config_dict", "dataset_config_dict"):
        config.external_config_dict = config.dataset_config_dict = {}
        setattr(config, name, {"load_col": config["load_col"]})
        assert refusal(config) == f"DIR/ml.inter, line 1: no column for load_col.inter, 'timestamp'; {COLUMNS}."


def test_the_load_col_of_a_data_set_s_own_yaml_counts_as_the_user_s(tmp_path: Path) -> None:
    def made(model: str, own: str, **given: Any) -> Config:
        (path / "ml.yaml").write_text(f"load_col: {own}")
        return Config(model, "ml", config_dict={"data_path": str(tmp_path), "gpu_id": "", **given})

    path = Path(folder(tmp_path, {"inter": INTER})["data_path"])
    expected = f"DIR/ml.inter, line 1: no column for load_col.inter, 'ratings'; {COLUMNS}. Did you mean 'rating'?"
    config = made("BPR", "{inter: [user_id, item_id, ratings]}")
    assert message(check_files, config).replace(str(path), "DIR") == expected
    check_files(made("BPR", "{inter: [user_id, item_id, rating]}"))
    check_files(made("BPR", "{inter: [user_id, item_id, ratings]}", load_col={"inter": ["user_id", "item_id"]}))
    (path / "ml.kg").write_text("head_id:token\trelation_id:token\ttail_id:token\na\tb\tc\n")
    (path / "ml.link").write_text("item_id:token\tentity_id:token\n5\ta\n")
    check_files(made("KGAT", "{inter: [user_id, item_id]}"))  # RecBole's own default asks for a timestamp


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("1\t2", "line 5: 2 fields, but the header has 3"),
        ("1\t2\t3\t4\t5", "line 5: 5 fields, but the header has 3"),
        (
            "NA\t2\t3",
            "line 5: user_id 'NA' would be read as missing and dropped: rename it, e.g. 'id_NA'",
        ),
        (
            "1\t\t3",
            "line 5: item_id is empty: fill it in, or remove the line",
        ),
        ("1\t \t3", "line 5: item_id is empty: fill it in, or remove the line"),
        ("1 \t2\t3", "line 5: user_id '1 ' has blanks around it: remove them"),
        ("1\t 2\t3", "line 5: item_id ' 2' has blanks around it: remove them"),
        ("[PAD]\t2\t3", "line 5: user_id '[PAD]' is RecBole's own name for padding: rename it, e.g. 'id_PAD'"),
        ("1\t[PAD]\t3", "line 5: item_id '[PAD]' is RecBole's own name for padding: rename it, e.g. 'id_PAD'"),
        ("1\t2\tgood", "line 5: invalid number 'good' in rating"),
        ('1\t"2\t3', 'line 5: a quote (") at the start of a field is never closed: remove it'),
        ('1\t"2"b\t3', "line 5: '\t' expected after '\"': remove the quotes (\")"),
    ],
)
@pytest.mark.parametrize("n_more", [0, 3000])  # the second needs many blocks
def test_a_row_that_recbole_misreads_is_refused(tmp_path: Path, row: str, expected: str, n_more: int) -> None:
    good = "1\t5\t3.5\n"
    text = INTER + "\n" + f"{row}\n" + good * n_more
    assert refusal(folder(tmp_path, {"inter": text})) == f"DIR/ml.inter, {expected}"
    late = INTER + good * n_more + "\n" + f"{row}\n"
    (tmp_path / "ml" / "ml.inter").write_text(late)
    config = Settings(folder_of(tmp_path))
    assert refusal(config) == f"DIR/ml.inter, {expected.replace('line 5', f'line {5 + n_more}')}"


def folder_of(tmp_path: Path) -> Settings:
    """Return the settings of files that are there already."""
    return Settings(data_path=str(tmp_path / "ml"), dataset="ml", USER_ID_FIELD="user_id", ITEM_ID_FIELD="item_id")


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("", "rating is empty: fill it in, or remove the line"),
        ("NA", "invalid time 'NA' in rating: write a finite number, or remove the line"),
        ("nan", "invalid time 'nan' in rating: write a finite number, or remove the line"),
        ("inf", "invalid time 'inf' in rating: write a finite number, or remove the line"),
        ("1e999", "invalid time '1e999' in rating: write a finite number, or remove the line"),
        ("noon", "invalid time 'noon' in rating: write a finite number, or remove the line"),
    ],
)
def test_a_time_that_is_none_is_refused(tmp_path: Path, time: str, expected: str) -> None:
    config = folder(tmp_path, {"inter": f"{INTER}3\t7\t{time}\n"}, TIME_FIELD="rating")
    assert refusal(config) == f"DIR/ml.inter, line 4: {expected}"
    config["load_col"] = {"inter": ["user_id", "item_id"]}
    check_files(config)


SEQUENTIAL = {"MODEL_TYPE": ModelType.SEQUENTIAL}
SPLIT = {"benchmark_filename": ["train", "test"]}
SAME = "the rating 3: nothing can be ordered by time."
LEAVE_OUT = "Leave rating out of load_col, so that the order of the lines counts, or write real times."


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ""),
        ({"eval_args": {"order": "RO", "split": {"RS": [8, 1, 1]}}}, ""),
        (
            {"eval_args": {"order": "TO"}},
            f"DIR: all 2 interactions in ml.inter have {SAME} Write real times, or use a split without them "
            "(eval_args.order: RO).",
        ),
        (
            {"eval_args": {"order": "RO", "split": {"TS": [8, 1, 1]}}},
            f"DIR: all 2 interactions in ml.inter have {SAME} Write real times, or use a split without them "
            "(eval_args.order: RO).",
        ),
        (
            SEQUENTIAL,
            f"DIR: all 2 interactions in ml.inter have {SAME} Write real times, or give the split in files of its own "
            "(benchmark_filename) with rating left out of load_col: then the order of the lines counts.",
        ),
        ({**SPLIT, "eval_args": {"order": "TO"}}, ""),
        ({**SPLIT, **SEQUENTIAL}, f"DIR: all 4 interactions in ml.train.inter, ml.test.inter have {SAME} {LEAVE_OUT}"),
    ],
)
def test_one_time_for_all_is_refused_where_it_should_order(
    tmp_path: Path, given: dict[str, Any], expected: str
) -> None:
    text = "user_id:token\titem_id:token\trating:float\n1\t5\t3\n2\t6\t3.0\n"
    config = folder(tmp_path, dict.fromkeys(("inter", "train.inter", "test.inter"), text), TIME_FIELD="rating", **given)
    if expected:
        assert refusal(config) == expected
    path = tmp_path / "ml" / ("ml.test.inter" if "benchmark_filename" in given else "ml.inter")
    path.write_text(text.replace("3.0", "3.5"))
    check_files(config)


def test_an_interval_of_numbers_is_checked_and_a_list_of_words_is_not(tmp_path: Path) -> None:
    config = folder(tmp_path, {"inter": INTER}, val_interval={"rating": "3", "user_id": ["1", "2"]})
    assert refusal(config).startswith("invalid interval '3' in val_interval.rating: write [5,inf)")
    config["val_interval"] = {"rating": "[3,inf)", "user_id": ["1", "2"]}
    check_files(config)


@pytest.mark.parametrize("value", ["1", 1, None, [1, "2"], [["1"]], {"1": "2"}])
def test_values_of_a_token_that_are_no_list_of_texts_are_refused(tmp_path: Path, value: Any) -> None:
    config = folder(tmp_path, {"inter": INTER}, val_interval={"user_id": value})
    assert refusal(config) == (
        f"val_interval.user_id is {value!r}: it must be a list of the texts to keep, such as ['a', '7']"
    )


@pytest.mark.parametrize("quote", ["", '"'])  # read by columns, and line by line
@pytest.mark.parametrize(("suffix", "field", "other"), [("item", "item_id", "5"), ("user", "user_id", "1")])
def test_an_id_that_is_there_twice_is_refused(
    tmp_path: Path, quote: str, suffix: str, field: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recbole_mm.data.by_columns.KNOWN_ROWS", 1)
    monkeypatch.setattr("recbole_mm.data.by_columns.BLOCK_BYTES", 60)
    rows = "".join(f"{number}\tx\n" for number in range(100, 160))
    text = f"{field}:token\tclass:token\n{quote}{other}{quote}\ty\n{rows}"
    config = folder(tmp_path, {"inter": INTER, suffix: text})
    check_files(config)
    (tmp_path / "ml" / f"ml.{suffix}").write_text(f"{text}150\tz\n", encoding="utf-8")
    assert (
        refusal(config) == f"DIR/ml.{suffix}, line 63: {field} '150' stands in an earlier line, too: keep one of them"
    )


@pytest.mark.parametrize("value", ["0.1 x 0.3", "NA 1"])
def test_text_in_a_float_list_is_refused(tmp_path: Path, value: str) -> None:
    files = {"inter": INTER, "item": f"item_id:token\tx:float_seq\n5\t1 2\n6\t{value}\n"}
    word = "x" if "x" in value else "NA"
    assert refusal(folder(tmp_path, files)) == f"DIR/ml.item, line 3: invalid number '{word}' in x"


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    head = INTER.splitlines()[0]
    assert refusal(folder(tmp_path, {"inter": head})) == "DIR/ml.inter: has a header but no rows"


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    config = folder(tmp_path, {"inter": INTER})
    (tmp_path / "ml" / "ml.inter").write_bytes(INTER.encode() + "é\t5\t1\n".encode("latin-1"))
    assert refusal(config) == ("DIR/ml.inter: not valid utf-8 (invalid continuation byte): set encoding to what it is")
    config["encoding"] = "latin-1"
    check_files(config)
    config["encoding"] = "utf-16"  # which is refused for want of a byte-order mark
    assert refusal(config) == (
        "DIR/ml.inter: not valid utf-16 (UTF-16 stream does not start with BOM): set encoding to what it is"
    )


@pytest.mark.parametrize(
    ("suffix", "text", "expected"),
    [
        (
            "item",
            "item_id:token\nz9\nz8\n",
            "DIR: ml.inter and ml.item share no item_id, so every interaction would be filtered out: "
            "ml.inter has '5', ml.item has 'z8'",
        ),
        (
            "user",
            "user_id:token\nu1\n",
            "DIR: ml.inter and ml.user share no user_id, so every interaction would be filtered out: "
            "ml.inter has '1', ml.user has 'u1'",
        ),
    ],
)
def test_features_of_no_known_id_are_refused(tmp_path: Path, suffix: str, text: str, expected: str) -> None:
    assert refusal(folder(tmp_path, {"inter": INTER, suffix: text})) == expected


@pytest.mark.parametrize("quote", ["", '"'])  # read by columns, and line by line
@pytest.mark.parametrize("last", ["z9", "8"])
def test_ids_are_looked_for_in_all_rows(tmp_path: Path, quote: str, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recbole_mm.data.by_columns.KNOWN_ROWS", 1)
    monkeypatch.setattr("recbole_mm.data.by_columns.BLOCK_BYTES", 60)
    rows = "".join(f"{user}\t7\n" for user in range(100, 160))
    files = {"inter": f"user_id:token\titem_id:token\n{quote}0{quote}\t7\n{rows}1\t{last}\n"}
    config = folder(tmp_path, files | {"item": "item_id:token\nz8\nz9\n"}, TIME_FIELD="timestamp")
    config["eval_args"] = {"order": "RO"}
    if last == "z9":
        check_files(config)
    else:
        assert refusal(config) == (
            "DIR: ml.inter and ml.item share no item_id, so every interaction would be filtered out: "
            "ml.inter has '7', ml.item has 'z8'"
        )


def test_missing_values_are_those_of_pandas() -> None:
    words = [*sorted(atomic.MISSING), "NAN", "none", "Null", "-", "0", "na", "N.A.", "?", "inf"]
    text = "id\tx\n" + "".join(f"{word}\t1\n" for word in words)
    read = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, engine="python")
    assert [word in atomic.MISSING for word in words] == list(read["id"].isna())


field = st.text(st.sampled_from('ab"1 ,'), min_size=1, max_size=4).filter(
    lambda text: text.strip() and not text.startswith(" ")
)


@settings(deadline=None, max_examples=25)
@given(rows=st.lists(st.tuples(field, field), min_size=1, max_size=5))
def test_rows_are_split_as_pandas_does(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("rows") / "ml.inter"
    path.write_text("a\tb\n" + "".join("\t".join(row) + "\n" for row in rows))
    try:
        _, *ours = [cells for _, cells in atomic.read_rows(path)]
    except InputError as error:
        assert "remove" in str(error)  # noqa: PT017
        return
    if any(len(row) != 2 for row in ours):
        return  # refused for its length
    read = pd.read_csv(path, sep="\t", dtype=object, engine="python", keep_default_na=False)
    assert ours == read.to_numpy().tolist()


cell = st.one_of(
    st.sampled_from(
        ["u1", "i 2", "NA", "", " ", "[PAD]", "nan", "inf", "nan(1)", "1_000", "+1", "0x1p3", "é", "\u2028"]
    ),
    st.floats().map(str),
    st.text("ab1.-e \x00\x0b\x1c", max_size=4),
)


@settings(deadline=None, max_examples=200)
@given(
    rows=st.lists(st.lists(st.sampled_from(["u1", "i2", "7", "8.5"]) | cell, min_size=3, max_size=4), max_size=4),
    end=st.sampled_from(["", "\n", "\n\n", "\r\n"]),
)
def test_by_columns_nothing_passes_that_is_refused_by_lines(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], end: str
) -> None:
    path = tmp_path_factory.mktemp("columns")
    lines = "".join("\t".join(row) + "\n" for row in rows).removesuffix("\n") + end
    given = folder(path, {"inter": "user_id:token\titem_id:token\ttimestamp:float\n" + lines}, TIME_FIELD="timestamp")
    given["eval_args"] = {"order": "TO"}
    found: list[Any] = []
    for by_columns in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not by_columns:
                patch.setattr(PlainFile, "header", lambda *_: None)
            try:
                content = check_file(path / "ml" / "ml.inter", given)
                ids = {field: sorted(values.to_pylist()) for field, values in content.ids.items()}
                found.append((ids, content.n_rows, len(content.times)))
            except InputError as error:
                found.append(str(error))
    assert found[0] == found[1]
