"""A checkpoint knows whose its weights are: the same rows in another order, other rows, other features."""

from __future__ import annotations

import importlib.metadata
import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from new_process import python
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.quick_start import load_data_and_model, run_recbole
from recbole.utils import get_model, get_trainer, init_seed
from recbole.utils.case_study import full_sort_scores, full_sort_topk

from recbole_mm.base.errors import InputError
from recbole_mm.configuration.request import Request
from recbole_mm.recbole_bridge import checkpoint, row_hashes
from recbole_mm.recbole_bridge.row_hashes import column_hashes
from recbole_mm.training.run import run

pytestmark = pytest.mark.slow  # left out by `make quick`


BY_TIME = {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"}
ITEMS = 12


def write(root: Path, rows: Sequence[str], items: Sequence[int] = range(1, ITEMS + 1), seed: int = 0) -> None:
    """Write interactions, items in an order, and features that belong to items by their ids."""
    folder = root / "toy"
    folder.mkdir(exist_ok=True)
    header = "user_id:token\titem_id:token\ttimestamp:float\trating:float"
    (folder / "toy.inter").write_text("\n".join([header, *(f"{row}\t1" for row in rows)]) + "\n")
    (folder / "toy.item").write_text(
        "\n".join(["item_id:token\tkind:token", *(f"i{item}\tk{item % 3}" for item in items)]) + "\n"
    )
    features = np.random.default_rng(seed).normal(size=(ITEMS + 1, 4))
    np.save(folder / "image.npy", features[list(items)])


def some_rows() -> list[str]:
    return [f"u{user}\ti{(user * 5 + place * place) % ITEMS + 1}\t{user + 10 * place}"
            for user in range(1, 21) for place in range(6)]  # fmt: skip


def settings(root: Path, **changes: Any) -> dict[str, Any]:
    own = {
        "data_path": str(root),
        "checkpoint_dir": str(root / "saved"),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "kind"]},
        "modalities": {"image": {"file": "image.npy"}},
        "epochs": 2,
        "embedding_size": 8,
        "train_batch_size": 64,
        "topk": [3],
        "valid_metric": "MRR@3",
        "show_progress": False,
        "gpu_id": "",
    }
    return {**own, **changes}


def trained(root: Path, model: str, **changes: Any) -> Path:
    run_recbole(model=model, dataset="toy", config_dict=settings(root, **changes))
    (file,) = (root / "saved").glob(f"{model}-*.pth")
    return file


def scores_by_id(file: Path) -> dict[tuple[str, str], float]:
    """Return the scores of all users for all items under their external ids."""
    _, model, dataset, _, _, test = load_data_and_model(str(file))
    users = test.dataset.inter_feat["user_id"].unique()
    scores = full_sort_scores(users.numpy(), model, test)
    names = dataset.id2token("item_id", np.arange(dataset.item_num))
    return {
        (user, str(item)): float(score)
        for user, row in zip(dataset.id2token("user_id", users.numpy()).tolist(), scores, strict=True)
        for item, score in zip(names, row, strict=True)
    }


@pytest.mark.parametrize("model", ["BPR", "LightGCN", "VBPR", "MHCR", "SASRec", "FM"])
def test_the_same_rows_in_another_order_have_the_same_scores(model: str, tmp_path: Path) -> None:
    rows, changes = some_rows(), {"eval_args": BY_TIME}
    if model == "FM":
        changes |= {"threshold": {"rating": 0}, "metrics": ["MRR"]}
        changes["load_col"] = {"inter": ["user_id", "item_id", "timestamp", "rating"], "item": ["item_id", "kind"]}
    write(tmp_path, rows)
    file = trained(tmp_path, model, **changes)
    before = scores_by_id(file)
    random.Random(3).shuffle(rows)
    items = list(range(1, ITEMS + 1))
    random.Random(4).shuffle(items)
    write(tmp_path, rows, items)
    assert scores_by_id(file) == pytest.approx(before, rel=1e-4, abs=1e-6)


def more_rows(rows: list[str]) -> None:
    rows.append("u1\ti1\t999")


def fewer_rows(rows: list[str]) -> None:
    del rows[7]


def another_user(rows: list[str]) -> None:
    rows.insert(0, "stranger\ti1\t5")


def another_order(rows: list[str]) -> None:
    rows.reverse()


def a_changed_row(rows: list[str]) -> None:
    rows[3] = rows[3].replace("\ti", "\ti1", 1)[: rows[3].index("\t")] + "\ti2\t31"


@pytest.mark.parametrize(
    ("change", "eval_args", "said"),
    [
        (more_rows, BY_TIME, "split is not that of the checkpoint"),
        (fewer_rows, BY_TIME, "split is not that of the checkpoint"),
        (a_changed_row, BY_TIME, "split is not that of the checkpoint"),
        (another_order, {}, "split is not that of the checkpoint"),
        (another_user, BY_TIME, "1 values of user_id, such as 'stranger'"),
    ],
)
def test_other_rows_are_refused(
    change: Callable[[list[str]], None], eval_args: dict[str, Any], said: str, tmp_path: Path
) -> None:
    rows = some_rows()
    write(tmp_path, rows)
    file = trained(tmp_path, "BPR", **({"eval_args": eval_args} if eval_args else {}))
    load_data_and_model(str(file))
    change(rows)
    write(tmp_path, rows)
    with pytest.raises(InputError, match=said):
        load_data_and_model(str(file))


def test_other_features_of_the_same_shape_are_refused(tmp_path: Path) -> None:
    write(tmp_path, some_rows())
    file = trained(tmp_path, "VBPR")
    features = np.load(tmp_path / "toy" / "image.npy")
    features[4] += 1
    np.save(tmp_path / "toy" / "image.npy", features)
    with pytest.raises(InputError, match="features of 1 items in the modality 'image', such as 'i5'"):
        load_data_and_model(str(file))


def test_histories_in_another_order_are_refused(tmp_path: Path) -> None:
    rows = [f"u{user}\ti{place + 1}\t{place}" for user in range(1, 6) for place in range(6)]
    write(tmp_path, rows)
    file = trained(tmp_path, "SASRec")
    rows[0], rows[1] = "u1\ti1\t1", "u1\ti2\t0"
    write(tmp_path, rows)
    with pytest.raises(InputError, match="the train split is not that of the checkpoint"):
        load_data_and_model(str(file))


def built(root: Path, model: str = "BPR") -> tuple[Config, Any, Any]:
    config = Config(model=model, dataset="toy", config_dict=settings(root, eval_args=BY_TIME))
    init_seed(config["seed"], config["reproducibility"])
    train, _, test = data_preparation(config, create_dataset(config))
    return config, get_model(model)(config, train.dataset), test


def test_weights_of_other_ids_are_refused_whoever_loads_them(tmp_path: Path) -> None:
    rows = some_rows()
    write(tmp_path, rows)
    file = trained(tmp_path, "BPR", eval_args=BY_TIME)
    _, before, _ = built(tmp_path)
    before.load_state_dict(torch.load(file, weights_only=True)["state_dict"])
    rows.reverse()
    write(tmp_path, rows)
    config, model, test = built(tmp_path)
    with pytest.raises(InputError, match="BPR: these weights are of other users"):
        model.load_state_dict(torch.load(file, weights_only=True)["state_dict"])
    trainer = get_trainer(config["MODEL_TYPE"], "BPR")(config, model)
    for load in (
        lambda: trainer.resume_checkpoint(file),
        lambda: trainer.evaluate(test, model_file=file),
    ):
        with pytest.raises(InputError, match="BPR: these weights are of other users"):
            load()
    for ask in (full_sort_scores, lambda *given: full_sort_topk(*given, k=2)):
        ask(np.array([1]), model, test)
        with pytest.raises(InputError, match="BPR has the ids of another dataset"):
            ask(np.array([1]), before, test)


def test_a_checkpoint_is_read_without_recbole(tmp_path: Path) -> None:
    rows = some_rows()
    write(tmp_path, rows)
    file = trained(tmp_path, "VBPR", eval_args=BY_TIME)
    program = f"""
import json, sys, torch
state = torch.load({str(file)!r}, weights_only=True)
assert not any(name.startswith("recbole") for name in sys.modules)
data = state["recbole_mm"]["data"]
print(json.dumps({{
    "ids": {{field: text.split(chr(0)) for field, text in data["ids"].items()}},
    "split": data["split"], "hash": data["hash"], "features": {{n: list(x.shape) for n, x in data["features"].items()}},
    "versions": state["recbole_mm"]["environment"], "rate": state["config"]["settings"]["learning_rate"],
    "given": state["config"]["given"]["embedding_size"],
}}))
"""
    done = python("-c", program)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ids"]["user_id"] == ["[PAD]", *(f"u{user}" for user in range(1, 21))]
    assert set(found["ids"]["item_id"]) == {"[PAD]", *(f"i{item}" for item in range(1, ITEMS + 1))}
    assert sorted(found["ids"]["kind"]) == ["[PAD]", "k0", "k1", "k2"]
    assert {name: part["interactions"] for name, part in found["split"].items()} == {
        "train": 80,
        "valid": 20,
        "test": 20,
    }
    assert len(found["hash"]) == 64
    assert found["features"] == {"image": [ITEMS + 1]}
    assert found["versions"]["torch"] == importlib.metadata.version("torch")  # without the build, such as +cu130
    assert {"recbole", "recbole_mm", "numpy"} <= set(found["versions"])
    assert (found["rate"], found["given"]) == (0.001, 8)


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    write(tmp_path, some_rows())
    file = trained(tmp_path, "BPR")
    content = bytearray(file.read_bytes())
    state = torch.load(file, weights_only=True)
    place = content.find(state["state_dict"]["user_embedding.weight"].numpy().tobytes()[:64])
    assert place > 0
    content[place] ^= 1
    file.write_bytes(content)
    assert torch.load(file, weights_only=True)  # torch does not see it
    with pytest.raises(InputError, match="damaged"):
        checkpoint.load_checkpoint(file)
    with pytest.raises(InputError, match="damaged"):
        load_data_and_model(str(file))


def in_lines(file: Path, change: Callable[[list[list[str]]], None]) -> None:
    """Change the cells of a file's lines but for its header."""
    header, *lines = file.read_text().splitlines()
    cells = [line.split("\t") for line in lines]
    change(cells)
    file.write_text("\n".join([header, *map("\t".join, cells)]) + "\n")


def in_column(file: str, name: str, change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    """Return what changes the values of a column in a folder's file."""

    def changed(folder: Path) -> None:
        place = [head.partition(":")[0] for head in (folder / file).read_text().splitlines()[0].split("\t")].index(name)

        def write(lines: list[list[str]]) -> None:
            for line, value in zip(lines, change([line[place] for line in lines]), strict=True):
                line[place] = value

        in_lines(folder / file, write)

    return changed


def reversed_fourth(values: list[str]) -> list[str]:
    return [*values[:3], " ".join(reversed(values[3].split())), *values[4:]]


other_classes = in_column("toy.item", "class", lambda values: [values[1], values[0], *values[2:]])
other_prices = in_column("toy.item", "price", lambda values: [*values[:2], "99", *values[3:]])
other_words = in_column("toy.item", "words", reversed_fourth)
other_ratings = in_column("toy.inter", "rating", lambda values: [str(6 - int(value)) for value in values])
other_ages = in_column("toy.user", "age", lambda values: [*values[:4], "33", *values[5:]])


def another_order_of_lines(folder: Path) -> None:
    for kind in ("inter", "user", "item"):
        in_lines(folder / f"toy.{kind}", random.Random(5).shuffle)


def a_column_that_is_not_loaded(folder: Path) -> None:
    header, *lines = (folder / "toy.user").read_text().splitlines()
    new = [f"{header}\tcity:token", *(f"{line}\tc{place}" for place, line in enumerate(lines))]
    (folder / "toy.user").write_text("\n".join(new) + "\n")


@pytest.fixture(scope="module")
def with_columns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a dataset of users and items that have columns, and with FM, trained on all of them."""
    root = tmp_path_factory.mktemp("columns")
    folder = root / "toy"
    folder.mkdir()
    rows = [f"{row}\t{place % 5 + 1}" for place, row in enumerate(some_rows())]
    (folder / "toy.inter").write_text(
        "\n".join(["user_id:token\titem_id:token\ttimestamp:float\trating:float", *rows]) + "\n"
    )
    users = [f"u{user}\t{20 + user}" for user in range(1, 21)]
    (folder / "toy.user").write_text("\n".join(["user_id:token\tage:float", *users]) + "\n")
    items = [f"i{item}\tk{item % 3}\t{item / 2 if item > 1 else ''}\tw{item} w1 w2" for item in range(1, ITEMS + 1)]
    (folder / "toy.item").write_text(
        "\n".join(["item_id:token\tclass:token\tprice:float\twords:token_seq", *items]) + "\n"
    )
    changes = {
        "eval_args": BY_TIME, "threshold": {"rating": 3}, "metrics": ["MRR"], "modalities": None,
        "load_col": {"inter": ["user_id", "item_id", "timestamp", "rating"], "user": ["user_id", "age"],
                     "item": ["item_id", "class", "price", "words"]},
    }  # fmt: skip
    trained(root, "FM", **changes)
    return root


def load_again(file: Path) -> None:
    load_data_and_model(str(file))


def resume(file: Path) -> None:
    run(Request(settings={"epochs": 3}, resume=str(file)), lambda *_: None)


@pytest.fixture
def columns(with_columns: Path, tmp_path: Path) -> Iterator[Path]:
    """Return that folder, whose dataset may be changed: it is put back."""
    shutil.copytree(with_columns / "toy", tmp_path / "before")
    yield with_columns
    shutil.rmtree(with_columns / "toy")
    shutil.copytree(tmp_path / "before", with_columns / "toy")


@pytest.mark.parametrize("go_on", [load_again, resume])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_classes, "the items have other values of class than those that the checkpoint was trained on: take"),
        (other_prices, "the items have other values of price than"),
        (other_words, "the items have other values of words than"),
        (other_ratings, "the interactions have other values of rating than"),
        (other_ages, "the users have other values of age than"),
    ],
)
def test_other_values_of_a_column_are_refused(
    change: Callable[[Path], None], said: str, go_on: Callable[[Path], None], columns: Path
) -> None:
    (file,) = (columns / "saved").glob("FM-*.pth")
    change(columns / "toy")
    with pytest.raises(InputError, match=said):
        go_on(file)


@pytest.mark.parametrize("change", [another_order_of_lines, a_column_that_is_not_loaded])
def test_the_same_values_elsewhere_in_the_files_are_not_other_ones(
    change: Callable[[Path], None], columns: Path
) -> None:
    (file,) = (columns / "saved").glob("FM-*.pth")
    before = scores_by_id(file)
    change(columns / "toy")
    assert scores_by_id(file) == pytest.approx(before, rel=1e-4, abs=1e-6)


def test_a_checkpoint_of_an_earlier_version_does_not_know_the_values(columns: Path, tmp_path: Path) -> None:
    (file,) = (columns / "saved").glob("FM-*.pth")
    state = torch.load(file, weights_only=True)
    del state["recbole_mm"]["data"]["columns"]
    torch.save(state, tmp_path / "earlier.pth")
    other_prices(columns / "toy")
    load_again(tmp_path / "earlier.pth")


def test_a_table_without_users_and_items_is_known_by_its_rows() -> None:
    head, tail = torch.tensor([1, 1, 2]), torch.tensor([3, 4, 5])
    ids = ("user_id", "item_id")
    own = column_hashes(Interaction({"head": head, "tail": tail}), ids)
    assert own == column_hashes(Interaction({"head": head.flip(0), "tail": tail.flip(0)}), ids)
    assert own != column_hashes(Interaction({"head": head, "tail": tail.flip(0)}), ids)


def test_a_column_of_many_values_is_hashed_as_one_of_few_is(monkeypatch: pytest.MonkeyPatch) -> None:
    feat = Interaction({"item_id": torch.arange(9), "words": torch.arange(36).view(9, 4)})
    whole = column_hashes(feat, ("item_id",))
    monkeypatch.setattr(row_hashes, "HASHED_ROWS", 8)
    assert column_hashes(feat, ("item_id",)) == whole
