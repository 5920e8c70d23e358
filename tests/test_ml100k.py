from __future__ import annotations

import importlib.util
import logging
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import rows_of

from recbole_mm.base.errors import InputError
from recbole_mm.data import ml100k
from recbole_mm.data.cache import cache_folder, cached_arrays, hash_files
from recbole_mm.data.feature_table import FeatureTable
from recbole_mm.data.ml100k import compute, inputs

ITEM = """item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq
7\tThe Long Journey\t1990\tDrama War
3\tThe Long Journey\t1995\tComedy
9\tA Long Journey Home\t1991\tWar
5\tZebra\t1992\t
8\t\t1993\tComedy Drama
"""
LINK = """item_id:token\tentity_id:token
3\te3
5\te5
7\te7
8\te8
9\te9
"""
KG = """head_id:token\trelation_id:token\ttail_id:token
e3\tactor\tann
e7\tactor\tann
bob\tdirects\te3
bob\tdirects\te7
e9\tactor\tann
e9\tactor\tcat
e9\tactor\tdan
e5\tactor\tdan
e8\tactor\teve
zoe\tdirects\te12
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECBOLE_MM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    for suffix, content in {"item": ITEM, "link": LINK, "kg": KG}.items():
        (folder / f"tiny.{suffix}").write_text(content)
    return folder


@pytest.fixture(scope="module")
def movielens() -> Path:
    spec = importlib.util.find_spec("recbole")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "dataset_example" / "ml-100k"


def _cosines(kind: str, folder: Path) -> dict[tuple[str, str], float]:
    table = compute(kind, folder)
    rows = rows_of(table).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return {(a, b): x @ y for a, x in zip(table.ids, rows, strict=True) for b, y in zip(table.ids, rows, strict=True)}


def test_inputs_are_named_after_the_folder(tmp_path: Path) -> None:
    assert inputs("title", tmp_path / "x") == inputs("genre", tmp_path / "x") == (tmp_path / "x" / "x.item",)
    assert inputs("knowledge", tmp_path / "x" / ".") == (tmp_path / "x" / "x.kg", tmp_path / "x" / "x.link")


def test_genre_is_multi_hot_in_sorted_order(tiny: Path) -> None:
    table = compute("genre", tiny)
    assert list(table.ids) == ["7", "3", "9", "8"]  # 5 has no genre
    assert rows_of(table).dtype == np.float32
    # Comedy, Drama, War
    np.testing.assert_array_equal(rows_of(table), [[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 0]])


def test_title_rows_follow_the_letters(tiny: Path) -> None:
    table = compute("title", tiny)
    assert list(table.ids) == ["7", "3", "9", "5"]  # 8 has no title
    assert rows_of(table).dtype == np.float32
    np.testing.assert_array_equal(rows_of(table)[0], rows_of(table)[1])
    cosine = _cosines("title", tiny)
    assert cosine["7", "9"] > 0.3 > cosine["7", "5"]


def test_knowledge_rows_follow_the_neighbours(tiny: Path) -> None:
    table = compute("knowledge", tiny)
    assert list(table.ids) == ["3", "5", "7", "9"]  # the neighbour of 8 is shared with no item
    assert rows_of(table).dtype == np.float32
    cosine = _cosines("knowledge", tiny)
    assert cosine["3", "7"] == pytest.approx(1)
    assert cosine["3", "5"] == pytest.approx(0, abs=1e-6)
    assert 0 < cosine["3", "9"] < cosine["5", "9"] < 1  # dan, the rarer neighbour, weighs more than ann


def test_knowledge_tells_relations_and_directions_apart(tiny: Path) -> None:
    (tiny / "tiny.kg").write_text(
        "head_id:token\trelation_id:token\ttail_id:token\ne3\tr\tx\ne5\tr\tx\nx\tr\te7\nx\tr\te8\ne9\ts\tx\ne3\ts\tx\n"
    )
    cosine = _cosines("knowledge", tiny)
    assert cosine["7", "8"] == pytest.approx(1)
    assert cosine["5", "7"] == pytest.approx(0, abs=1e-6)
    assert cosine["5", "9"] == pytest.approx(0, abs=1e-6)
    assert 0.5 < cosine["3", "5"] < 1


def test_item_without_link_or_triple_is_absent(tiny: Path) -> None:
    (tiny / "tiny.link").write_text(LINK.replace("7\te7\n", "").replace("e9", "elsewhere"))
    (tiny / "tiny.kg").write_text(KG + "e8\tactor\tdan\n")
    assert list(compute("knowledge", tiny).ids) == ["5", "8"]


def test_dim_is_the_most_columns_and_an_svd_keeps_the_first_ones(tiny: Path) -> None:
    full = rows_of(compute("title", tiny))
    assert full.shape == (4, 4)
    two = rows_of(compute("title", tiny, dim=2))
    assert two.shape == (4, 2)
    np.testing.assert_allclose(two, full[:, :2], atol=1e-5)
    assert full[:, 0].sum() > 0  # the sign is fixed: words weigh positive on the first axis


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("titel", {}, "Did you mean 'title'"),
        ("title", {"dims": 3}, "unknown option 'dims'.*Did you mean 'dim'"),
        ("genre", {"dim": 3}, "genre: unknown option 'dim', it takes no options"),
        ("knowledge", {"encoder": "tfidf"}, "unknown option 'encoder'"),
        ("title", {"encoder": "tf-idf"}, "Did you mean 'tfidf'"),
        (
            "title",
            {"encoder": "sentence-transformers", "dim": 3},
            "sentence-transformers: unknown option 'dim'",
        ),
        ("title", {"encoder": "sentence-transformers", "encoder_model": 5}, "encoder_model must be a name"),
        ("title", {"encoder_model": "x"}, "unknown option 'encoder_model'"),
        ("title", {"dim": 0}, "dim must be an integer of at least 1, not 0"),
        ("knowledge", {"dim": True}, "dim must be an integer"),
        ("knowledge", {"dim": "64"}, "dim must be an integer"),
    ],
)
def test_wrong_options_are_named(tiny: Path, kind: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        compute(kind, tiny, **options)


def test_wrong_files_are_named(tiny: Path) -> None:
    (tiny / "tiny.item").write_text(ITEM.replace("movie_title", "movie_titel"))
    with pytest.raises(InputError, match=r"tiny\.item: no column 'movie_title'.*Did you mean 'movie_titel'"):
        compute("title", tiny)
    (tiny / "tiny.item").write_text(ITEM + "4\tShort\n")
    with pytest.raises(InputError, match=r"tiny\.item, line 7: 2 columns, the header has 4"):
        compute("genre", tiny)
    (tiny / "tiny.item").write_bytes(ITEM.encode() + b"4\t\xff\t1990\tWar\n")
    with pytest.raises(InputError, match=r"tiny\.item: cannot be read"):
        compute("genre", tiny)
    (tiny / "tiny.link").unlink()
    with pytest.raises(InputError, match=r"tiny\.link: cannot be read"):
        compute("knowledge", tiny)


def test_sentence_transformers_is_asked_only_on_demand(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # an import now fails
    compute("title", tiny)
    with pytest.raises(InputError, match=r"pip install 'recbole-mm\[text\]'"):
        compute("title", tiny, encoder="sentence-transformers")

    class Lengths:
        def __init__(self, model: str) -> None:
            if model == "absent":
                raise OSError("no such model")
            weights = Path(model) / "weights"
            self.weight = float(weights.read_text()) if weights.exists() else 1.0

        def encode(self, texts: list[str], **_: object) -> np.ndarray:
            return np.array([[self.weight * len(text), 1.0] for text in texts])

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Lengths))
    table = compute("title", tiny, encoder="sentence-transformers")
    assert list(table.ids) == ["7", "3", "9", "5"]
    assert rows_of(table).dtype == np.float32
    np.testing.assert_array_equal(rows_of(table), [[16, 1], [16, 1], [19, 1], [5, 1]])

    with pytest.raises(InputError, match="'absent' cannot be loaded"):
        compute("title", tiny, encoder="sentence-transformers", encoder_model="absent")
    (tmp_path / "local").mkdir()
    for weight in (2.0, 3.0):  # other weights in the same folder are another model
        (tmp_path / "local" / "weights").write_text(str(weight))
        local = compute("title", tiny, encoder="sentence-transformers", encoder_model=str(tmp_path / "local"))
        assert rows_of(local)[3, 0] == 5 * weight


def _lines(file: Path) -> list[list[str]]:
    return [line.split("\t") for line in file.read_text(encoding="utf-8").split("\n")[1:] if line]


KINDS = ("title", "genre", "knowledge")


@pytest.fixture(scope="module")
def tables(movielens: Path, feature_cache: Path) -> dict[str, FeatureTable]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECBOLE_MM_CACHE", str(feature_cache))
        return {kind: compute(kind, movielens) for kind in KINDS}


def test_movielens_is_covered(movielens: Path, tables: dict[str, FeatureTable]) -> None:
    items = {row[0]: row for row in _lines(movielens / "ml-100k.item")}
    linked = {entity: item for item, entity in _lines(movielens / "ml-100k.link")}
    holders: dict[tuple[str, str, bool], set[str]] = defaultdict(set)
    for head, relation, tail in _lines(movielens / "ml-100k.kg"):
        for entity, other, is_head in ((head, tail, True), (tail, head, False)):
            if entity in linked:
                holders[relation, other, is_head].add(linked[entity])
    related = set().union(*(held for held in holders.values() if len(held) > 1))

    assert len(items) == 1682
    assert len(related) == 1596
    for kind, expected, dim in (
        ("title", set(items), 64),
        ("genre", set(items), 19),
        ("knowledge", related, 64),
    ):
        table = tables[kind]
        assert set(table.ids) == expected
        assert rows_of(table).shape == (len(expected), dim)
        assert rows_of(table).dtype == np.float32
        assert np.linalg.norm(rows_of(table), axis=1).min() > 0
    assert rows_of(tables["genre"]).sum() == sum(len(row[3].split()) for row in items.values())


@pytest.mark.parametrize("kind", KINDS)
def test_movielens_gives_the_same_bits_again_computed_and_cached(
    movielens: Path, tables: dict[str, FeatureTable], kind: str
) -> None:
    for again in (compute(kind, movielens), compute(kind, movielens)):
        assert list(again.ids) == list(tables[kind].ids)
        assert rows_of(again).dtype == rows_of(tables[kind]).dtype
        np.testing.assert_array_equal(rows_of(again), rows_of(tables[kind]))


def test_cache_is_read_until_content_or_options_change(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(compute("title", tiny))
    with monkeypatch.context() as patch:
        patch.setattr(ml100k, "features_of", lambda *_: pytest.fail("computed again"))
        np.testing.assert_array_equal(rows_of(compute("title", tiny)), rows)
        for change in ({"dim": 2}, {"dim": 3}):
            with pytest.raises(pytest.fail.Exception):
                compute("title", tiny, **change)
    (tiny / "tiny.item").write_text(ITEM.replace("Zebra", "Zebras"))
    assert not np.array_equal(rows_of(compute("title", tiny)), rows)
    (tiny / "tiny.item").write_text(ITEM)
    np.testing.assert_array_equal(rows_of(compute("title", tiny)), rows)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_cache_file_is_replaced(
    tiny: Path, cache: Path, caplog: pytest.LogCaptureFixture, share: float
) -> None:
    rows = rows_of(compute("genre", tiny))
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(rows_of(compute("genre", tiny)), rows)
    assert [record.getMessage().count(str(file)) for record in caplog.records] == [1]
    assert list(cache.iterdir()) == [file]  # and no temporary file is left
    assert file.stat().st_size == len(whole)


def test_pickled_cache_file_is_not_loaded(cache: Path) -> None:
    cached_arrays("x", lambda: {"a": np.arange(3)})
    (file,) = cache.iterdir()
    np.savez(file, a=np.array([{"evil": 1}], dtype=object))
    np.testing.assert_array_equal(cached_arrays("x", lambda: {"a": np.arange(3)})["a"], [0, 1, 2])


def test_unwritable_cache_folder_costs_a_warning(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECBOLE_MM_CACHE", str(tmp_path / "file" / "cache"))
    with caplog.at_level(logging.WARNING):
        assert rows_of(compute("genre", tiny)).shape == (4, 3)
    assert "Cannot write to the cache folder" in caplog.text


def test_failed_write_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(stream: object, **_: np.ndarray) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    np.testing.assert_array_equal(cached_arrays("x", lambda: {"a": np.ones(2)})["a"], [1, 1])
    assert list(cache.iterdir()) == []


def test_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECBOLE_MM_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("RECBOLE_MM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "recbole-mm"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "recbole-mm"


def test_cache_key_holds_name_parameters_and_version(cache: Path) -> None:
    variants: list[tuple[str, dict[str, int], int]] = [
        ("x", {}, 1),
        ("y", {}, 1),
        ("x", {"k": 1, "m": 2}, 1),
        ("x", {"k": 2, "m": 1}, 1),
        ("x", {}, 2),
    ]
    for number, (name, parameters, version) in enumerate(variants):
        content = {"a": np.array(number)}
        cached_arrays(name, content.copy, (), parameters, version)
    held = [int(cached_arrays(name, dict, (), parameters, version)["a"]) for name, parameters, version in variants]
    assert held == [0, 1, 2, 3, 4]
    assert int(cached_arrays("x", dict, parameters={"m": 2, "k": 1})["a"]) == 2  # the order is none of the key
    assert len(list(cache.iterdir())) == 5


def test_object_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match=r"of Python objects .*: bad"):
        cached_arrays("x", lambda: {"good": np.ones(1), "bad": np.array([None])})


def test_hash_files_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent: cannot be read"):
        hash_files([tmp_path / "absent"])


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.binary(max_size=6), max_size=3),
    st.lists(st.binary(max_size=6), max_size=3),
    st.text(),
    st.text(),
)
def test_hash_files_is_equal_only_for_equal_content(
    tmp_path_factory: pytest.TempPathFactory, one: list[bytes], two: list[bytes], extra: str, other: str
) -> None:
    def hashed(contents: list[bytes], text: str) -> str:
        folder = tmp_path_factory.mktemp("hash")
        for number, content in enumerate(contents):
            (folder / str(number)).write_bytes(content)
        return hash_files([folder / str(number) for number in range(len(contents))], text)

    assert hashed(one, extra) == hashed(one, extra)
    assert (hashed(one, extra) == hashed(two, other)) == ((one, extra) == (two, other))
