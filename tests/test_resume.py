"""`--resume`: the settings of the checkpoint, the same data, every epoch of the history, one writer a folder."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from model_contract import DATASETS
from new_process import begun

from recbole_mm.base.files import folder_lock
from recbole_mm.commands import cli
from recbole_mm.recbole_bridge.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow  # left out by `make quick`


BPR = ["run", "--model=BPR", "--dataset=microvideo", f"--data_path={DATASETS}"]
RUN = [*BPR, "--learning_rate=0.01", "--embedding_size=8", "--train_batch_size=512"]


def result(folder: Path) -> dict[str, Any]:
    (file,) = folder.rglob("result.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def checkpoint_of(folder: Path) -> Path:
    (file,) = folder.rglob("*.pth")
    return file


def trained(folder: Path, *arguments: str) -> Path:
    assert cli.main([*RUN, f"--checkpoint_dir={folder}", *arguments]) == 0
    return checkpoint_of(folder)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert cli.main(["run", *arguments]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def epochs(found: dict[str, Any]) -> list[tuple[int, float, float]]:
    return [(one["epoch"], one["train_loss"], one["valid_score"]) for one in found["history"]]


def test_the_checkpoint_alone_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    trained(tmp_path / "whole", "--epochs=5")
    file = trained(tmp_path / "part", "--epochs=3")
    assert cli.main(["run", f"--resume={file}", "--epochs=5"]) == 0
    whole, part = result(tmp_path / "whole"), result(tmp_path / "part")
    assert epochs(part) == epochs(whole)
    assert part["test"] == whole["test"]
    assert part["config"]["learning_rate"] == 0.01


@pytest.fixture(scope="module")
def one_epoch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoint of a run that tests leave alone."""
    with pytest.MonkeyPatch.context() as patch:  # before the fixture of each test does the same
        patch.chdir(tmp_path_factory.mktemp("one"))
        return trained(Path.cwd(), "--epochs=1")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--learning_rate=0.1"], ["learning_rate is 0.1 and was 0.01"]),
        (["--seed=7"], ["seed is 7 and was 2020"]),
        (["--eval_step=2", "--embedding_size=16"], ["embedding_size is 16 and was 8", "eval_step is 2 and was 1"]),
        (["--model=LightGCN"], ["model 'BPR', not 'LightGCN'"]),
        (["--dataset=ml-100k"], ["dataset 'microvideo', not 'ml-100k'"]),
        (["--learnig_rate=0.1"], ["learnig_rate", "'learning_rate'"]),
        (["--config_files=own.yaml"], ["weight_decay is 0.1 and was 0.0"]),
    ],
)
def test_other_settings_are_refused(
    given: list[str], words: list[str], one_epoch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.yaml").write_text("weight_decay: 0.1\n")
    before = {path: path.read_bytes() for path in one_epoch.parent.rglob("*") if path.is_file()}
    line = refused(capsys, f"--resume={one_epoch}", "--epochs=2", *given)
    for word in words:
        assert word in line
    assert {path: path.read_bytes() for path in one_epoch.parent.rglob("*") if path.is_file()} == before


def test_what_only_touches_speed_may_change(tmp_path: Path) -> None:
    file = trained(tmp_path / "run", "--epochs=1")
    free = ["--threads=1", "--eval_memory=64", "--stopping_step=3", "--show_progress=False", "--eval_batch_size=9000"]
    assert cli.main(["run", f"--resume={file}", "--epochs=2", *free]) == 0
    assert len(result(tmp_path / "run")["history"]) == 2


def toy(folder: Path, shift: int = 0) -> list[str]:
    """Write a dataset of the same shape, whatever `shift`."""
    (folder / "toy").mkdir(parents=True, exist_ok=True)
    rows = [f"u{user}\ti{(user * place + shift) % 17}" for user in range(1, 31) for place in range(1, 9)]
    (folder / "toy" / "toy.inter").write_text("\n".join(["user_id:token\titem_id:token", *dict.fromkeys(rows)]) + "\n")
    return ["--model=BPR", "--dataset=toy", f"--data_path={folder}", "--topk=[3]", "--valid_metric=MRR@3"]


def test_other_data_of_the_same_shape_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", *toy(tmp_path), "--epochs=1", "--checkpoint_dir=run"]) == 0
    file = checkpoint_of(tmp_path / "run")
    assert cli.main(["run", f"--resume={file}", "--epochs=2"]) == 0
    toy(tmp_path, shift=1)
    assert "is not that of the checkpoint" in refused(capsys, f"--resume={file}", "--epochs=3")
    assert len(result(tmp_path / "run")["history"]) == 2


def test_a_finished_run_resumed_twice_counts_right(tmp_path: Path) -> None:
    file = trained(tmp_path / "run", "--epochs=4", "--valid_metric=Recall@10")
    first = result(tmp_path / "run")
    assert first["best_epoch"] == 3, "the last epoch has to be the best here"
    for _ in range(2):
        assert cli.main(["run", f"--resume={file}"]) == 0
        again = result(tmp_path / "run")
        assert load_checkpoint(file)["epoch"] == 3
        assert epochs(again) == epochs(first)
        assert (again["valid"], again["test"]) == (first["valid"], first["test"])
    assert cli.main(["run", f"--resume={file}", "--epochs=6"]) == 0
    trained(tmp_path / "whole", "--epochs=6", "--valid_metric=Recall@10")
    assert epochs(result(tmp_path / "run")) == epochs(result(tmp_path / "whole"))


def started(folder: Path) -> psutil.Process:
    """Start a long run and return once it has written three epochs."""
    long = ["--epochs=5000", "--stopping_step=5000", f"--checkpoint_dir={folder}"]
    process = begun(*RUN, *long, cwd=Path.cwd(), env=None, said=folder.with_name("said"))
    for _ in range(1200):
        found = list(folder.rglob("result.json"))
        if found and json.loads(found[0].read_text(encoding="utf-8"))["epochs"] >= 3 and list(folder.rglob("*.pth")):
            return process
        assert process.is_running(), folder.with_name("said").read_text(encoding="utf-8")
        Event().wait(0.1)
    process.kill()
    raise AssertionError("no three epochs in two minutes")


def test_a_killed_run_keeps_its_history_and_has_one_writer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = started(tmp_path / "run")
    try:
        file = checkpoint_of(tmp_path / "run")
        assert "another command works in this folder" in refused(capsys, f"--resume={file}")
    finally:
        process.kill()
        process.wait()
    killed = result(tmp_path / "run")
    assert killed["status"] == "running"
    assert [one["epoch"] for one in killed["history"]] == list(range(killed["epochs"]))
    best = int(load_checkpoint(file)["epoch"])
    assert cli.main(["run", f"--resume={file}", f"--epochs={best + 3}"]) == 0
    done = result(tmp_path / "run")
    assert done["status"] == "finished"
    assert [one["epoch"] for one in done["history"]] == list(range(best + 3))
    assert epochs(done)[: best + 1] == epochs(killed)[: best + 1]


def test_a_run_has_its_folder_to_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = trained(tmp_path / "run", "--epochs=1")
    assert not (file.parent / ".lock").exists()
    with folder_lock(file.parent):
        assert "another command works in this folder" in refused(capsys, f"--resume={file}")
    assert cli.main(["run", f"--resume={file}", "--epochs=2"]) == 0


@pytest.mark.parametrize("command", ["run", "tune"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_resume_is_a_mistake(command: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, f"--resume={value}"]) == 2
    assert "--resume has no value" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = trained(tmp_path / "run", "--epochs=1")
    content = bytearray(file.read_bytes())
    weights = torch.load(file, weights_only=True)["state_dict"]["user_embedding.weight"]
    content[content.find(np.asarray(weights).tobytes()[:64]) + 1] ^= 4
    file.write_bytes(content)
    assert "damaged" in refused(capsys, f"--resume={file}", "--epochs=2")
