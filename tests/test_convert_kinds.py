"""Every kind of source becomes the dataset that it was, to the letter, and trains."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import scipy.sparse
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.config import Config
from recbole.data.utils import create_dataset
from safetensors.numpy import save_file

import recbole_mm  # noqa: F401 (plugs in)
from recbole_mm.commands import cli

FEATURES = np.arange(8, dtype=np.float32).reshape(4, 2) + 1


def convert(kind: str, source: Path | str, *more: str, out: str = "dataset/toy") -> dict[str, str]:
    """Convert through the command line; return the content of the text files."""
    assert cli.main(["convert", kind, str(source), f"--out={out}", *more]) == 0
    return {file.name: file.read_text() for file in Path(out).iterdir() if file.suffix in (".inter", ".item", ".yaml")}


def text(*rows: str, separator: str = "\t") -> str:
    return "".join(row.replace(" ", separator) + "\n" for row in rows)


def described(files: dict[str, str], name: str = "toy") -> Any:
    return yaml.safe_load(files[f"{name}.yaml"])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def test_mmrec_keeps_the_split_and_every_column(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["userID itemID rating timestamp x_label", "0 2 5.0 10 0", "1 0 4.5 11 2", "0 0 3 12 1", "1 2 1 13 0"]
    (source / "baby.inter").write_text(text(*rows))
    np.save(source / "image_feat.npy", FEATURES)
    np.save(source / "text_feat.npy", FEATURES[:, :1].astype(np.float16))
    np.save(source / "other.npy", FEATURES)
    files = convert("mmrec", source)
    header = "user_id:token item_id:token rating:float timestamp:float"
    assert files["toy.train.inter"] == text(header, "0 2 5.0 10", "1 2 1 13")
    assert files["toy.valid.inter"] == text(header, "0 0 3 12")
    assert files["toy.test.inter"] == text(header, "1 0 4.5 11")
    assert files["toy.item"] == text("item_id:token", "0", "1", "2", "3")
    assert described(files) == {
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"], "item": ["item_id"]},
        "modalities": {"image": {"file": "image.npy"}, "text": {"file": "text.npy"}},
        "normalize": "l2",
        "missing_modality": "mean",
    }
    assert len(files) == 5
    np.testing.assert_array_equal(np.load("dataset/toy/image.npy"), FEATURES)
    assert np.load("dataset/toy/text.npy").dtype == np.float16
    assert capsys.readouterr().out.splitlines() == [
        "dataset/toy: 2 users, 4 items (2 without interactions), interactions: train 2, valid 1, test 1",
        "  image: 4 x 2, from image_feat.npy",
        "  text: 4 x 1, from text_feat.npy",
        "  assumed: row i of image_feat.npy is item i",
        "  assumed: row i of text_feat.npy is item i",
        "next: recbole-mm inspect toy",
        "      recbole-mm run --model=MHCR --dataset=toy",
    ]


def test_mmrec_without_labels_is_not_split(source: Path) -> None:
    (source / "x.inter").write_text(text("user_id Item_ID", "a 1", "b 0"))
    np.save(source / "image_feat.npy", FEATURES)
    files = convert("mmrec", source)
    assert files["toy.inter"] == text("user_id:token item_id:token", "a 1", "b 0")
    assert "benchmark_filename" not in described(files)


PARTS = {"train": [(0, 1), (1, 3), (2, 0)], "valid": [(0, 0)], "test": [(2, 1), (2, 3)]}


@pytest.mark.parametrize("kind", ["diffmm", "mmssl"])
@pytest.mark.parametrize("form", ["coo_matrix", "csr_array", "json", "bare"])
def test_matrices(source: Path, kind: str, form: str) -> None:
    bare = {"train": "train_mat", "valid": "valid_mat", "test": "test_mat"}
    usual = {"train": "trnMat.pkl", "valid": "valMat.pkl", "test": "tstMat.pkl"}
    for part, pairs in PARTS.items():
        users, items = zip(*pairs, strict=True)
        if form == "json":
            lists: dict[str, list[int]] = {}
            for user, item in pairs:
                lists.setdefault(str(user), []).append(item)
            (source / f"{'val' if part == 'valid' else part}.json").write_text(json.dumps(lists))
            continue
        matrix = scipy.sparse.coo_matrix((np.ones(len(pairs)), (users, items)), shape=(3, 4))
        made = matrix if form == "bare" else getattr(scipy.sparse, form)(matrix)
        (source / (bare if form == "bare" else usual)[part]).write_bytes(pickle.dumps(made))
    np.save(source / "audio_feat.npy", FEATURES)
    files = convert(kind, source)
    for part, pairs in PARTS.items():
        rows = [f"{user} {item}" for user, item in pairs]
        assert files[f"toy.{part}.inter"] == text("user_id:token item_id:token", *rows)
    assert files["toy.item"] == text("item_id:token", "0", "1", "2", "3")
    assert described(files)["modalities"] == {"audio": {"file": "audio.npy"}}


def test_microlens_counts_from_one_and_cleans_titles(source: Path) -> None:
    (source / "ML_pairs.csv").write_text("user,item,timestamp\nu7,4,1583378629552\nu7,2,1583378629553\n")
    with (source / "ML_title_en.csv").open("w", newline="") as lines:
        titles = ["a, b", 'say "hi"\tnow', "two\nlines\u2028here", '"']
        csv.writer(lines).writerows([["item", "title"], *enumerate(titles, start=1)])
    np.save(source / "ML_image_features.npy", FEATURES)
    files = convert("microlens", source)
    assert files["toy.inter"] == text(
        "user_id:token item_id:token timestamp:float", "u7 4 1583378629552", "u7 2 1583378629553"
    )
    assert files["toy.item"].split("\n") == [
        "item_id:token\ttitle:token_seq", "1\ta, b", "2\tsay 'hi' now", "3\ttwo lines here", "4\t'", ""
    ]  # fmt: skip
    assert described(files)["modalities"] == {"image": {"file": "image.npy"}}
    assert described(files)["load_col"]["item"] == ["item_id"]


def test_microlens_counts_from_zero_where_the_ids_do(source: Path) -> None:
    (source / "pairs.csv").write_text("user,item,timestamp\nu,0,1\nu,2,2\n")
    np.save(source / "image.npy", FEATURES)
    assert convert("microlens", source)["toy.item"] == text("item_id:token", "0", "1", "2", "3")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_table_split_in_three(source: Path, suffix: str) -> None:
    for part, pairs in PARTS.items():
        table = pa.table({"Item_Id": [item for _, item in pairs], "USER": [f"u{user}" for user, _ in pairs]})
        write_table(table, source / f"{'val' if part == 'valid' else part}.{suffix}")
    np.save(source / "image_features.npy", FEATURES)
    files = convert("table", source)
    for part, pairs in PARTS.items():
        rows = [f"u{user} {item}" for user, item in pairs]
        assert files[f"toy.{part}.inter"] == text("user_id:token item_id:token", *rows)
    assert described(files)["benchmark_filename"] == ["train", "valid", "test"]


def write_table(table: pa.Table, file: Path) -> None:
    if file.suffix == ".parquet":
        pa.parquet.write_table(table, file)
    else:
        options = pa.csv.WriteOptions(delimiter="," if file.suffix == ".csv" else "\t")
        pa.csv.write_csv(table, file, options)


def test_table_with_named_columns_and_every_kind_of_feature_file(source: Path) -> None:
    (source / "log.csv").write_text(
        "who,what,stars,when\nann,x,4,2024-01-02 00:00:00\nbob,y,2.5,2024-01-02T00:00:01.5\n"
    )
    np.save(source / "image.npy", FEATURES[:2])
    (source / "image.ids").write_text("y\nx\n")
    np.savez(source / "audio.npz", FEATURES[:1])
    (source / "audio.ids").write_text("cold\n")
    save_file({"rows": FEATURES[:2]}, source / "a-b.safetensors")
    (source / "a-b.ids").write_text("x\ny\n")
    pa.parquet.write_table(pa.table({"item_id": ["z", "x"], "text": [[1.0, 2.0], [3.0, 4.0]]}), source / "text.parquet")
    columns = ("--user=who", "--item=what", "--rating=stars", "--time=when")
    with pytest.raises(AssertionError):  # audio has only an item that nothing else knows
        convert("table", source, *columns)
    (source / "audio.ids").write_text("y\n")
    assert cli.main(["convert", "table", str(source), "--out=dataset/toy", *columns]) == 0
    folder = Path("dataset/toy")
    assert (folder / "toy.inter").read_text() == text(
        "user_id:token item_id:token rating:float timestamp:float", "ann x 4 1704153600", "bob y 2.5 1704153601.5"
    )
    assert (folder / "toy.item").read_text() == text("item_id:token", "x", "y", "z")
    assert yaml.safe_load((folder / "toy.yaml").read_text())["modalities"] == {
        "a_b": {"file": "a_b.safetensors", "ids": "a_b.ids"},
        "audio": {"file": "audio.npz", "ids": "audio.ids"},
        "image": {"file": "image.npy", "ids": "image.ids"},
        "text": {"file": "text.parquet"},
    }
    assert (folder / "image.ids").read_text() == "y\nx\n"
    for made, old in (("a_b.safetensors", "a-b.safetensors"), ("text.parquet", "text.parquet")):
        assert (folder / made).read_bytes() == (source / old).read_bytes()


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("mmrec", {"baby.inter": "userID\titemID\n0\t0\n1\t1\n"}),
        ("mmssl", {f"{part}.json": '{"0": [0], "1": [1]}' for part in ("train", "val", "test")}),
        ("microlens", {"x_pairs.csv": "user,item,timestamp\n0,0,1\n1,1,2\n"}),
        ("table", {"log.csv": "user,item\n0,0\n1,1\n"}),
    ],
)
def test_interactions_alone_are_a_dataset(
    kind: str, files: dict[str, str], source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in files.items():
        (source / name).write_text(content)
    made = convert(kind, source, out="dataset/two words")
    assert "modalities" not in described(made, "two words")
    said = capsys.readouterr().out.splitlines()
    assert "  interactions alone, no features: models that need none run on it, multimodal ones do not" in said
    assert said[-2:] == [
        "next: recbole-mm inspect 'two words' --model=LightGCN",
        "      recbole-mm run --model=LightGCN '--dataset=two words'",
    ]


def test_what_was_taken_for_granted_is_said(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "log.csv").write_text("who,item\na,1\nb,2\n")
    np.save(source / "image.npy", FEATURES)
    np.save(source / "text.npy", FEATURES[:1])
    (source / "text.ids").write_text("2\n")
    convert("table", source, "--user=who", out="my sets/toy")
    assert capsys.readouterr().out.splitlines()[3:] == [
        "  assumed: user_id is column who of log.csv",
        "  assumed: item_id is column item of log.csv",
        "  assumed: row i of image.npy is item i; item 0 has no interactions: check that ids count from it",
        "  assumed: 1 of 2 items are not in text.npy: they get its mean",
        "next: recbole-mm inspect toy '--data_path=my sets'",
        "      recbole-mm run --model=MHCR --dataset=toy '--data_path=my sets'",
    ]


def test_features_that_are_named_are_the_only_ones(source: Path) -> None:
    (source / "log.csv").write_text("user,item\na,0\n")
    np.save(source / "one.npy", FEATURES)
    np.save(source / "two.npy", FEATURES)
    elsewhere = source.parent / "three.npy"
    np.save(elsewhere, FEATURES)
    files = convert("table", source / "log.csv", "--features=image=one.npy", f"--features=more={elsewhere}")
    assert described(files)["modalities"] == {"image": {"file": "image.npy"}, "more": {"file": "more.npy"}}


@pytest.mark.parametrize(
    ("times", "written"),
    [
        (["1583378629552", "12.50"], ["1583378629552", "12.50"]),
        (["2024-01-02", "2024-01-03"], ["1704153600", "1704240000"]),
        (["2024-01-02T01:00:00+01:00", "2024-01-02T00:00:00Z"], ["1704153600", "1704153600"]),
        ([datetime(2024, 1, 2), datetime(2024, 1, 3)], ["1704153600", "1704240000"]),
        ([1704153600, 1704153601], ["1704153600", "1704153601"]),
        ([0.5, 1704153601.0], ["0.5", "1704153601"]),
    ],
)
def test_times_become_seconds_and_numbers_stay(source: Path, times: list[Any], written: list[str]) -> None:
    table = pa.table({"user": ["a", "b"], "item": [3, 5], "timestamp": times})
    kinds = ("parquet", "csv") if isinstance(times[0], str) else ("parquet",)
    for kind in kinds:
        write_table(table, source / f"log.{kind}")
        files = convert("table", source / f"log.{kind}", out=f"dataset/{kind}")
        assert [row.split("\t")[2] for row in files[f"{kind}.inter"].splitlines()[1:]] == written


def test_blank_lines_quotes_and_byte_order_marks_are_read_as_csv_has_them(source: Path) -> None:
    (source / "log.csv").write_bytes('\ufeffuser,note,item\r\n\r\n"a b","x, ""y""\nz",0\r\n\r\nc,,"1"\r\n'.encode())
    files = convert("table", source)
    assert files["toy.inter"] == "user_id:token\titem_id:token\na b\t0\nc\t1\n"
    assert "modalities" not in described(files)


def test_mmssl_has_json_files_and_one_matrix(source: Path) -> None:
    for part in ("train", "val", "test"):
        (source / f"{part}.json").write_text('{"0": [3, 1]}')
    (source / "train_mat").write_bytes(pickle.dumps(scipy.sparse.csr_matrix(np.eye(4))))
    np.save(source / "image_feat.npy", FEATURES)
    assert convert("mmssl", source)["toy.train.inter"] == text("user_id:token item_id:token", "0 3", "0 1")


def test_endings_and_byte_order_of_any_kind(source: Path) -> None:
    (source / "LOG.CSV").write_text("USER,ITEM\na,0\n")
    with (source / "Image.NPY").open("wb") as stream:
        np.save(stream, FEATURES.astype(">f4"))
    assert described(convert("table", source))["modalities"] == {"Image": {"file": "Image.npy"}}


def test_trains_on_what_was_converted(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    pairs = [(user, item, part % 3) for user in range(30) for part, item in enumerate(generator.choice(20, 6, False))]
    rows = [f"{user} {item} {label}" for user, item, label in pairs]
    (source / "toy.inter").write_text(text("userID itemID x_label", *rows))
    for modality in ("image", "text"):
        np.save(source / f"{modality}_feat.npy", generator.standard_normal((22, 4)).astype(np.float32))
    convert("mmrec", source)
    quick = ["--epochs=1", "--eval_step=1", "--embedding_size=8", "--hyper_num=4"]
    assert cli.main(["run", "--model=MHCR", "--dataset=toy", *quick]) == 0
    assert "toy: 30 users, 22 items" in capsys.readouterr().out


FORMS = ("npy", "npz", "npz with ids", "safetensors", "parquet")


def save_features(folder: Path, modality: str, form: str, ids: list[str], features: np.ndarray) -> None:
    file = folder / f"{modality}.{form.split(maxsplit=1)[0]}"
    if form == "parquet":
        pa.parquet.write_table(pa.table({"item_id": ids, "features": list(features)}), file)
        return
    if form == "npz with ids":
        np.savez(file, features, ids=np.array(ids))
        return
    (folder / f"{modality}.ids").write_text("\n".join(ids) + "\n", encoding="utf-8")
    if form == "safetensors":
        save_file({"features": features}, file)
    else:
        (np.save if form == "npy" else np.savez_compressed)(file, features)


IDS = st.lists(st.text("abcXYZ019._-é", min_size=1, max_size=5), min_size=2, max_size=8, unique=True)


@settings(max_examples=15, deadline=None)
@given(ids=IDS, data=st.data())
def test_every_item_keeps_its_row(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], data: st.DataObject
) -> None:
    """Whatever the order of ids in interactions and features, and whichever items lack a row or interactions."""
    root = tmp_path_factory.mktemp("aligned")
    (root / "source").mkdir()
    pairs = [(f"u{place}", item) for place, item in enumerate(data.draw(st.permutations(ids)))]
    pairs = pairs[: data.draw(st.integers(1, len(ids)))]
    pa.csv.write_csv(pa.table(list(zip(*pairs, strict=True)), ["user", "item"]), root / "source/log.csv")
    rows: dict[str, dict[str, list[float]]] = {}
    for modality in ("image", "text"):
        own = data.draw(st.permutations(ids))[: data.draw(st.integers(1, len(ids)))]
        own = own if set(own) & {item for _, item in pairs} else [*own, pairs[0][1]]
        features = np.array([[place + 1, len(modality), -place] for place in range(len(own))], dtype=np.float32)
        save_features(root / "source", modality, data.draw(st.sampled_from(FORMS)), own, features)
        rows[modality] = dict(zip(own, features.tolist(), strict=True))
    convert("table", root / "source", out=str(root / "toy"))
    check_rows(root, rows)
    shutil.rmtree(root)


@settings(max_examples=10, deadline=None)
@given(count=st.integers(1, 9), data=st.data())
def test_numbered_items_keep_their_rows(
    tmp_path_factory: pytest.TempPathFactory, count: int, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("numbered")
    (root / "source").mkdir()
    items = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=12))
    (root / "source/x.inter").write_text(text("userID itemID", *[f"u{place} {i}" for place, i in enumerate(items)]))
    features = np.random.default_rng(count).standard_normal((count, 3)).astype(np.float32)
    np.save(root / "source/image_feat.npy", features)
    convert("mmrec", root / "source", out=str(root / "toy"))
    check_rows(root, {"image": {str(place): row for place, row in enumerate(features.tolist())}})
    shutil.rmtree(root)


def check_rows(root: Path, rows: dict[str, dict[str, list[float]]]) -> None:
    own = {"data_path": str(root), "normalize": "none"}
    dataset = create_dataset(Config(model="MHCR", dataset="toy", config_dict=own))
    tokens = dataset.field2id_token["item_id"]
    for modality, expected in rows.items():
        found, mask = dataset.modality(modality).tolist(), dataset.modality_mask(modality).tolist()
        real = {item: row for item, row, is_real in zip(tokens, found, mask, strict=True) if is_real}
        assert real == {item: pytest.approx(row) for item, row in expected.items()}
