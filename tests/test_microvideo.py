from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

DATASET = Path(__file__).parents[1] / "dataset"
COMMITTED = DATASET / "microvideo"


def _load_generate() -> Callable[..., dict[str, int]]:
    spec = importlib.util.spec_from_file_location("generate_microvideo", DATASET / "generate_microvideo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate


generate = _load_generate()


def _bytes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _table(file: Path) -> list[list[str]]:
    return [line.split("\t") for line in file.read_text().splitlines()[1:]]


@pytest.fixture(scope="module")
def items() -> list[str]:
    return [row[0] for row in _table(COMMITTED / "microvideo.item")]


@pytest.fixture(scope="module")
def inter() -> list[list[str]]:
    return _table(COMMITTED / "microvideo.inter")


@pytest.fixture(scope="module")
def share(items: list[str], inter: list[list[str]]) -> np.ndarray:
    """Cosine of the user sets of two items, (n_items, n_items)."""
    users = {user: number for number, user in enumerate(sorted({row[0] for row in inter}))}
    held = np.zeros((len(users), len(items)))
    for user, item, _ in inter:
        held[users[user], items.index(item)] = 1
    norms = np.sqrt(held.sum(axis=0))
    held /= np.where(norms, norms, 1)
    return held.T @ held


def test_defaults_give_the_committed_bytes_and_another_seed_others(tmp_path: Path) -> None:
    counts = generate(tmp_path)
    assert counts == {
        "users": 300,
        "items": 240,
        "cold_items": 20,
        "interactions": len(_table(COMMITTED / "microvideo.inter")),
    }
    assert _bytes(tmp_path / "microvideo") == _bytes(COMMITTED)
    assert sum(map(len, _bytes(COMMITTED).values())) < 1_000_000

    generate(tmp_path / "other", seed=1)
    other = _bytes(tmp_path / "other" / "microvideo")
    same = {name for name, content in _bytes(COMMITTED).items() if other[name] == content}
    cards = {f"{file}.card.json" for file in ("image.npy", "audio.npy", "microvideo.text")}
    assert same == {"microvideo.yaml", *cards}


def test_ids_and_rows_agree(items: list[str], inter: list[list[str]]) -> None:
    assert len(set(items)) == len(items) == 240
    assert items != sorted(items, key=lambda item: int(item[1:]))
    assert {row[0] for row in inter} == {f"u{number}" for number in range(1, 301)}

    image = np.load(COMMITTED / "image.npy", allow_pickle=False)
    assert image.shape == (240, 32)
    assert image.dtype == np.float16
    assert np.linalg.norm(image.astype(np.float64), axis=1).mean() == pytest.approx(40, abs=0.1)

    heard = (COMMITTED / "audio.ids").read_text().splitlines()
    assert np.load(COMMITTED / "audio.npy", allow_pickle=False).shape == (len(heard), 16)
    assert len(heard) == len(set(heard)) == 228
    assert set(heard) < set(items)
    assert heard != [item for item in items if item in set(heard)]

    text = _table(COMMITTED / "microvideo.text")
    assert [row[0] for row in text] == items
    assert {len(row[1].split(" ")) for row in text} == {24}
    assert all(len(value.split(".")[1]) == 4 for row in text for value in row[1].split(" "))


def test_settings_name_the_files() -> None:
    settings = yaml.safe_load((COMMITTED / "microvideo.yaml").read_text())
    assert settings == {
        "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id"]},
        "modalities": {
            "image": {"file": "image.npy"},
            "audio": {"file": "audio.npy", "ids": "audio.ids"},
            "text": {"file": "microvideo.text"},
        },
        "normalize": "l2",
        "missing_modality": "mean",
    }


def test_interactions_have_no_duplicates_no_ties_and_leave_the_cold_items_out(
    items: list[str], inter: list[list[str]]
) -> None:
    assert len({(user, item) for user, item, _ in inter}) == len(inter)
    assert len(set(items) - {row[1] for row in inter}) == 20
    times = np.array([float(row[2]) for row in inter])
    assert (np.diff(times.astype(np.float32)) > 0).all()  # in float32 as RecBole holds them


def test_popularity_is_skewed(inter: list[list[str]]) -> None:
    _, counts = np.unique([row[1] for row in inter], return_counts=True)
    counts = np.sort(counts)[::-1]
    assert counts[:22].sum() > 0.2 * counts.sum()  # the top tenth of the items


def _neighbour_share(rows: np.ndarray, share: np.ndarray, k: int = 10) -> float:
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = rows @ rows.T
    np.fill_diagonal(cosine, -np.inf)
    nearest = np.argsort(-cosine, axis=1)[:, :k]
    return float(np.take_along_axis(share, nearest, axis=1).mean())


def test_neighbours_by_content_share_users(items: list[str], share: np.ndarray) -> None:
    random = float(share[~np.eye(len(items), dtype=bool)].mean())
    image = _neighbour_share(np.load(COMMITTED / "image.npy").astype(np.float64), share)
    text = _neighbour_share(
        np.array([row[1].split(" ") for row in _table(COMMITTED / "microvideo.text")], float), share
    )
    heard = [items.index(item) for item in (COMMITTED / "audio.ids").read_text().splitlines()]
    audio = _neighbour_share(np.load(COMMITTED / "audio.npy").astype(np.float64), share[np.ix_(heard, heard)])
    assert min(image, text) > 2 * random
    assert 1.2 * random < audio < 0.9 * min(image, text)


def test_arguments_shape_the_set(tmp_path: Path) -> None:
    counts = generate(tmp_path, "big", users=1500, items=90, cold_items=10, interactions_per_user=5, noise=1.0, seed=3)
    inter = _table(tmp_path / "big" / "big.inter")
    assert counts == {"users": 1500, "items": 90, "cold_items": 10, "interactions": len(inter)}
    assert len({(user, item) for user, item, _ in inter}) == len(inter)
    lengths = np.unique([row[0] for row in inter], return_counts=True)[1]
    assert (lengths.min(), lengths.max(), len(lengths)) == (3, 7, 1500)
    popular = np.unique([row[1] for row in inter], return_counts=True)[1]
    assert len(popular) == 80
    assert popular.max() < 1.5 * popular.mean()  # all noise: no item is preferred
    assert "file: big.text" in (tmp_path / "big" / "big.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"users": 0}, "users >= 1"),
        ({"cold_items": 240}, "cold_items < items"),
        ({"interactions_per_user": 200}, "300 different items, 220 are warm"),
        ({"interactions_per_user": 0}, "interactions_per_user"),
        ({"noise": 1.5}, "noise"),
        ({"name": "a/b"}, "plain folder name"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        generate(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())
