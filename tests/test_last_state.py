"""A run that ends anywhere goes on from its last state, as if it had not ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from ending import killed
from model_contract import DATASETS
from new_process import python
from run_folders import result, the_only

from recbole_mm.commands import cli
from recbole_mm.recbole_bridge.checkpoint import load_checkpoint
from recbole_mm.training import state_keeper
from recbole_mm.training.interrupting import ended_by_sigterm
from recbole_mm.training.run_files import RunFiles
from recbole_mm.training.state_keeper import StateKeeper
from recbole_mm.training.trainer import RunTrainer

pytestmark = pytest.mark.slow  # left out by `make quick`

COMMON = {"dataset": "microvideo", "data_path": DATASETS, "epochs": 4, "stopping_step": 2, "last_state_every": 0}
MODELS: dict[str, dict[str, Any]] = {
    "BPR": {"embedding_size": 8, "train_batch_size": 1024},
    "MHCR": {"embedding_size": 8, "hyper_num": 4, "learning_rate": 0.03},
    "SASRec": {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "learning_rate": 0.02, "train_batch_size": 1024},
}


def command(model: str, folder: Path, **changes: Any) -> list[str]:
    settings = {"model": model, **COMMON, **MODELS[model], "checkpoint_dir": folder, **changes}
    return ["run", *(f"--{key}={value}" for key, value in settings.items())]


def epochs(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the history without its times."""
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in found["history"]]


def same(one: Path, other: Path, model: str) -> None:
    """Check that two runs have the same metrics, history, weights and optimizer."""
    first, second = result(one), result(other)
    for key in ("valid", "test", "best_epoch", "test_groups", "valid_groups", "learning_rates", "status"):
        assert first[key] == second[key], key
    assert epochs(first) == epochs(second)
    states = [load_checkpoint(the_only(folder) / f"{model}.pth") for folder in (one, other)]
    for key in ("epoch", "cur_step", "best_valid_score"):
        assert states[0][key] == states[1][key], key
    weights = [state["state_dict"] for state in states]
    assert [name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])] == []
    moments = [state["optimizer"]["state"] for state in states]
    assert all(torch.equal(moments[0][k]["exp_avg"], moments[1][k]["exp_avg"]) for k in moments[0])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Return a function that gives the folder of a run of a model that nothing ended."""
    folders: dict[str, Path] = {}

    def run(model: str) -> Path:
        if model not in folders:
            folders[model] = tmp_path_factory.mktemp(model)
            assert cli.main(command(model, folders[model])) == 0
        return folders[model]

    return run


@pytest.mark.parametrize(("model", "at"), [("MHCR", (1, 3)), ("SASRec", (2,))])
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    model: str, at: tuple[int, ...], whole: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in several epochs, one after the other."""
    first, *others = at
    killed(monkeypatch, command(model, tmp_path / "part"), first)
    folder = the_only(tmp_path / "part")
    for resume, epoch in zip((folder, folder / f"{model}.pth"), others, strict=False):
        killed(monkeypatch, ["run", f"--resume={resume}"], epoch)
        assert [one["epoch"] for one in result(folder)["history"]] == list(range(epoch))
    assert cli.main(["run", f"--resume={folder / model}.pth"]) == 0
    same(tmp_path / "part", whole(model), model)
    assert not list(folder.glob("*.last"))


def worse_after(monkeypatch: pytest.MonkeyPatch, best: int) -> None:
    """Let the validation of epochs after `best` be worse than its own."""
    valid = RunTrainer._valid_epoch

    def worse(self: Any, *args: Any, **kwargs: Any) -> Any:
        score, found = valid(self, *args, **kwargs)
        epoch = self.history[-1]["epoch"]
        score = epoch / 100 if epoch <= best else -epoch / 100
        self.history[-1]["valid_score"] = score
        return score, found

    monkeypatch.setattr(RunTrainer, "_valid_epoch", worse)


def test_the_best_stays_the_best_and_patience_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run stops early, after three epochs that are worse than the second, whenever it is killed."""
    worse_after(monkeypatch, best=1)
    assert cli.main(command("BPR", tmp_path / "whole", epochs=20)) == 0
    assert len(result(tmp_path / "whole")["history"]) == 5
    killed(monkeypatch, command("BPR", tmp_path / "part", epochs=20), 4)
    folder = the_only(tmp_path / "part")
    last, best = (load_checkpoint(folder / f"BPR{ending}") for ending in (".last", ".pth"))
    assert (last["epoch"], last["cur_step"], best["epoch"], best["cur_step"]) == (3, 2, 1, 0)
    assert last["best_valid_score"] == best["best_valid_score"] == 0.01
    known = [state["other_parameter"]["trainer_state"]["best_valid_result"] for state in (last, best)]
    assert known[0] == known[1] != result(folder)["history"][-1]["valid"]
    kept = (folder / "BPR.pth").read_bytes()
    assert cli.main(["run", f"--resume={folder}"]) == 0
    assert (folder / "BPR.pth").read_bytes() == kept
    same(tmp_path / "part", tmp_path / "whole", "BPR")


def test_a_run_that_ended_in_its_test_is_only_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that had stopped early, whose last epoch is not the best."""
    worse_after(monkeypatch, best=0)
    arguments = command("BPR", tmp_path / "part", epochs=20, stopping_step=1)
    with monkeypatch.context() as patched:
        patched.setattr("recbole_mm.training.run.held_out", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        assert cli.main(arguments) == 143
    folder = the_only(tmp_path / "part")
    assert f"--resume={folder / 'BPR.pth'}" in capsys.readouterr().err
    assert result(folder)["status"] == "interrupted"
    files = {"BPR.pth", "BPR.last", "result.json", "test_users.npz", "tensorboard"}
    assert {file.name for file in folder.iterdir()} == files
    with monkeypatch.context() as patched:
        patched.setattr(RunTrainer, "_train_epoch", lambda *_, **__: pytest.fail("an epoch was trained"))
        assert cli.main(["run", f"--resume={folder}"]) == 0
    assert len(result(folder)["history"]) == 3
    assert load_checkpoint(folder / "BPR.pth")["epoch"] == 0
    assert result(folder)["status"] == "finished"


ENDS_ITSELF = """
import os, signal, sys
from recbole_mm.commands import cli
from recbole_mm.training import state_keeper
from recbole_mm.training.trainer import RunTrainer

check, number = RunTrainer._check_nan, int(sys.argv[1])
if number == signal.SIGINT:  # a shell's background ignores it
    signal.signal(number, signal.default_int_handler)

def end(self, loss):
    check(self, loss)
    if len(self.history) == 3:
        os.kill(os.getpid(), number)

RunTrainer._check_nan, state_keeper.MEMORY_SHARE = end, 0  # these epochs take 0.03 s
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_keep_every_epoch_that_was_finished(
    number: signal.Signals, code: int, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    """Without a file of the last state so far, and before the first validation."""
    arguments = command("BPR", tmp_path / "part", eval_step=4, last_state_every=9999)
    done = python("-c", ENDS_ITSELF, str(int(number)), *arguments, cwd=tmp_path, plugged_in=True)
    assert done.returncode == code, done.stderr
    folder = the_only(tmp_path / "part")
    assert {file.name for file in folder.iterdir()} == {"BPR.last", "result.json", "tensorboard"}
    assert f"recbole-mm run --resume={folder / 'BPR.last'}" in done.stderr
    assert load_checkpoint(folder / "BPR.last")["epoch"] == 2
    assert cli.main(["run", f"--resume={folder / 'BPR.last'}"]) == 0
    found, expected = result(folder), result(whole("BPR"))
    assert [one["train_loss"] for one in found["history"]] == [one["train_loss"] for one in expected["history"]]
    assert (folder / "BPR.pth").is_file()


def test_a_folder_of_several_checkpoints_or_none_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", f"--resume={tmp_path}"]) == 2
    assert f"error: --resume={tmp_path}: this folder holds no checkpoint" in capsys.readouterr().err
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"")
    assert cli.main(["run", f"--resume={tmp_path}"]) == 2
    assert f"error: --resume={tmp_path}: this folder holds a.pth, b.pth: name one" in capsys.readouterr().err


def test_a_handler_of_ones_own_stays() -> None:
    own = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with ended_by_sigterm():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, own)
    with ended_by_sigterm(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == own


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(state_keeper, "perf_counter", found)
    return found


def test_the_last_state_costs_a_small_part_of_the_time(tmp_path: Path, clock: Clock) -> None:
    """Epochs of 0.3 s, of which a state takes 0.03 s: one of five is kept in memory, and a file is written a minute."""
    keeper = StateKeeper(RunFiles(tmp_path), tmp_path / "m.pth", every=60.0)
    kept, written = [], []

    def save(state: BytesIO) -> None:
        clock.now += 0.03
        kept.append(epoch)
        state.write(str(epoch).encode())

    for epoch in range(600):
        clock.now += 0.3
        before = keeper.written_epoch
        keeper.keep_last(epoch, save)
        if keeper.written_epoch != before:
            written.append(clock.now)
    assert len(kept) * 0.03 <= 0.02 * clock.now + 0.03
    assert [round(time / 60) for time in written] == [1, 2, 3]
    keeper.write_last()
    assert int((tmp_path / "m.last").read_text()) == kept[-1] >= 594
    assert (keeper.resumable(), keeper.written_epoch) == (tmp_path / "m.last", kept[-1])


def test_a_slow_disk_is_written_to_less_often(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that takes 20 s is written every 400 s."""
    monkeypatch.setattr(state_keeper, "_put", lambda *_: setattr(clock, "now", clock.now + 20))
    keeper, written = StateKeeper(RunFiles(tmp_path), tmp_path / "m.pth", every=60.0), []
    for epoch in range(100):
        clock.now += 30
        before = keeper.written_epoch
        keeper.keep_last(epoch, lambda state: None)
        if keeper.written_epoch != before:
            written.append(clock.now)
    assert {second - first for first, second in pairwise(written)} == {440.0}


def test_the_best_state_is_the_last_one_as_long_as_it_is(tmp_path: Path) -> None:
    keeper = StateKeeper(RunFiles(tmp_path), tmp_path / "m.pth", every=0.0)
    keeper.keep_best(tmp_path / "m.pth", 0, BytesIO(b"0"))
    keeper.keep_last(0, lambda state: pytest.fail("it is in a file"))
    assert [file.name for file in tmp_path.iterdir()] == ["m.pth"]
    keeper.keep_last(1, lambda state: state.write(b"1"))
    assert (tmp_path / "m.last").read_bytes() == b"1"
