"""Several processes that train one model: what one process finds, faster; and one line where one of them ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from model_contract import DATASETS
from new_process import PATIENCE
from recbole.data.interaction import Interaction
from run_folders import result, the_only
from sweeping import environment

from recbole_mm.base.errors import InputError
from recbole_mm.commands import cli
from recbole_mm.configuration.request import Request, configure
from recbole_mm.parallel import processes
from recbole_mm.parallel.process_group import Placement, ProcessGroup, joined
from recbole_mm.parallel.processes import Machines, placed_by_torchrun, together
from recbole_mm.training.following import follow
from recbole_mm.training.run import prepared_run, run
from recbole_mm.training.shared_batches import SharedBatches

pytestmark = pytest.mark.slow  # left out by `make quick`

NAME = "microvideo"
RUN = ["run", "--model=BPR", f"--dataset={NAME}", f"--data_path={DATASETS}", "--threads=1"]
# Losses that are means over the rows of a batch, or that all rows have alike, and nothing that is drawn in the model.
EXACT: dict[str, dict[str, Any]] = {
    "BPR": {"clip_grad_norm": {"max_norm": 0.05}},
    "sampled": {"eval_args": {"mode": "uni20"}, "train_batch_size": 999},
    "VBPR": {},
    "SASRec": {
        "n_layers": 1, "hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "MAX_ITEM_LIST_LENGTH": 8,
        "train_neg_sample_args": None,
    },
}  # fmt: skip


def asked(name: str, folder: Path, **more: Any) -> Request:
    settings = {
        "data_path": str(DATASETS), "checkpoint_dir": str(folder), "epochs": 3, "threads": 1, "state": "ERROR",
    }  # fmt: skip
    return Request("BPR" if name == "sampled" else name, NAME, settings=settings | EXACT[name] | more)


@contextmanager
def two(follow: Callable[[Any, ProcessGroup], object], asked: Any) -> Iterator[ProcessGroup]:
    """Be the first of two processes; the second is forked from one that has imported what it needs.

    Those of a command start with their imports, as users' do: `test_a_command_in_two_processes`.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["recbole_mm.training.following"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "multiprocessing", SimpleNamespace(get_context=lambda kind: context))
        with together(follow, asked, Machines(2, 2)) as group:
            yield group


def follow_all(requests: Sequence[Request], group: ProcessGroup) -> None:
    for one in requests:
        follow(one, group)


def fail(said: str, group: ProcessGroup) -> None:
    raise ValueError(said)


def leave(code: int, group: ProcessGroup) -> None:
    os._exit(code)


def weights(found: dict[str, Any]) -> dict[str, torch.Tensor]:
    (file,) = Path(found["folder"]).glob("*.pth")
    state: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["state_dict"]
    return state


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Train each in one process, and in two; BPR also in two that were ended after an epoch."""
    alone = {name: run(asked(name, tmp_path_factory.mktemp("one"))) for name in EXACT}
    requests = [asked(name, tmp_path_factory.mktemp("two")) for name in EXACT]
    folder = tmp_path_factory.mktemp("ended")
    begun = asked("BPR", folder, epochs=1)
    file = folder / "goes-on.pth"
    goes_on = Request("", "", settings={"epochs": 3}, resume=str(file))
    with two(follow_in_two_parts, (requests, begun, goes_on)) as group:
        shared = {name: run(one, group=group) for name, one in zip(EXACT, requests, strict=True)}
        first = run(begun, group=group)
        (state,) = Path(first["folder"]).glob("*.pth")
        state.rename(file)
        group.told_text("")  # it is there
        ended = run(goes_on, group=group)
    return SimpleNamespace(alone=alone, shared=shared, ended=ended)


def follow_in_two_parts(parts: Any, group: ProcessGroup) -> None:
    requests, begun, goes_on = parts
    follow_all([*requests, begun], group)
    group.told_text("")
    follow(goes_on, group)


@pytest.mark.parametrize("name", EXACT)
def test_two_processes_train_what_one_does(name: str, trained: SimpleNamespace) -> None:
    one, two = trained.alone[name], trained.shared[name]
    mine, theirs = weights(one), weights(two)
    assert mine.keys() == theirs.keys()
    for part, tensor in mine.items():
        torch.testing.assert_close(theirs[part], tensor, rtol=1e-3, atol=5e-4)
    assert two["best_epoch"] == one["best_epoch"]
    for split in ("valid", "test"):
        assert two[split] == pytest.approx(one[split], abs=1e-9)
    assert [each["train_loss"] for each in two["history"]] == pytest.approx(
        [each["train_loss"] for each in one["history"]], rel=1e-3
    )


@pytest.mark.parametrize("name", ["BPR", "SASRec"])
def test_users_that_two_processes_rank_are_all_users(name: str, trained: SimpleNamespace) -> None:
    one, two = trained.alone[name], trained.shared[name]
    assert two["held_out"] == one["held_out"]
    assert [row["evaluated"] for row in two["test_groups"]["users"]] == [
        row["evaluated"] for row in one["test_groups"]["users"]
    ]


def test_the_first_process_alone_writes(trained: SimpleNamespace) -> None:
    for found in trained.shared.values():
        assert len(list(Path(found["folder"]).parent.iterdir())) == 1
        assert found["status"] == "finished"


def test_two_processes_go_on_as_if_they_had_not_stopped(trained: SimpleNamespace) -> None:
    whole, ended = trained.shared["BPR"], trained.ended
    assert all(torch.equal(weights(whole)[name], tensor) for name, tensor in weights(ended).items())
    assert ended["test"] == whole["test"]


def fitted(one: Request, group: ProcessGroup) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Train without validation, which gives all the first one's weights; return those of both processes."""
    trainer, loaders = prepared_run(configure(one), one, None, group)
    trainer.fit(loaders[0], saved=False)
    state = dict(trainer.model.state_dict())
    return state, group.told(state, source=1) or {}


def fit_all(requests: Sequence[Request], group: ProcessGroup) -> None:
    for one in requests:
        fitted(one, group)


def test_both_processes_have_the_same_weights(tmp_path: Path) -> None:
    """Also of models that draw, contrast the rows of a batch, or have an optimizer of their own."""
    settings = asked("BPR", tmp_path, epochs=1, eval_step=2).settings or {}
    whole = {"train_histories": "whole", "train_neg_sample_args": None, "MAX_ITEM_LIST_LENGTH": 8}
    more = {"MHCR": {}, "SEA": {}, "FREEDOM": {}, "CCL4Rec": whole}
    requests = [Request(model, NAME, settings=settings | given) for model, given in more.items()]
    with two(fit_all, requests) as group:
        for one in requests:
            mine, theirs = fitted(one, group)
            learned = [name for name, tensor in mine.items() if tensor.is_floating_point()]
            assert learned
            assert all(torch.equal(theirs[name], mine[name]) for name in learned), one.model


class Alone:
    """Stands for the group of a process that draws, and that nobody hears."""

    leads = True

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def told(self, tensors: Any, source: int = 0) -> Any:
        return tensors


@pytest.mark.parametrize("size", [2, 3, 5])
def test_every_row_of_a_batch_is_of_one_process(size: int) -> None:
    batches = [Interaction({"item_id": torch.arange(n)}) for n in (8, 3, 1)]
    shares: list[Any] = [SharedBatches(batches, Alone(rank, size)) for rank in range(size)]  # type: ignore[arg-type]
    for batch, *parts in zip(batches, *shares, strict=True):
        counted = [part["item_id"] for part, share in zip(parts, shares, strict=True) if share.weight]
        assert sorted(torch.cat(counted).tolist()) == list(range(len(batch)))
        assert sum(share.weight for share in shares) == pytest.approx(1)
        assert all(len(part) for part in parts)  # no model is asked about nothing


def test_a_command_in_two_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*RUN, "--nproc=2", "--epochs=1", f"--checkpoint_dir={tmp_path / 'saved'}"]) == 0
    assert result(the_only(tmp_path / "saved"))["status"] == "finished"
    assert capsys.readouterr().out.count("checkpoint, result.json") == 1  # one process says it


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nproc=1000000"], "--nproc=1000000 needs 1000000 "),
        (["--nproc=2", "--group_offset=1"], "--nproc=2 from --group_offset=1 on are not among --world_size=2"),
        (["--nproc=0", "--world_size=2"], "--nproc=0 from --group_offset=0 on are not among --world_size=2"),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*RUN, *words]) == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    one = asked("BPR", tmp_path)
    pop = Request("Pop", NAME, settings=one.settings)
    with (
        pytest.raises(InputError, match="Pop is not trained by gradients"),
        two(follow, pop) as group,
    ):
        run(pop, group=group)


@pytest.mark.parametrize(
    ("ends", "with_", "said"),
    [(fail, "no such thing", "process 1 ended: ValueError: no such thing"), (leave, 3, "a process ended with 3")],
)
def test_a_process_that_ends_is_told(ends: Any, with_: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said), two(ends, with_) as group:
        run(asked("BPR", tmp_path), group=group)


def add_one(asked: Any, group: ProcessGroup) -> None:
    group.add(torch.ones(1))


def test_a_group_that_failed_does_not_keep_the_next_one_waiting(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="rank < size"),
        joined(Placement(2, 2, 0, f"file://{tmp_path / 'store'}")),
    ):
        pass
    with two(add_one, None) as group:
        assert group.add(torch.ones(1)) == 2


@contextmanager
def begun(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command and wait for its first state."""
    with (
        (folder / "said").open("wb") as said,
        subprocess.Popen(list(words), cwd=folder, env=environment(), stdout=said, stderr=said) as command,
    ):
        try:
            for _ in range(PATIENCE * 10):
                if list(folder.glob("saved/*/*.pth")):
                    break
                assert command.poll() is None, (folder / "said").read_text(encoding="utf-8")
                psutil.wait_procs([psutil.Process(command.pid)], timeout=0.1)
            yield command
        finally:
            command.kill()


def test_ctrl_c_ends_all_and_keeps_the_last_state(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "recbole_mm", *RUN, "--nproc=2", "--epochs=100000", "--stopping_step=100000"]
    with begun(tmp_path, *words) as command:
        others = psutil.Process(command.pid).children(recursive=True)
        command.send_signal(signal.SIGINT)
        assert command.wait(PATIENCE) == 130
        assert psutil.wait_procs(others, timeout=20)[1] == []
    assert "Resume with:" in (tmp_path / "said").read_text(encoding="utf-8")
    assert result(the_only(tmp_path / "saved"))["status"] == "interrupted"


def test_torchrun_starts_them_too(tmp_path: Path) -> None:
    words = ["-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "recbole_mm", *RUN, "--epochs=1"]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("checkpoint, result.json") == 1
    assert result(the_only(tmp_path / "saved"))["status"] == "finished"


def test_places_are_those_of_torchrun() -> None:
    given = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}
    place = placed_by_torchrun(given)
    assert place is not None
    assert (place.rank, place.size, place.local) == (3, 4, 1)
    assert placed_by_torchrun({name: given[name] for name in ("RANK", "WORLD_SIZE")}) is None
