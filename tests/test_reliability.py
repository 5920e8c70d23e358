"""Faults of the machine: a run that is killed, full and read-only disks, clocks, caches, two commands at once."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import killed_runs
import numpy as np
import pytest
from killed_runs import RUN
from model_contract import DATASETS
from new_process import python
from run_folders import result, the_only

from recbole_mm.base.files import replace_text
from recbole_mm.commands import cli
from recbole_mm.data.cache import cached_arrays
from recbole_mm.recbole_bridge.checkpoint import load_checkpoint
from recbole_mm.training import run as runs
from recbole_mm.training.trainer import RunTrainer

pytestmark = pytest.mark.slow  # left out by `make quick`

ROOT = DATASETS.parent
NOBODY = 65534


def told(found: dict[str, Any]) -> dict[str, Any]:
    """Return what a run has found, without its times."""
    history = [(one["epoch"], one["train_loss"], one["valid_score"]) for one in found["history"]]
    return {"history": history} | {key: found[key] for key in ("status", "valid", "test", "best_epoch")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    assert cli.main([*RUN, f"--checkpoint_dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the folders of runs that were killed, by phase."""
    folder = tmp_path_factory.mktemp("killed")
    done = python(killed_runs.__file__, str(folder), cwd=folder, plugged_in=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize(("phase", "epochs"), [("in_an_epoch", 3), ("while_saving", 2), ("in_the_test", 5)])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    phase: str, epochs: int, killed: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = the_only(killed / phase)
    trained, train = [], RunTrainer._train_epoch

    def noted(self: Any, data: Any, epoch: int, *args: Any, **kwargs: Any) -> Any:
        trained.append(epoch)
        return train(self, data, epoch, *args, **kwargs)

    monkeypatch.setattr(RunTrainer, "_train_epoch", noted)
    for file in (*folder.glob("*.pth"), *folder.glob("*.last")):
        load_checkpoint(file)  # whole, whenever the run was killed
    assert cli.main(["run", f"--resume={folder}"]) == 0
    assert trained == list(range(epochs, 5))
    assert told(result(folder)) == told(result(whole))


def test_a_run_that_was_killed_before_its_first_epoch_has_nothing_to_lose(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = the_only(killed / "before_the_first_epoch")
    assert cli.main(["run", f"--resume={folder}"]) == 2
    assert f"error: --resume={folder}: this folder holds no checkpoint" in capsys.readouterr().err


def test_what_a_name_stands_for_is_on_the_disk_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut leaves the old file or the new one: the bytes are flushed, then named, then the name is flushed."""
    file, steps = tmp_path / "result.json", []
    flush, replace = os.fsync, os.replace

    def flushed(descriptor: int) -> None:
        names = {path.stat().st_ino: path.name for path in (tmp_path, *tmp_path.iterdir())}
        steps.append(names[os.fstat(descriptor).st_ino])
        flush(descriptor)

    def named(source: Any, target: Any) -> None:
        steps.append("named")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", named)
    replace_text(file, "{}")
    assert steps == [f"{file.name}.{os.getpid()}.tmp", "named", tmp_path.name]
    assert file.read_text(encoding="utf-8") == "{}"


class Disk:
    """Folders that take no file for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full: list[Path] = []
        replace = os.replace

        def refused(source: Any, target: Any) -> None:
            if any(folder in Path(target).resolve().parents for folder in self.full):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
            replace(source, target)

        monkeypatch.setattr(os, "replace", refused)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def at_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int, happens: Callable[[], object]) -> None:
    """Let something happen at the beginning of an epoch."""
    train = RunTrainer._train_epoch

    def first(self: Any, data: Any, epoch_idx: int, *args: Any, **kwargs: Any) -> Any:
        if epoch_idx == epoch:
            happens()
        return train(self, data, epoch_idx, *args, **kwargs)

    monkeypatch.setattr(RunTrainer, "_train_epoch", first)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of its own for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_a_full_disk_sends_the_files_elsewhere(
    whole: Path, tmp_path: Path, disk: Disk, temporary: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The checkpoint that was there stays; the run ends, and says where its files are."""
    at_epoch(monkeypatch, 2, lambda: disk.full.append(tmp_path / "saved"))
    assert cli.main([*RUN, "--checkpoint_dir=saved"]) == 0
    folder, spare = the_only(tmp_path / "saved"), the_only(temporary)
    assert load_checkpoint(folder / "BPR.pth")["epoch"] == 0
    assert load_checkpoint(spare / "BPR.pth")["epoch"] == result(whole)["best_epoch"] == 4
    assert told(json.loads((spare / "result.json").read_text())) == told(result(whole))
    assert json.loads((spare / "result.json").read_text())["checkpoint"] == str(spare / "BPR.pth")
    assert not list(tmp_path.rglob("*.tmp"))
    lines = warnings(caplog)
    assert (
        f"{Path('saved') / folder.name / 'BPR.pth'} cannot be written (No space left on device): it is in {spare}"
        in lines
    )
    assert len(lines) == len(set(lines)), "once a file, not after every epoch"
    assert f"except BPR.pth, result.json, test_users.npz, which are in {spare}" in capsys.readouterr().out
    disk.full.clear()
    assert cli.main(["run", f"--resume={spare}", "--epochs=6"]) == 0
    assert len(result(spare)["history"]) == 6


def test_a_state_that_no_folder_takes_is_kept_and_written_later(
    whole: Path, tmp_path: Path, disk: Disk, temporary: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    at_epoch(monkeypatch, 2, lambda: disk.full.extend([tmp_path / "saved", temporary]))
    at_epoch(monkeypatch, 4, disk.full.clear)
    assert cli.main([*RUN, "--checkpoint_dir=saved"]) == 0
    assert told(result(tmp_path / "saved")) == told(result(whole))
    assert any(
        "nor in" in line and "kept in memory, and tried again after the next epoch" in line for line in warnings(caplog)
    )
    assert not any(temporary.rglob("*.pth"))


def test_disks_that_stay_full_end_the_run_in_one_line(
    whole: Path,
    tmp_path: Path,
    disk: Disk,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patched:
        at_epoch(patched, 2, lambda: disk.full.extend([tmp_path / "saved", temporary]))
        assert cli.main([*RUN, "--checkpoint_dir=saved"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: saved/BPR-microvideo")
    assert "BPR.pth cannot be written (No space left on device), nor in" in error
    folder = the_only(tmp_path / "saved")
    assert error.endswith(f"set TMPDIR, and go on from an earlier state with --resume=saved/{folder.name}/BPR.pth")
    disk.full.clear()
    assert cli.main(["run", f"--resume={folder}"]) == 0
    assert told(result(folder)) == told(result(whole))


@contextmanager
def without_rights() -> Iterator[Path]:
    """Give a working folder to somebody who may not write to read-only folders, as root may."""
    before, user = Path.cwd(), os.geteuid()
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    os.chdir(folder)
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(user)
        os.chdir(before)
        for each in folder.rglob("*"):
            each.chmod(0o777)
        shutil.rmtree(folder)


def test_a_read_only_dataset_is_enough(whole: Path) -> None:
    """Nothing is written beside the data."""
    with without_rights() as folder:
        shutil.copytree(DATASETS / "microvideo", folder / "data" / "microvideo")
        (folder / "data" / "microvideo").chmod(0o555)
        with pytest.raises(PermissionError):
            (folder / "data" / "microvideo" / "x").touch()
        moved = [f"--data_path={folder / 'data'}" if word.startswith("--data_path") else word for word in RUN]
        assert cli.main([*moved, f"--checkpoint_dir={folder / 'saved'}"]) == 0
        found = result(folder / "saved")
    assert told(found) == told(result(whole))


def test_a_run_folder_that_becomes_read_only(
    whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with without_rights() as folder:
        (folder / "temporary").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder / "temporary"))
        at_epoch(monkeypatch, 2, lambda: the_only(folder / "saved").chmod(0o555))
        assert cli.main([*RUN, "--checkpoint_dir=saved"]) == 0
        spare = the_only(folder / "temporary")
        found = result(spare)
        capsys.readouterr()
        own = the_only(folder / "saved")
        own.chmod(0o755)
        (own / ".lock").unlink()
        own.chmod(0o555)
        assert cli.main(["run", f"--resume={own}"]) == 2
        assert f"error: {own}: nothing can be written here (Permission denied)" in capsys.readouterr().err
        (folder / "saved").chmod(0o555)
        assert cli.main([*RUN, "--checkpoint_dir=saved"]) == 2
        assert "error: saved: no folder for the run can be made here (Permission denied)" in capsys.readouterr().err
    assert told(found) == told(result(whole))


def test_a_clock_that_goes_backwards(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of a run are of a clock that nobody sets; those of the day are in names alone."""
    clock = iter(range(10**9, 0, -1000))
    for place in ("time.time", "recbole.trainer.trainer.time"):
        monkeypatch.setattr(place, lambda: float(next(clock)))
    assert cli.main([*RUN, "--checkpoint_dir=saved"]) == 0
    found = result(tmp_path / "saved")
    assert told(found) == told(result(whole))
    assert all(0 <= one["seconds"] < 100 for one in found["history"])
    assert 0 < found["seconds"] < 1000


def test_two_runs_that_begin_in_one_second_have_two_folders(tmp_path: Path) -> None:
    config: Any = {"model": "BPR", "dataset": "d", "checkpoint_dir": str(tmp_path)}
    found = {runs._new_folder(config) for _ in range(4)}
    assert len(found) == 4
    assert all(folder.is_dir() for folder in found)


def test_a_file_named_log_is_in_nobody_s_way(tmp_path: Path, whole: Path) -> None:
    (tmp_path / "log").write_text("mine")
    assert cli.main([*RUN, "--checkpoint_dir=saved"]) == 0
    assert (tmp_path / "log").read_text() == "mine"
    assert told(result(tmp_path / "saved")) == told(result(whole))


def ones() -> dict[str, np.ndarray]:
    return {"x": np.ones(1000)}


@pytest.mark.parametrize("damage", [lambda content: content[:100], lambda content: b"", lambda content: b"x" * 5000])
def test_a_damaged_cache_file_is_made_again(
    damage: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RECBOLE_MM_CACHE", str(tmp_path))
    cached_arrays("x", ones)
    file = the_only(tmp_path)
    good = file.read_bytes()
    file.write_bytes(damage(good))
    assert cached_arrays("x", ones)["x"].tolist() == ones()["x"].tolist()
    assert "computing its content again" in caplog.text
    assert np.load(file)["x"].tolist() == ones()["x"].tolist()


def test_two_that_fill_a_cache_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second begins and ends while the first computes: both have the result, and the file is whole."""
    monkeypatch.setenv("RECBOLE_MM_CACHE", str(tmp_path))

    def slow() -> dict[str, np.ndarray]:
        assert cached_arrays("x", ones)["x"].sum() == 1000
        return ones()

    assert cached_arrays("x", slow)["x"].sum() == 1000
    assert np.load(the_only(tmp_path))["x"].sum() == 1000


def test_the_page_names_tests_that_there_are() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    tests = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").glob("test_*.py"))
    assert named
    assert sorted(name for name in named if f"def {name}(" not in tests) == []
