"""`recbole-mm datasets` tells of every dataset what is known of it, and compares files; it asks nobody else."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recbole
import yaml

from benchmarks.real_sources import DATASETS
from recbole_mm.commands import cli
from recbole_mm.conversion.known_datasets import KnownDataset, KnownFile, check_folder, known_dataset, known_datasets
from recbole_mm.conversion.layouts import LAYOUT_KINDS
from recbole_mm.settings.names import properties_folder

ROOT = Path(__file__).parents[1]
KNOWN = known_datasets()
FACTS = {"about", "users", "items", "interactions", "modalities", "layout", "source", "paper", "terms"} | {
    "commands", "notes", "files"
}  # fmt: skip
MEASURED = {  # where the very files are that were measured
    "microvideo": ROOT / "dataset" / "microvideo",
    "ml-100k": Path(recbole.__file__).parent / "dataset_example" / "ml-100k",
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was asked")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert cli.main(["datasets", *words]) == code
    printed = capsys.readouterr()
    assert (printed.err == "") == (code != 2)
    return printed.err if code == 2 else printed.out


def test_datasets_that_there_are() -> None:
    assert list(KNOWN) == [
        "microvideo", "ml-100k", "tiktok", "allrecipes", "baby", "sports", "clothing", "microlens", "microlens-mmrec",
        "lfm2k", "beauty", "sports-sequences", "ml-posters",
    ]  # fmt: skip


def test_every_layout_has_a_dataset() -> None:
    assert {one.layout for one in KNOWN.values()} == {*LAYOUT_KINDS, "real_data", "none"}


@pytest.mark.parametrize("name", KNOWN)
def test_every_fact_is_there(name: str) -> None:
    facts = yaml.safe_load((properties_folder() / "datasets.yaml").read_text(encoding="utf-8"))[name]
    assert set(facts) == FACTS
    for fact in ("about", "paper", "terms"):
        assert isinstance(facts[fact], str), fact
        assert facts[fact], fact
    for fact in ("source", "commands", "notes", "files"):
        assert facts[fact], fact
        assert all(facts[fact]), fact
    dataset = KNOWN[name]
    numbers = (dataset.users, dataset.items, dataset.all_interactions)
    assert all(number > 0 for number in numbers if number is not None)
    assert (None in numbers) == (set(numbers) == {None})
    for file in dataset.files:
        assert (file.size is None) == (file.sha256 == "")
        assert len(file.sha256) in (0, 64)
    assert any(file.sha256 for file in dataset.files) == (name in MEASURED)
    assert not any(folder in yaml.safe_dump(facts) for folder in ("/work", "/tmp", "/home"))


@pytest.mark.parametrize("name", KNOWN)
def test_its_command_is_understood(name: str) -> None:
    dataset = KNOWN[name]
    for command in dataset.commands:
        words = shlex.split(command)
        if dataset.layout == "real_data":
            assert words == ["python", "-m", "benchmarks.real_data", "SOURCE", f"--only={name}"]
            assert name in DATASETS
            continue
        assert words[0] == "recbole-mm"
        known, rest = cli._command(words[1:])
        arguments = cli._read(known, rest)
        assert arguments is not None
        if dataset.layout == "none":
            assert (known, arguments.options.dataset) == ("run", name)
        else:
            assert (known, arguments.options.kind) == ("convert", dataset.layout)
            assert arguments.options.out == Path("dataset", name)


def test_exact_values_of_two() -> None:
    baby = KNOWN["baby"]
    assert (baby.users, baby.items, baby.all_interactions) == (19445, 7050, 160792)
    assert baby.interactions == {"train": 118551, "valid": 20559, "test": 21682}
    assert (baby.modalities, baby.layout) == (["image", "text"], "mmrec")
    assert baby.files == [
        KnownFile("baby.inter"), KnownFile("image_feat.npy", optional=True), KnownFile("text_feat.npy", optional=True)
    ]  # fmt: skip
    movies = KNOWN["ml-100k"]
    assert (movies.users, movies.items, movies.interactions) == (943, 1682, 100000)
    assert movies.files[0] == KnownFile(
        "ml-100k.inter", 1979230, "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"
    )


@pytest.mark.parametrize("name", MEASURED)
def test_what_was_measured_is_that(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    dataset, folder = KNOWN[name], MEASURED[name]
    assert {(one.name, one.state) for one in check_folder(dataset, folder)} == {
        (file.name, "right") for file in dataset.files
    }
    lines = said(capsys, name, f"--check={folder}").splitlines()
    assert lines[-1] == f"{folder}: {len(dataset.files)} right"
    rows = np.loadtxt(folder / f"{name}.inter", dtype=str, delimiter="\t", skiprows=1, usecols=(0, 1))
    items = (folder / f"{name}.item").read_text(encoding="utf-8").splitlines()[1:]
    assert (dataset.users, dataset.items, dataset.interactions) == (len(set(rows[:, 0])), len(items), len(rows))


def test_files_that_are_right_missing_altered_and_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in KNOWN["ml-100k"].files:
        shutil.copyfile(MEASURED["ml-100k"] / file.name, tmp_path / file.name)
    content = (tmp_path / "ml-100k.item").read_bytes()
    (tmp_path / "ml-100k.item").write_bytes(content[:-2] + b"?\n")
    (tmp_path / "ml-100k.kg").write_bytes(b"short")
    (tmp_path / "ml-100k.user").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    lines = said(capsys, "ml-100k", f"--check={tmp_path}", code=1).splitlines()
    assert lines[:2] == ["right       ml-100k.inter", lines[1]]
    assert lines[1].startswith("differs     ml-100k.item: sha256 ")
    assert lines[1].endswith("..., not 51d7cdf777ce...")
    assert lines[2:] == [
        "differs     ml-100k.kg: 5 bytes, not 3,515,608",
        "right       ml-100k.link",
        "missing     ml-100k.user",
        "other       notes.txt",
        f"{tmp_path}: 2 right, 2 differs, 1 missing, 1 other",
    ]


def test_files_that_nobody_has_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "MicroLens_pairs.csv").write_text("user,item,timestamp\n")
    (tmp_path / "image.npy").write_bytes(b"12345")
    assert said(capsys, "microlens", "--check", str(tmp_path)).splitlines() == [
        "unmeasured  MicroLens_pairs.csv: 20 bytes",
        "left out    *title*.csv",
        "unmeasured  image.npy: 5 bytes",
        f"{tmp_path}: 2 unmeasured, 1 left out",
        "unmeasured: the file is there; nobody has measured the published one",
    ]


def test_what_cannot_be_answered_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "bbay", code=2) == (
        "error: unknown dataset 'bbay'; the nearest are baby, beauty, allrecipes (recbole-mm datasets lists all)\n"
    )
    assert said(capsys, f"--check={tmp_path}", code=2) == (
        "error: --check needs a dataset: recbole-mm datasets NAME --check=FOLDER\n"
    )
    nowhere = tmp_path / "nowhere"
    assert said(capsys, "baby", f"--check={nowhere}", code=2) == (
        f"error: {nowhere} does not exist: give the folder that holds the data\n"
    )
    assert "unknown option '--chek'. Did you mean '--check'?" in said(capsys, "baby", "--chek=x", code=2)


@pytest.fixture
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("_narrow")
def test_the_list_has_all_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys).splitlines()
    assert lines[0].split() == ["dataset", "users", "items", "interactions", "modalities", "kind"]
    assert [line.split()[0] for line in lines[1:] if line[:1] not in ("", " ", "-")][: len(KNOWN)] == list(KNOWN)
    assert "lfm2k              1,858   1,425        56,345  text, audio_vggish,    table" in lines
    assert "clothing               -       -             -  -                      mmrec" in lines
    assert max(map(len, lines)) <= 80


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize("name", KNOWN)
def test_one_is_told_whole_within_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, dataset = said(capsys, name), KNOWN[name]
    assert max(map(len, out.splitlines())) <= 80
    told = " ".join(out.split())
    for text in (dataset.about, dataset.paper, dataset.terms, *dataset.source, *dataset.notes, *dataset.commands):
        assert " ".join(text.split()) in told
    for file in dataset.files:
        assert file.name in told
        assert file.sha256 in told
    assert f"users {'not verified' if dataset.users is None else f'{dataset.users:,}'} items" in told


def test_parts_of_a_split_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "interactions  68,722 (train 59,541, valid 3,051, test 6,130)\n" in said(capsys, "tiktok")
    assert isinstance(known_dataset("tiktok"), KnownDataset)


def test_recbole_is_not_needed() -> None:
    script = (
        "import recbole_mm_cli, sys; code = recbole_mm_cli.main(['datasets', 'baby'])\n"
        "sys.exit(code or sorted({'torch', 'pandas', 'numpy', 'recbole'} & {*sys.modules}) or 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("baby: Amazon Baby")
