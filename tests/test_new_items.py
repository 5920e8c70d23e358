"""`recbole-mm recommend --new-items`: items that the model was trained without, by their features."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from model_contract import DATASETS

import recbole_mm
from recbole_mm.base.errors import InputError
from recbole_mm.commands import cli
from recbole_mm.configuration.request import Request
from recbole_mm.serving.open_source import open_source
from recbole_mm.serving.recommend import recommend

NAME = "microvideo"
K = 10
SETTINGS = """\
load_col:
  inter: [user_id, item_id, timestamp]
  item: [item_id]
modalities:
  image: {file: image.npy, ids: image.ids}
"""


def table(file: Path) -> pd.DataFrame:
    found = pd.read_csv(file, sep="\t", dtype=str)
    found.columns = [name.partition(":")[0] for name in found.columns]
    return found


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Take every tenth item out of the data, and keep its image features and its interactions."""
    place = tmp_path_factory.mktemp("catalogue")
    folder = place / NAME
    shutil.copytree(DATASETS / NAME, folder)
    items = table(folder / f"{NAME}.item")["item_id"].tolist()
    image = np.load(folder / "image.npy")
    new = [row for row in range(len(items)) if row % 10 == 3]
    kept = [row for row in range(len(items)) if row % 10 != 3]
    ids = {items[row] for row in new}
    np.save(place / "new.npy", image[new])
    (place / "new.ids").write_text("".join(f"{items[row]}\n" for row in new), encoding="utf-8")
    np.save(folder / "image.npy", image[kept])
    (folder / "image.ids").write_text("".join(f"{items[row]}\n" for row in kept), encoding="utf-8")
    lines = (folder / f"{NAME}.item").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / f"{NAME}.item").write_text("".join([lines[0], *(lines[row + 1] for row in kept)]), encoding="utf-8")
    lines = (folder / f"{NAME}.inter").read_text(encoding="utf-8").splitlines(keepends=True)
    held = [line for line in lines[1:] if line.split("\t")[1] not in ids]
    (folder / f"{NAME}.inter").write_text("".join([lines[0], *held]), encoding="utf-8")
    (folder / f"{NAME}.yaml").write_text(SETTINGS, encoding="utf-8")
    later = table(DATASETS / NAME / f"{NAME}.inter")
    return place, later[later["item_id"].isin(ids)]


@pytest.fixture(scope="module")
def trained(catalogue: Any) -> Any:
    """Train a model without the new items when it is asked for, once."""
    runs: dict[str, str] = {}

    def of(model: str) -> str:
        if model not in runs:
            settings = {"data_path": str(catalogue[0]), "checkpoint_dir": str(catalogue[0] / "saved"), "epochs": 15,
                        "show_progress": False, "state": "ERROR"}  # fmt: skip
            settings |= {"train_histories": "whole"} if model == "CCL4Rec" else {}
            runs[model] = recbole_mm.run(Request(model, NAME, settings=settings))["folder"]
        return runs[model]

    return of


def recall(lists: pd.DataFrame, later: pd.DataFrame) -> float:
    asked = {user: set(rows["item_id"]) for user, rows in later.groupby("user_id")}
    found = {user: set(rows["item_id"]) for user, rows in lists.groupby("user_id")}
    return float(np.mean([len(found.get(user, set()) & items) / min(K, len(items)) for user, items in asked.items()]))


@pytest.mark.parametrize("model", ["VBPR", "MHCR", "CCL4Rec"])
def test_new_items_are_recommended_to_those_who_take_them_later(model: str, trained: Any, catalogue: Any) -> None:
    place, later = catalogue
    new = (place / "new.ids").read_text(encoding="utf-8").split()
    asked: dict[str, Any] = {"new_items": {"": place / "new.npy"}, "new_item_ids": place / "new.ids"}
    lists = recommend(trained(model), k=K, items=new, device="cpu", **asked)
    assert set(lists["item_id"]) <= set(new)
    by_chance = K / len(new)
    assert recall(lists, later) > 1.3 * by_chance
    both = recommend(trained(model), k=K, device="cpu", **asked)
    share = both["item_id"].isin(new).mean()
    assert 0.01 < share < 0.6  # a tenth of the catalogue


def test_known_items_keep_their_lists(trained: Any, catalogue: Any) -> None:
    place, _ = catalogue
    plain = open_source(Path(trained("VBPR")), "cpu")
    known = plain.item_ids.tolist()
    files = {"image": place / "new.npy"}
    lists = recommend(trained("VBPR"), k=K, items=known, new_items=files, new_item_ids=place / "new.ids", device="cpu")
    expected = recommend(trained("VBPR"), k=K, device="cpu")
    assert (lists["item_id"].to_numpy() == expected["item_id"].to_numpy()).mean() > 0.99


def test_an_item_with_the_features_of_a_known_one_is_beside_it(trained: Any, catalogue: Any, workplace: Path) -> None:
    """Its vector is a mean with the known item's as the largest part; an item without features is in no list."""
    place, _ = catalogue
    image = np.load(place / NAME / "image.npy")
    np.save("twin.npy", np.stack([image[7], np.zeros_like(image[7])]))
    Path("twin.ids").write_text("twin\nbare\n", encoding="utf-8")
    source: Any = open_source(Path(trained("VBPR")), "cpu", {"image": "twin.npy"}, "twin.ids")
    weights = source.weights[0]
    assert source.item_ids[weights.argmax()] == (place / NAME / "image.ids").read_text(encoding="utf-8").split()[7]
    assert (weights > 0).sum() == 10
    assert weights.sum() == pytest.approx(1)
    assert source.weights[1].sum() == 0
    lists = recommend(trained("VBPR"), k=2000, new_items={"image": "twin.npy"}, new_item_ids="twin.ids", device="cpu")
    assert "twin" in set(lists["item_id"])
    assert "bare" not in set(lists["item_id"])


def test_a_history_is_read_without_its_new_items_which_are_not_recommended_again(
    trained: Any, catalogue: Any, workplace: Path
) -> None:
    place, _ = catalogue
    known = open_source(Path(trained("CCL4Rec")), "cpu").item_ids[:3].tolist()
    had, other = (place / "new.ids").read_text(encoding="utf-8").split()[:2]
    histories = {"plain": known, "mixed": [known[0], had, *known[1:], had], "new": [had]}
    rows = [(user, item, time) for user, items in histories.items() for time, item in enumerate(items)]
    pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).to_csv("histories.csv", index=False)
    asked: dict[str, Any] = {
        "new_items": {"": place / "new.npy"}, "new_item_ids": place / "new.ids", "k": 2000, "device": "cpu",
        "histories": "histories.csv",
    }  # fmt: skip
    lists = dict(iter(recommend(trained("CCL4Rec"), **asked).groupby("user_id")))
    assert lists.keys() == {"plain", "mixed"}  # a history of new items alone tells the model nothing
    scores = {user: rows.set_index("item_id")["score"] for user, rows in lists.items()}
    pd.testing.assert_series_equal(scores["mixed"], scores["plain"].drop(had), check_exact=False, rtol=1e-4)
    assert other in scores["mixed"]
    again = recommend(trained("CCL4Rec"), include_seen=True, **asked)
    assert had in set(again.loc[again["user_id"] == "mixed", "item_id"])
    told = recommend(trained("CCL4Rec"), out="lists.csv", **asked)
    assert told.unknown_users == ["new"]


@pytest.mark.parametrize(
    ("model", "files", "message"),
    [
        ("BPR", ["new.npy"], "was trained without modalities"),
        ("VBPR", ["text=new.npy"], "unknown modality 'text'; there are image"),
        ("VBPR", ["narrow.npy"], "rows of 3 numbers, but those of image are of"),
        ("VBPR", ["known.npy"], "is an item of VBPR on microvideo: leave out what is not new"),
        ("VBPR", [], "new items need both: --new-items and --new-item-ids"),
    ],
)
def test_mistakes(
    model: str, files: list[str], message: str, trained: Any, catalogue: Any, workplace: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    place, _ = catalogue
    shutil.copy(place / "new.npy", "new.npy")
    ids = (place / "new.ids").read_text(encoding="utf-8").split()
    np.save("narrow.npy", np.ones((len(ids), 3), dtype=np.float32))
    np.save("known.npy", np.load("new.npy"))
    if files == ["known.npy"]:
        ids[0] = (place / NAME / "image.ids").read_text(encoding="utf-8").split()[0]
    Path("ids.txt").write_text("".join(f"{one}\n" for one in ids), encoding="utf-8")
    words = [f"--new-items={file}" for file in files]
    assert cli.main(["recommend", trained(model), "--new-item-ids=ids.txt", "--device=cpu", *words]) == 2
    assert message in capsys.readouterr().err


def test_an_exported_folder_has_no_features(trained: Any, catalogue: Any, workplace: Path) -> None:
    place, _ = catalogue
    assert cli.main(["export", trained("VBPR"), "--out=out", "--device=cpu"]) == 0
    with pytest.raises(InputError, match="has no features to compare new items with"):
        open_source(Path("out"), "", {"image": place / "new.npy"}, place / "new.ids")


def test_a_model_that_reads_features_of_cold_items_reads_those_of_new_ones(catalogue: Any, workplace: Path) -> None:
    """An item with the features of a known one has the vector that the network makes of that one."""
    place, _ = catalogue
    settings = {"data_path": str(place), "checkpoint_dir": "saved", "epochs": 2, "cold_items": "features",
                "show_progress": False, "state": "ERROR"}  # fmt: skip
    folder = recbole_mm.run(Request("MHCR", NAME, settings=settings))["folder"]
    image = np.load(place / NAME / "image.npy")
    np.save("twin.npy", np.stack([3 * image[7], np.zeros_like(image[7])]))
    Path("twin.ids").write_text("twin\nbare\n", encoding="utf-8")
    source: Any = open_source(Path(folder), "cpu", {"image": "twin.npy"}, "twin.ids")
    model = source.trained.model
    row = source.item_ids.tolist().index((place / NAME / "image.ids").read_text(encoding="utf-8").split()[7])
    with torch.no_grad():
        expected = model.cold.of_content(model.cold.content, model.embeddings()[1])[row]
    torch.testing.assert_close(source.items[-2], expected, rtol=1e-4, atol=1e-5)
    lists = recommend(folder, k=2000, new_items={"image": "twin.npy"}, new_item_ids="twin.ids", device="cpu")
    assert "twin" in set(lists["item_id"])
    assert "bare" not in set(lists["item_id"])
