"""`recbole-mm inspect` as a user types it: every problem at once, exit codes, the screen and the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import Page

from recbole_mm.commands import cli
from recbole_mm.configuration.request import Request
from recbole_mm.extraction.card import Card, write_card
from recbole_mm.inspection.problems import Problems
from recbole_mm.inspection.walk import inspect

ROOT = Path(__file__).parents[1]
N_USERS, N_ITEMS = 20, 16
HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"
YAML = """load_col: {inter: [user_id, item_id, timestamp], item: [item_id]}
topk: [5]
valid_metric: MRR@5
embedding_size: 8
modalities:
  image: {file: image.npy}
  audio: {file: audio.npy, ids: audio.ids}
"""


Toy = Path  # the folder of the dataset


def interactions() -> list[tuple[str, str]]:
    """Return pairs in which users like the items of their own half of the catalogue."""
    half = N_ITEMS // 2
    return [(f"u{u}", f"i{half * (u % 2) + (u // 2 + n) % half}") for n in range(6) for u in range(N_USERS)]


def write_inter(toy: Toy, pairs: list[tuple[str, str]], name: str = "toy.inter") -> None:
    lines = [f"{user}\t{item}\t{time}\n" for time, (user, item) in enumerate(pairs)]
    (toy / name).write_text(HEADER + "".join(lines))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Return the folder of a healthy set with two modalities that tell the halves of the catalogue."""
    monkeypatch.setattr("recbole_mm.inspection.coconsumption.NEIGHBOURS", 2)  # the catalogue is small
    folder = tmp_path / "data" / "toy"
    folder.mkdir(parents=True)
    write_inter(folder, interactions())
    names = [f"i{i}" for i in range(N_ITEMS)]
    (folder / "toy.item").write_text("item_id:token\n" + "\n".join(names) + "\n")
    rng = np.random.default_rng(0)
    halves = np.repeat([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]], N_ITEMS // 2, axis=0)
    np.save(folder / "image.npy", halves + rng.normal(size=halves.shape) * 0.1)
    np.save(folder / "audio.npy", (halves + rng.normal(size=halves.shape) * 0.1)[:12].astype(np.float16))
    (folder / "audio.ids").write_text("\n".join(names[:12]) + "\n")
    for name in ("image", "audio"):
        write_card(folder / f"{name}.npy", Card(name, "frames", "network", "", "", "none", "2026-11-28", 16, 16, 3))
    (folder / "toy.yaml").write_text(YAML)
    return folder


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the page, whose plots take longer than the rest."""
    monkeypatch.setattr("recbole_mm.commands.inspect.inspection_html", lambda found: "")


def look(*arguments: str) -> Problems:
    model = next((a.partition("=")[2] for a in arguments if a.startswith("--model=")), "MHCR")
    rest = dict(a.removeprefix("--").split("=", 1) for a in arguments if not a.startswith("--model="))
    return inspect(Request(model, "toy", [], {"data_path": "data", **rest})).problems


def texts(problems: Problems, is_error: bool) -> str:
    return "\n".join(problem.text for problem in (problems.errors if is_error else problems.warnings))


def array(toy: Toy, name: str) -> Any:
    return np.load(toy / name)


def test_a_healthy_set(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "toy", "--data_path=data", "--seed=3"]) == 0
    captured = capsys.readouterr()
    assert "toy, as MHCR would train on it: 20 users, 16 items, 120 interactions, density 37.5 %" in captured.out
    assert "0 errors, 1 warning: training would start." in captured.out  # the split, RecBole's own, is not by time
    assert (
        "warning: toy: interactions that are held out are earlier than the last training interaction:" in captured.out
    )
    assert len(captured.out.splitlines()) <= 45
    lines = [re.split(r"\s{2,}", line.strip()) for line in captured.out.splitlines()]
    assert ["a user", "6", "6", "6", "6", "6", "6", "0"] in lines
    assert ["train", "80", "20", "16"] in lines
    (valid,) = (line for line in lines if line[0] == "valid")
    assert (valid[1:3], valid[4:]) == (["20", "20"], ["0", "0.0%", "0", "0.0%"])
    (image,) = (line for line in lines if line[:2] == ["image", "16"] and "float64" in line)
    assert image[2:5] == ["3", "float64", "100.0%"]
    (audio,) = (line for line in lines if line[:2] == ["audio", "12"] and "float16" in line)
    assert audio[4] == "75.0%"
    assert {file.name for file in Path().iterdir()} == {"data", "inspect-toy.html"}  # and no traces of RecBole's


@pytest.mark.usefixtures("no_page")
def test_the_embedded_set_through_a_sequential_model(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"--data_path={ROOT / 'dataset'}", "--model=CCL4Rec", "--out=page.html"]
    assert cli.main(["inspect", "microvideo", *arguments]) == 0
    out = capsys.readouterr().out
    lines = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]
    assert "300 users, 240 items, 6,148 interactions" in out
    (train,) = (line for line in lines if line[0] == "train")
    assert train[:3] == ["train", "5,548", "300"]  # all but two a user, the first of a history among them
    assert Path("page.html").is_file()


def test_everything_at_once(toy: Toy) -> None:
    (toy / "image.npy").write_bytes(b"JFIF, no array")
    audio = array(toy, "audio.npy")
    audio[4, 1] = np.nan
    np.save(toy / "audio.npy", audio)
    with (toy / "toy.inter").open("a") as file:
        file.write("u1\ti1\n")
    (toy / "toy.item").write_text((toy / "toy.item").read_text() + "NA\n")
    found = texts(look("--learner=adm", "--hyper_num=0"), is_error=True)
    for words in (
        ["learner is 'adm'", "'adam'"],
        ["hyper_num must be at least 1"],
        ["image.npy: not a complete .npy file", "save it as an array"],
        ["audio.npy: item 'i4' has nan in column 1", "1 of 12 rows", "remove them"],
        ["toy.inter, line 122: 2 fields, but the header has 3"],
        ["toy.item, line 18: item_id 'NA'", "rename it"],
    ):
        (line,) = (line for line in found.splitlines() if words[0] in line)
        for word in words:
            assert word in line
    assert len(found.splitlines()) == 6


def test_the_page_is_written_when_nothing_can_be_loaded(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    (toy / "toy.inter").unlink()
    assert cli.main(["inspect", "toy", "--data_path=data"]) == 1
    out = capsys.readouterr().out
    assert "toy.inter does not exist" in out
    assert "1 error, 0 warnings: training would fail." in out
    page = Path("inspect-toy.html").read_text()
    assert "toy.inter does not exist" in page
    assert "float64" in page  # what the image file told


@pytest.mark.usefixtures("no_page")
def test_a_broken_modality_leaves_the_rest_to_see(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    (toy / "image.npy").unlink()
    (toy / "audio.ids").write_text("\n".join(f"i{i}" for i in range(11)) + "\nx9\n")
    assert cli.main(["inspect", "toy", "--data_path=data"]) == 1
    out = capsys.readouterr().out
    assert "120 interactions" in out
    assert re.search(r"train +80", out)
    assert "image.npy: cannot be read" in out
    assert "1 of 12 item ids are not in the dataset: 'x9'" in out


def double(toy: Toy) -> list[str]:
    write_inter(toy, [*interactions(), ("u3", "i9"), ("u3", "i9")])
    return [
        "toy.inter: 2 of 122 interactions repeat an earlier one",
        "'u3' with item 'i9' in line ",
        "rm_dup_inter: first",
    ]


def forget_an_item(toy: Toy) -> list[str]:
    with (toy / "toy.inter").open("a") as lines:
        lines.write("u3\tunlisted\t500\nu4\tunlisted\t501\n")
    return ["toy.inter: RecBole's filters leave 120 of 122 interactions", "filter_inter_by_user_or_item: false"]


def copy_a_row(toy: Toy) -> list[str]:
    image = array(toy, "image.npy")
    image[5] = image[2]
    np.save(toy / "image.npy", image)
    return ["image.npy: 1 of 16 rows are exact copies", "item 'i5' (row 5) of 'i2' (row 2)", "remove its rows"]


def zero_a_row(toy: Toy) -> list[str]:
    image = array(toy, "image.npy")
    image[7] = 0
    np.save(toy / "image.npy", image)
    return ["image.npy: 1 of 16 rows are all 0", "item 'i7' (row 7)", "remove them"]


def set_a_column(toy: Toy) -> list[str]:
    audio = array(toy, "audio.npy")
    audio[:, 2] = 5
    np.save(toy / "audio.npy", audio)
    return ["modality 'audio'", "audio.npy: 1 of 3 columns (from 0) are the same in all rows: '2'", "drop them"]


def cover_little(toy: Toy) -> list[str]:
    np.save(toy / "audio.npy", array(toy, "audio.npy")[:4])
    (toy / "audio.ids").write_text("i0\ni1\ni8\ni9\n")
    return ["audio.npy: only 4 of 16 items (25.0%) have a row", "ids are written alike"]


def shuffle_the_image(toy: Toy) -> list[str]:
    np.save(toy / "image.npy", array(toy, "image.npy")[np.arange(N_ITEMS).reshape(2, -1).T.ravel()])
    return ["modality 'image'", "hardly more often than random items", "each row belongs to its item"]


def stop_the_clock(toy: Toy) -> list[str]:
    (toy / "toy.inter").write_text(HEADER + "".join(f"{user}\t{item}\t7.5\n" for user, item in interactions()))
    return ["toy.inter: all 120 interactions have the timestamp 7.5", "order: RO"]


def test_first_interactions_of_histories_count_as_training(toy: Toy) -> None:
    write_inter(toy, [*interactions(), ("brief", "i1"), ("brief", "i2")])
    by_time = inspect(Request("CCL4Rec", "toy", [], {"data_path": "data"})).splits
    assert [split.n for split in by_time] == [82, 20, 20]  # of two interactions RecBole holds out none
    pairs = interactions()
    for part, some in {"train": [*pairs[:80], ("x", "i1")], "valid": pairs[80:100], "test": [("x", "i2")]}.items():
        write_inter(toy, some, f"toy.{part}.inter")
    settings = {"data_path": "data", "benchmark_filename": "['train', 'valid', 'test']"}
    given = inspect(Request("CCL4Rec", "toy", [], settings)).splits
    assert [(split.n, split.cold_users) for split in given] == [(81, 0), (20, 0), (1, 0)]


@pytest.mark.parametrize(
    "harm",
    [double, forget_an_item, copy_a_row, zero_a_row, set_a_column, cover_little, shuffle_the_image, stop_the_clock],
)
def test_a_warning_with_place_and_cure(toy: Toy, harm: Callable[[Toy], list[str]]) -> None:
    words = harm(toy)
    found = look("--epochs=1")
    assert not found.errors
    (line,) = (problem.text for problem in found.warnings if words[0] in problem.text)
    for word in words:
        assert word in line


def test_splits_that_come_with_the_data(toy: Toy) -> None:
    pairs = interactions()
    write_inter(toy, [*pairs[:80], pairs[0]], "toy.train.inter")
    write_inter(toy, [*pairs[80:100], ("stranger", "i1"), ("stranger", "new")], "toy.valid.inter")
    write_inter(toy, [*pairs[100:], pairs[3]], "toy.test.inter")
    (toy / "toy.item").write_text((toy / "toy.item").read_text() + "new\n")
    image = array(toy, "image.npy")
    np.save(toy / "image.npy", np.concatenate([image, image[:1] * 2]))
    found = look("--benchmark_filename=['train', 'valid', 'test']")
    assert not found.errors
    lines = texts(found, is_error=False).splitlines()
    expected = [
        ["toy.train.inter: 1 of 81 interactions repeat", "'u0' with item 'i0' in line 82: remove these lines, unless"],
        [
            "toy.valid.inter: 1 of 21 users of the valid split (9.1% of its interactions)",
            "Remove them from this split, or split by user: recbole-mm split toy --min-history=1.",
        ],
        [
            "toy.valid.inter: 1 of 17 items of the valid split (4.5% of its interactions)",
            "only features can rank",
            "else remove them from this split.",
        ],
        [
            "toy.test.inter: 1 of 21 interactions of the test split are in the training split",
            "'u3' with item 'i9' in line ",
        ],
    ]
    for words in expected:
        assert any(all(word in line for word in words) for line in lines), (words, lines)
    assert [line for line in lines if "earlier than the last training interaction: " in line]
    assert len(lines) == 5
    assert not [line for line in lines if "inter_num_interval" in line or "group_by" in line]  # of no effect here


def test_one_time_for_all_in_splits_that_come_with_the_data(toy: Toy) -> None:
    pairs = interactions()
    for part, some in {"train": pairs[:80], "valid": pairs[80:100], "test": pairs[100:]}.items():
        (toy / f"toy.{part}.inter").write_text(HEADER + "".join(f"{user}\t{item}\t7\n" for user, item in some))
    found = texts(look("--benchmark_filename=['train', 'valid', 'test']"), is_error=False)
    assert "Write real times, or leave timestamp out of load_col." in found
    assert "eval_args" not in found


def test_short_histories_under_leave_one_out(toy: Toy) -> None:
    write_inter(toy, [*interactions(), ("brief", "i1"), ("brief", "i2"), ("once", "i3")])
    found = texts(look("--eval_args={'split': {'LS': 'valid_and_test'}, 'order': 'TO'}"), is_error=False)
    assert "toy.inter: 2 of 22 users have fewer than 3 interactions" in found
    assert "'brief', 'once'. Set user_inter_num_interval: '[3,inf)'" in found


# What each does to the set or asks for, and whether a training then fails.
def nothing(toy: Toy) -> None:
    pass


def bad_line(toy: Toy) -> None:
    (toy / "toy.inter").write_text((toy / "toy.inter").read_text() + "u1\ti1\t3\t4\n")


def blank_id(toy: Toy) -> None:
    (toy / "toy.inter").write_text((toy / "toy.inter").read_text() + "u1 \ti1\t900\n")


def item_twice(toy: Toy) -> None:
    (toy / "toy.item").write_text((toy / "toy.item").read_text().replace("i0\n", "i0\ni0\n"))


def item_and_row_twice(toy: Toy) -> None:
    item_twice(toy)
    np.save(toy / "image.npy", array(toy, "image.npy")[[0, *range(N_ITEMS)]])


def no_time(toy: Toy) -> None:
    (toy / "toy.inter").write_text((toy / "toy.inter").read_text() + "u1\ti1\t\n")


def packed_items(toy: Toy) -> None:
    (toy / "toy.item").rename(toy / "toy.item.gz")


def no_folder(toy: Toy) -> None:
    toy.rename(toy.parent / "elsewhere")


def no_image(toy: Toy) -> None:
    (toy / "image.npy").unlink()


def nan_audio(toy: Toy) -> None:
    np.save(toy / "audio.npy", array(toy, "audio.npy") * np.nan)


def unknown_ids(toy: Toy) -> None:
    (toy / "audio.ids").write_text("\n".join(f"x{i}" for i in range(12)))


def other_items(toy: Toy) -> None:
    (toy / "toy.item").write_text("item_id:token\n" + "".join(f"x{i}\n" for i in range(N_ITEMS)))


def unknown_key(toy: Toy) -> None:
    (toy / "toy.yaml").write_text(YAML + "modalitys: {}\n")


def no_yaml(toy: Toy) -> None:
    (toy / "toy.yaml").write_text("load_col: {inter: [\n")


def no_modalities(toy: Toy) -> None:
    (toy / "toy.yaml").write_text(YAML[: YAML.index("modalities:")])


def one_modality(toy: Toy) -> None:
    (toy / "toy.yaml").write_text(YAML[: YAML.index("  audio:")])


def all_warnings(toy: Toy) -> None:
    for harm in (double, copy_a_row, zero_a_row, set_a_column, cover_little):
        harm(toy)


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize(
    ("harm", "arguments", "fails"),
    [
        (nothing, [], False),
        (all_warnings, [], False),
        (bad_line, [], True),
        (blank_id, [], True),
        (item_twice, [], True),
        (item_and_row_twice, [], True),
        (no_time, [], True),
        (packed_items, [], True),
        (stop_the_clock, [], False),
        (stop_the_clock, ["--model=SASRec"], True),
        (stop_the_clock, ["--eval_args={'order': 'TO', 'split': {'RS': [8, 1, 1]}}"], True),
        (no_folder, [], True),
        (no_image, [], True),
        (no_image, ["--model=BPR"], False),  # which reads no features
        (nan_audio, [], True),
        (nan_audio, ["--model=CCL4Rec"], True),
        (unknown_ids, [], True),
        (other_items, [], True),
        (unknown_key, [], True),
        (no_yaml, [], True),
        (no_modalities, [], True),
        (one_modality, ["--model=SEA"], True),
        (nothing, ["--missing_modality=error"], True),
        (nothing, ["--normalize=l3"], True),
        (nothing, ["--topk=[50]", "--valid_metric=MRR@50"], True),
        (nothing, ["--learner=adm"], True),
        (nothing, ["--threads=-1"], True),
        (nothing, ["--hyper_num=0"], True),
        (nothing, ["--hc_reference=smell"], True),
        (nothing, ["--eval_args={'split': {'RS': [1.0, 0.0, 0.0]}}"], True),
        (nothing, ["--model=SASRec"], False),
        (nothing, ["--model=SASRec", "--train_neg_sample_args={'sample_num': 1}"], True),  # its loss wants none
        (nothing, ["--user_inter_num_interval=[50,inf)"], True),
        (nothing, ["--user_inter_num_interval=abc"], True),
        (nothing, ["--device=mars"], True),
        (nothing, ["--load_col={'inter': ['user_id', 'item_id', 'rating']}"], True),
    ],
)
def test_exit_1_exactly_when_a_training_fails(
    toy: Toy, harm: Callable[[Toy], object], arguments: list[str], fails: bool
) -> None:
    harm(toy)
    common = ["--data_path=data", *arguments]
    assert cli.main(["inspect", "toy", *common]) == int(fails)
    try:
        trained = cli.main(["run", "--dataset=toy", "--epochs=1", *common]) == 0
    except Exception:
        trained = False
    assert trained is not fails


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--learnig_rate=1"], ["learnig_rate", "'learning_rate'"]),
        (["--model=MHCRR"], ["'MHCRR'", " MHCR, "]),
        (["--config_files=nowhere.yaml"], ["nowhere.yaml"]),
        (["nonsense"], ["nonsense", "--key=value"]),
        (["--out=nowhere/page.html"], ["--out=nowhere", "page.html"]),
    ],
)
def test_mistakes_in_the_command(
    toy: Toy, arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["inspect", "toy", "--data_path=data", *arguments]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def test_the_page_stands_alone_and_escapes_what_the_data_say(toy: Toy) -> None:
    (toy / "toy.item").write_text((toy / "toy.item").read_text().replace("i5\n", "<script>alert(1)</script>\n"))
    pairs = [(user, item if item != "i5" else "<script>alert(1)</script>") for user, item in interactions()]
    write_inter(toy, [*pairs, pairs[pairs.index(("u0", "<script>alert(1)</script>"))]])
    (toy / "audio.ids").write_text((toy / "audio.ids").read_text().replace("i5\n", "<script>alert(1)</script>\n"))
    copy_a_row(toy)
    assert cli.main(["inspect", "toy", "--data_path=data"]) == 0
    page = Path("inspect-toy.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 2
    tags = Page(page)
    assert tags.addresses == []
    assert tags.tags.count("script") == 3 + len(("history", "norms", "co_consumption"))
    for heading in ("Problems", "Interactions", "Splits", "Modalities", "Co-consumption"):
        assert f"<h2>{heading}</h2>" in page
    assert (
        page.count("<figcaption>") == 3 + 5
    )  # three plots; tables, of the modalities two: their numbers, and their cards


def test_what_nobody_explains_is_a_problem_and_not_a_crash(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("weights")

    monkeypatch.setattr("recbole_mm.inspection.walk.build_model", broken)
    (problem,) = look().errors
    assert problem.text == "building MHCR stops with KeyError: 'weights'. Train with `recbole-mm run` to see where."
