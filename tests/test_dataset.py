"""Multimodal datasets through RecBole: features follow the internal ids, and mistakes stop the load."""

from __future__ import annotations

import copy
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.config import Config
from recbole.data.utils import data_preparation
from tables import FORMS, write_features

from recbole_mm.base.errors import InputError
from recbole_mm.data.dataset import MultimodalDataset, MultimodalSequentialDataset

INTERACTIONS = [("u1", "a"), ("u1", "b"), ("u2", "b"), ("u2", "a"), ("u2", "007"), ("u1", "c"), ("u2", "c")]
Load = Callable[..., MultimodalDataset]


def write(root: Path, interactions: list[tuple[str, str]], items: list[str] | None) -> Path:
    folder = root / "toy"
    folder.mkdir(exist_ok=True)
    lines = [f"{user}\t{item}\t{time}\n" for time, (user, item) in enumerate(interactions)]
    (folder / "toy.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n" + "".join(lines))
    if items is not None:
        lines = [f"{item}\t{number}\n" for number, item in enumerate(items)]
        (folder / "toy.item").write_text("item_id:token\tprice:float\n" + "".join(lines))
    return folder


def load(root: Path, sequential: bool = False, **settings: Any) -> MultimodalDataset:
    keys: dict[str, Any] = {
        "data_path": str(root),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "price"]},
        "user_inter_num_interval": None,
        "item_inter_num_interval": None,
        **settings,
    }
    if sequential:
        keys["eval_args"] = {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"}
    config = Config(model="SASRec" if sequential else "BPR", dataset="toy", config_dict=keys)
    return (MultimodalSequentialDataset if sequential else MultimodalDataset)(config)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Return a folder with `toy.item` in the order c, a, 007, b, cold and two feature files."""
    folder = write(tmp_path, INTERACTIONS, ["c", "a", "007", "b", "cold"])
    np.save(folder / "image.npy", np.array([[3, 4], [1, 0], [0, 2], [0, 0], [8, 6]], dtype=np.float16))
    np.save(folder / "audio.npy", np.array([[10.0], [20.0]]))
    (folder / "audio.ids").write_text("b\na\n")
    return tmp_path


IMAGE = {"image": {"file": "image.npy"}}
BOTH = {**IMAGE, "audio": {"file": "audio.npy", "ids": "audio.ids", "normalize": "none"}}


def rows(dataset: MultimodalDataset, name: str) -> dict[str, list[float]]:
    return dict(zip(dataset.field2id_token["item_id"], dataset.modality(name).tolist(), strict=True))


@pytest.mark.parametrize("sequential", [False, True])
def test_exact_rows(toy: Path, sequential: bool) -> None:
    dataset = load(toy, sequential, modalities=BOTH)
    assert dataset.modality_names == ("image", "audio")
    assert dataset.modality("image").dtype == torch.float32
    found = {item: pytest.approx(row) for item, row in rows(dataset, "image").items()}
    assert found == {
        "[PAD]": [0, 0],
        "c": [0.6, 0.8],
        "a": [1, 0],
        "007": [0, 1],
        "b": [0, 0],
        "cold": [0.8, 0.6],
    }
    assert rows(dataset, "audio") == {
        "[PAD]": [0],
        "c": [15],
        "a": [20],
        "007": [15],
        "b": [10],
        "cold": [15],
    }
    masks = dict(zip(rows(dataset, "audio"), dataset.modality_mask("audio").tolist(), strict=True))
    assert [item for item in masks if masks[item]] == ["a", "b"]
    assert dataset.modality_mask("image").tolist() == [False] + [True] * 5


def test_settings_of_the_dataset(toy: Path) -> None:
    modalities = {**BOTH, "audio": {"file": "audio.npy", "ids": "audio.ids"}}
    dataset = load(toy, modalities=modalities, normalize="standard", missing_modality="zero")
    assert rows(dataset, "audio") == {"[PAD]": [0], "a": [1], "b": [-1], "c": [0], "007": [0], "cold": [0]}
    with pytest.raises(InputError, match=r"'audio', .*audio.npy: 3 of 5 items have no row"):
        load(toy, modalities=modalities, missing_modality="error")


def test_items_that_load_col_leaves_out_are_known(toy: Path) -> None:
    dataset = load(toy, modalities=BOTH, load_col={"inter": ["user_id", "item_id"]})
    assert dataset.item_num == 5  # without cold
    assert rows(dataset, "image")["a"] == [1, 0]


def test_filtered_items_are_known_and_not_used(toy: Path) -> None:
    dataset = load(toy, modalities=BOTH, item_inter_num_interval="[2,inf)")
    assert sorted(rows(dataset, "image")) == ["[PAD]", "a", "b", "c"]
    assert rows(dataset, "audio")["c"] == [15]


def test_dataset_without_item_file(tmp_path: Path) -> None:
    folder = write(tmp_path, INTERACTIONS, None)
    (folder / "toy.text").write_text("item_id:token\temb:float_seq\nb\t1 2\n007\t3 4\n")
    dataset = load(tmp_path, modalities={"text": {"file": "toy.text"}}, normalize="none")
    assert rows(dataset, "text") == {"[PAD]": [0, 0], "a": [2, 3], "b": [1, 2], "c": [2, 3], "007": [3, 4]}


@pytest.mark.parametrize("sequential", [False, True])
def test_splits_share_the_tensors_and_batches_hold_none(toy: Path, sequential: bool) -> None:
    split = {} if sequential else {"eval_args": {"split": {"RS": [1, 1, 1]}, "order": "RO", "mode": "full"}}
    dataset = load(toy, sequential, modalities=BOTH, **split)
    loaders = data_preparation(dataset.config, dataset)
    for loader in loaders:
        assert loader.dataset is not dataset
        assert loader.dataset.modality("image") is dataset.modality("image")
        assert loader.dataset.modality_mask("audio") is dataset.modality_mask("audio")
    batch = next(iter(loaders[0]))
    assert not {"image", "audio"} & {field.removeprefix("neg_") for field in batch.columns}
    assert set(dataset.item_feat.columns) == {"item_id", "price"}


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda dataset: pickle.loads(pickle.dumps(dataset))])
def test_copies(toy: Path, duplicate: Callable[[MultimodalDataset], MultimodalDataset]) -> None:
    dataset = load(toy, modalities=BOTH)
    twin = duplicate(dataset)
    for name in dataset.modality_names:
        assert torch.equal(twin.modality(name), dataset.modality(name))
        assert torch.equal(twin.modality_mask(name), dataset.modality_mask(name))
    assert twin.modality("image") is not dataset.modality("image")


def test_description_and_sources(toy: Path) -> None:
    dataset = load(toy, modalities=BOTH)
    folder = toy / "toy"
    assert f"Modality image: {folder / 'image.npy'}, dim 2, 5 of 5 items (100.0%), normalize l2" in str(dataset)
    assert f"Modality audio: {folder / 'audio.npy'}, dim 1, 2 of 5 items (40.0%), normalize none" in str(dataset)
    assert "The number of items" in str(dataset)
    assert dataset.modality_sources == tuple(
        folder / name for name in ("image.npy", "toy.item", "audio.npy", "audio.ids")
    )


def test_a_line_of_the_log_per_modality(toy: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        load(toy, modalities=BOTH)
    assert [text.split(":")[0] for text in caplog.messages if text.startswith("Modality")] == [
        "Modality image",
        "Modality audio",
    ]


def test_unknown_modality(toy: Path) -> None:
    dataset = load(toy, modalities=BOTH)
    for method in (dataset.modality, dataset.modality_mask):
        with pytest.raises(InputError, match=r"no modality 'imgae', it has image, audio. Did you mean 'image'"):
            method("imgae")


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (
            {},
            r"dataset toy: `modalities:` must name .*not None(.|\n)*modalities:\n  image: {file: image.npy}",
        ),
        ({"modalities": {}}, "must name at least one modality"),
        ({"modalities": ["image.npy"]}, r"must name .*not \['image.npy'\]"),
        ({"modalities": {"my image": {"file": "image.npy"}}}, "'my image'.*Python identifier"),
        ({"modalities": IMAGE, "normalize": "l1"}, "normalize must be one of none, l2, standard, not 'l1'"),
        (
            {"modalities": IMAGE, "normalize": None},
            "normalize must be one of .*not None.*Did you mean 'none'",
        ),
        (
            {"modalities": IMAGE, "missing_modality": "men"},
            "missing_modality must be one of .*Did you mean 'mean'",
        ),
        ({"modalities": {"image": {"file": "audio.npy"}}}, "audio.npy has 2 rows but .*toy.item has 5 items"),
    ],
)
def test_mistakes_stop_the_load(toy: Path, settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(toy, **settings_)


def test_unknown_ids_stop_the_load(toy: Path) -> None:
    (toy / "toy/audio.ids").write_text("b\n7\n")
    with pytest.raises(InputError, match=r"'audio', .*audio.npy: 1 of 2 item ids are not in the dataset: '7'"):
        load(toy, modalities=BOTH)


@st.composite
def datasets(draw: st.DrawFn) -> dict[str, Any]:
    items = draw(st.lists(st.sampled_from(["007", "7", "a", "b", "é", "x y", "[PAD", "0.5"]), min_size=3, unique=True))
    users = [f"u{number}" for number in range(4)]
    pair = st.tuples(st.sampled_from(users), st.sampled_from(items))
    everyone = [(user, item) for user in users for item in items[:2]]  # survives every filter below
    extra = draw(st.lists(pair, max_size=20))
    return {
        "interactions": draw(st.permutations(sorted({*everyone, *extra}))),
        "items": draw(st.permutations(items)) if draw(st.booleans()) else None,
        "with_features": [items[0], *draw(st.lists(st.sampled_from(items[1:]), unique=True))],
        "core": draw(st.sampled_from([1, 2, 4])),
        "missing": draw(st.sampled_from(["mean", "zero"])),
        "load_item": draw(st.booleans()),
        "sequential": draw(st.booleans()),
        "form": draw(st.sampled_from(FORMS)),
        "seed": draw(st.integers(0, 1000)),
    }


@settings(deadline=None, max_examples=60)
@given(datasets())
def test_every_row_belongs_to_its_item(toy: dict[str, Any]) -> None:
    interactions, items, chosen = toy["interactions"], toy["items"], toy["with_features"]
    in_data = {item for _, item in interactions} | set(items or ())
    chosen = [item for item in chosen if item in in_data]
    random = np.random.default_rng(toy["seed"])
    partial = dict(zip(chosen, random.normal(size=(len(chosen), 3)).astype(np.float32), strict=True))
    whole = {item: random.normal(size=2).astype(np.float32) for item in items or ()}
    with tempfile.TemporaryDirectory() as root:
        folder = write(Path(root), interactions, items)
        spec = write_features(folder, "some", toy["form"], list(partial), np.stack(list(partial.values())))
        given_rows = {"some": (partial, spec)}
        if items:
            np.save(folder / "all.npy", np.stack(list(whole.values())))
            given_rows["all"] = (whole, {"file": "all.npy"})
        columns = {"inter": ["user_id", "item_id", "timestamp"]}
        dataset = load(
            Path(root),
            toy["sequential"],
            modalities={name: spec for name, (_, spec) in given_rows.items()},
            normalize="none",
            missing_modality=toy["missing"],
            item_inter_num_interval=f"[{toy['core']},inf)",
            load_col=columns | ({"item": ["item_id"]} if toy["load_item"] else {}),
        )
    tokens = dataset.field2id_token["item_id"]
    for name, (expected, _) in given_rows.items():
        features, mask = dataset.modality(name).numpy(), dataset.modality_mask(name).numpy()
        assert features.shape[0] == mask.shape[0] == dataset.item_num == len(tokens)
        assert mask.tolist() == [number > 0 and token in expected for number, token in enumerate(tokens)]
        fill = features[mask].mean(axis=0) if toy["missing"] == "mean" else 0 * features[0]
        for number, token in enumerate(tokens[1:], start=1):
            if token in expected:
                assert features[number].tolist() == expected[token].tolist()
            else:
                np.testing.assert_allclose(features[number], fill, atol=1e-6)
        assert not features[0].any()
