"""Checkpoints that cannot be used, runs that fail or diverge, and a lower learning rate to go on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import symptoms
import torch
from killed_runs import RUN
from recbole.quick_start import load_data_and_model

from recbole_mm.base.errors import InputError
from recbole_mm.commands import cli
from recbole_mm.recbole_bridge.checkpoint import load_checkpoint
from recbole_mm.training.divergence import diverged
from recbole_mm.training.trainer import RunTrainer

pytestmark = pytest.mark.slow  # left out by `make quick`


def result(folder: Path) -> dict[str, Any]:
    (file,) = folder.rglob("result.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that fails, and return its error, which is one line."""
    capsys.readouterr()
    assert cli.main(["run", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    (line,) = [line for line in lines if line.startswith("error: ")]
    assert lines[-1] == line
    return line


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoint of a run."""
    folder = tmp_path_factory.mktemp("trained")
    assert cli.main([*RUN, f"--checkpoint_dir={folder}"]) == 0
    (file,) = folder.rglob("BPR.pth")
    return file


Change = Callable[[dict[str, Any], Path], Any]


def without(*names: str) -> Change:
    return lambda state, _: {name: value for name, value in state.items() if name not in names}


def with_(**values: Any) -> Change:
    return lambda state, _: {**state, **values}


def without_random_states(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    other = state["other_parameter"]
    kept = {name: value for name, value in other["trainer_state"].items() if name != "random_states"}
    return {**state, "other_parameter": {**other, "trainer_state": kept}}


def larger(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {**state, "state_dict": {name: torch.zeros(7, 7) for name in state["state_dict"]}}


def of_another_optimizer(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    optimizer = state["optimizer"]
    return {**state, "optimizer": {**optimizer, "param_groups": [{**optimizer["param_groups"][0], "params": [0]}]}}


BOTH: dict[str, tuple[Change, str]] = {
    "a tensor": (lambda *_: torch.zeros(3), "holds no settings of a run"),
    "weights alone": (lambda state, _: state["state_dict"], "holds no settings of a run"),
    "settings of a stranger": (with_(config={"lr": 3}), "its settings are not those of a run"),
    "another model's settings": (with_(config={"given": {}, "settings": {"device": "cpu", "model": "X"}}), "settings"),
    "no weights": (without("state_dict"), "state_dict of the training are not there"),
    "other weights": (larger, "it does not fit the model"),
    "malicious": (lambda _, folder: symptoms.Attack(folder / "ran"), "could run code, and was not opened"),
    "hidden": (lambda state, folder: {**state, "x": symptoms.Attack(folder / "ran")}, "could run code, and was not"),
    "an array of objects": (with_(x=np.array([print], dtype=object)), "could run code, and was not opened"),
}
TO_RESUME: dict[str, tuple[Change, str]] = {
    "no optimizer": (without("optimizer"), "optimizer of the training are not there"),
    "no epoch": (without("epoch", "cur_step"), "epoch and cur_step of the training are not there"),
    "another optimizer": (of_another_optimizer, "it does not fit the model"),
    "no random states": (without_random_states, "random_states of the training are not there"),
}


@pytest.mark.parametrize("fault", [*BOTH, *TO_RESUME])
def test_a_checkpoint_that_cannot_be_used_is_one_line(
    fault: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = {**BOTH, **TO_RESUME}[fault]
    file = tmp_path / "x.pth"
    torch.save(change(torch.load(trained, weights_only=True), tmp_path), file)
    said = [error(capsys, f"--resume={file}", "--epochs=6")]
    if fault in BOTH:
        with pytest.raises(InputError) as caught:
            load_data_and_model(str(file))
        said.append(str(caught.value))
    for line in said:
        assert str(file) in line
        assert words in line
        assert "\n" not in line
        assert "weights_only" not in line
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("size", [0, 10, 1000, -1])
def test_a_truncated_checkpoint_is_one_line(
    size: int, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.pth"
    file.write_bytes(trained.read_bytes()[:size])
    assert f"{file}: not a checkpoint of RecBole, or damaged" in error(capsys, f"--resume={file}")
    with pytest.raises(InputError, match=r"x\.pth: not a checkpoint of RecBole, or damaged"):
        load_data_and_model(str(file))


@pytest.mark.parametrize("content", ["{", '{"history": 3}'])
def test_a_broken_result_is_written_anew(content: str, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "BPR.pth").write_bytes(trained.read_bytes())
    (tmp_path / "result.json").write_text(content)
    assert cli.main(["run", f"--resume={tmp_path}"]) == 0
    before = result(trained.parent)
    assert {key: result(tmp_path)[key] for key in ("history", "test", "best_epoch")} == {
        key: before[key] for key in ("history", "test", "best_epoch")
    }


def fails_in(monkeypatch: pytest.MonkeyPatch, epoch: int, factor: float | None = None) -> None:
    """Let the second batch of an epoch fail, or have a loss that is multiplied by a factor."""
    check = RunTrainer._check_nan

    def checked(self: Any, loss: Any) -> None:
        if len(self.history) == epoch and self._batch == 1:
            if factor is None:
                raise RuntimeError("a kernel failed")
            loss = loss * factor
        check(self, loss)

    monkeypatch.setattr(RunTrainer, "_check_nan", checked)


def test_a_training_that_fails_keeps_its_last_state(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        fails_in(patched, 3)
        with pytest.raises(RuntimeError, match="a kernel failed"):
            cli.main([word for word in RUN if "last_state" not in word])  # whose file is written once a minute
    found = result(tmp_path)
    assert (found["status"], found["error"]) == ("failed", "RuntimeError: a kernel failed")
    (file,) = tmp_path.rglob("BPR.last")
    assert load_checkpoint(file)["epoch"] in (0, 1, 2)
    assert cli.main(["run", f"--resume={file}"]) == 0
    assert result(tmp_path)["test"] == result(trained.parent)["test"]


def test_a_training_that_diverged_goes_on_with_a_lower_learning_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        fails_in(patched, 3, float("nan"))
        line = error(capsys, *RUN[1:])
    (file,) = tmp_path.rglob("BPR.pth")
    name = file.relative_to(tmp_path)
    assert "BPR: the training loss is nan in epoch 3, batch 1; the largest parameters are " in line
    assert "user_embedding.weight 0." in line
    assert f"The last good checkpoint is {name}: go on from it" in line
    assert line.endswith(f"--resume={name} --learning_rate=0.005, or look for huge values in the features")
    assert [path.name for path in file.parent.iterdir() if path.suffix in (".pth", ".last")] == ["BPR.pth"]
    assert result(tmp_path)["status"] == "failed"
    assert "learning_rate is 0.02 and was 0.01" in error(capsys, f"--resume={file}", "--learning_rate=0.02")
    rates = []
    train = RunTrainer._train_epoch

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        rates.append(self.optimizer.param_groups[0]["lr"])
        return train(self, *args, **kwargs)

    monkeypatch.setattr(RunTrainer, "_train_epoch", noted)
    assert cli.main(["run", f"--resume={file}", "--learning_rate=0.005"]) == 0
    assert rates == pytest.approx([0.005] * 4)
    found = result(tmp_path)
    assert found["status"] == "finished"
    assert "error" not in found
    assert found["learning_rates"] == {"0": 0.01, "1": 0.005}
    assert found["config"]["learning_rate"] == 0.005
    assert [one["epoch"] for one in found["history"]] == list(range(5))


def test_a_training_that_diverged_before_its_first_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last state is the only one; before the first epoch there is none."""
    with monkeypatch.context() as patched:
        fails_in(patched, 2, float("inf"))
        line = error(capsys, *RUN[1:], "--eval_step=5", "--checkpoint_dir=first")
    assert "the training loss is inf in epoch 2, batch 1" in line
    (file,) = (tmp_path / "first").rglob("BPR.last")
    assert f"The last good checkpoint is {file.relative_to(tmp_path)}" in line
    fails_in(monkeypatch, 0, float("nan"))
    assert error(capsys, *RUN[1:], "--checkpoint_dir=second").endswith(
        ". Lower learning_rate, and look for huge values in the features"
    )


def test_the_largest_parameters_are_named() -> None:
    model = torch.nn.ParameterDict(
        {name: torch.nn.Parameter(torch.tensor([value, 0.0])) for name, value in
         {"a": 1.0, "b": -3e20, "c": float("nan"), "d": 2.0}.items()}
    )  # fmt: skip
    assert str(diverged(model, "the loss is nan", 0.1, None)) == (
        "ParameterDict: the loss is nan; the largest parameters are c nan, b 3e+20, d 2. "
        "Lower learning_rate, and look for huge values in the features"
    )
