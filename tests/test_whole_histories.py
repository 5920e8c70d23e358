"""Training on whole histories: which rows, what follows each position, and RecBole's own loss of all prefixes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comparisons import in_this_process
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.data import create_dataset, data_preparation
from recbole.quick_start import run_recbole
from recbole.utils import get_model, init_seed
from training import configured, write_toy

from recbole_mm.base.errors import InputError
from recbole_mm.commands.cli import main
from recbole_mm.comparison import compare as comparing
from recbole_mm.recbole_bridge import whole_histories
from recbole_mm.recbole_bridge.whole_histories import CAUSAL, by_length, counted, next_items, whole_loss, whole_rows

CE = {"train_neg_sample_args": None, "train_histories": "whole"}
SIZES = {"hidden_size": 8, "inner_size": 8, "n_heads": 2}


@settings(deadline=None, max_examples=50)
@given(users=st.lists(st.integers(1, 4), min_size=1, max_size=40), length=st.integers(1, 6))
def test_every_target_is_predicted_once_from_at_least_half_of_its_history(users: list[int], length: int) -> None:
    seen: dict[int, int] = {}
    targets = []  # of each row, the targets at its positions: its own and those within its history
    for user in users:
        number = seen[user] = seen.get(user, 0) + 1
        targets.append([(user, target) for target in range(max(1, number - length + 1), number + 1)])
    rows = whole_rows(np.array(users), length)
    covered = []
    for row in rows:
        size = len(targets[row])
        count = counted(torch.tensor([size]), length, length)[0]
        assert not count[size:].any()
        for place in count.nonzero().squeeze(1).tolist():
            user, number = targets[row][place]
            covered.append((user, number))
            assert place + 1 >= min(number, (length + 1) // 2)
    assert sorted(covered) == sorted((user, number) for user, total in seen.items() for number in range(1, total + 1))


def test_rows_by_hand() -> None:
    """Of a user with 5, 7 and 12 targets and histories of 6: those that end at the last one, and every third before."""
    assert (whole_rows(np.zeros(5), 6) + 1).tolist() == [5]
    assert (whole_rows(np.zeros(7), 6) + 1).tolist() == [4, 7]
    assert (whole_rows(np.zeros(12), 6) + 1).tolist() == [3, 6, 9, 12]
    count = counted(torch.tensor([6, 4]), 6, 6)
    assert count.tolist() == [[False] * 3 + [True] * 3, [True] * 4 + [False] * 2]


def test_what_follows_by_hand() -> None:
    history = torch.tensor([[3, 1, 4, 0], [5, 0, 0, 0], [9, 2, 6, 5]])
    following = next_items(history, torch.tensor([3, 1, 4]), torch.tensor([1, 8, 3]))
    assert following.tolist() == [[1, 4, 1, 0], [8, 0, 0, 0], [2, 6, 5, 3]]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("whole"))


def loaded(toy: Path, model: str, **changes: Any) -> tuple[Any, Any, Any]:
    config = configured(model, "toy", data_path=str(toy), **SIZES, **CE | changes)
    init_seed(config["seed"], config["reproducibility"])
    loader = data_preparation(config, create_dataset(config))[0]
    return config, loader, get_model(model)(config, loader.dataset)


@pytest.mark.parametrize("model", CAUSAL)
def test_the_loss_is_that_of_all_prefixes(model: str, toy: Path) -> None:
    """Whole histories that fit into the length have RecBole's own loss of every prefix, and the same gradients."""
    # CCL4Rec's trust in a behaviour knows the whole history, and what is planted is drawn.
    own = {"trust_beta": 0.0, "trust_weight": 0.0} if model == "CCL4Rec" else {}
    _, loader, built = loaded(toy, model, MAX_ITEM_LIST_LENGTH=10, **own)
    built.eval()  # nothing is drawn
    batches = list(loader)
    whole = torch.stack([whole_loss(built, batch) * int((batch["item_length"]).sum()) for batch in batches]).sum()
    n = len(loader.dataset)
    prefixes = built.calculate_loss(loader.dataset.inter_feat)
    assert sum(map(len, batches)) < n == sum(int(batch["item_length"].sum()) for batch in batches)
    torch.testing.assert_close(whole / n, prefixes)
    ours, theirs = (torch.autograd.grad(loss, list(built.parameters()), allow_unused=True)
                    for loss in (whole / n, prefixes))  # fmt: skip
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)
    assert "gather_indexes" not in vars(built)


def test_histories_by_length() -> None:
    length = torch.tensor([9, 1, 50, 8, 33, 16, 32])
    assert [rows.tolist() for rows in by_length(length)] == [[1, 3], [0, 5], [6], [2, 4]]
    assert [rows.tolist() for rows in by_length(length[:1])] == [[0]]


@pytest.mark.parametrize("model", ["SASRec", "GRU4Rec", "FDSA"])
def test_short_histories_are_not_padded_to_the_longest(model: str, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_histories, "LENGTHS", [2, 4])
    _, loader, built = loaded(toy, model, MAX_ITEM_LIST_LENGTH=20, selected_features=["class"])
    batch = next(iter(loader))
    built.eval()  # nothing is drawn
    seen, plain = [], built.calculate_loss
    monkeypatch.setattr(
        built, "calculate_loss", lambda part: seen.append(tuple(part["item_id_list"].shape)) or plain(part)
    )
    ours = whole_loss(built, batch)
    assert sum(n for n, _ in seen) == len(batch)
    assert len(seen) > 1
    assert max(width for _, width in seen) == int(batch["item_length"].max()) < 20
    monkeypatch.setattr(whole_histories, "MEAN_LOSS", ())  # all at once, padded to 20
    theirs = whole_loss(built, batch)
    assert seen[-1] == (len(batch), 20)
    torch.testing.assert_close(ours, theirs)
    for mine, own in zip(
        *(torch.autograd.grad(loss, list(built.parameters()), allow_unused=True) for loss in (ours, theirs)),
        strict=True,
    ):
        if own is not None:
            torch.testing.assert_close(mine, own, rtol=1e-4, atol=1e-6)


def test_a_batch_has_as_many_predictions_as_with_prefixes(toy: Path) -> None:
    changes = {"MAX_ITEM_LIST_LENGTH": 3, "train_batch_size": 12}
    whole, prefixes = (loaded(toy, "SASRec", train_histories=how, **changes)[1] for how in ("whole", "prefixes"))
    counts = [int(counted(batch["item_length"], 3, 3).sum()) for batch in whole]
    assert sum(counts) == len(prefixes.dataset) == len(whole.dataset)
    assert abs(len(whole) - len(prefixes)) <= 1


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("BERT4Rec", {}, "which BERT4Rec cannot be trained with: it is for SASRec, GRU4Rec"),
        ("SASRec", {"loss_type": "BPR", "train_neg_sample_args": {"distribution": "uniform", "sample_num": 1}},
         "loss_type BPR: set loss_type to CE"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_so_is_refused(model: str, changes: dict[str, Any], message: str, toy: Path) -> None:
    with pytest.raises(InputError, match=message):
        loaded(toy, model, **changes)


def test_recbole_s_own_training_and_the_command(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"data_path": str(toy), "epochs": 3, "MAX_ITEM_LIST_LENGTH": 3, **SIZES, **CE}
    found = run_recbole(model="SASRec", dataset="toy", config_dict=given | {"show_progress": False, "use_gpu": False})
    command = [f"--{key}={value}" for key, value in given.items()]
    assert main(["run", "--model=SASRec", "--dataset=toy", *command, f"--checkpoint_dir={tmp_path / 'ours'}"]) == 0
    (file,) = (tmp_path / "ours").rglob("result.json")
    result = json.loads(file.read_text(encoding="utf-8"))
    assert result["valid"]["mrr@10"] == pytest.approx(found["best_valid_result"]["mrr@10"], abs=1e-4)
    users = {group["group"]: group for group in result["test_groups"]["users"]}
    assert users["few"]["evaluated"] == 12  # what is left out of the batches counts as training


def test_a_comparison_with_models_that_have_no_histories(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They train as ever, and a sequential model that cannot is refused before any other is trained."""
    monkeypatch.chdir(tmp_path)
    given = ["--datasets=toy", f"--data_path={toy}", "--num-seeds=1", "--train_histories=whole", "--epochs=1"]
    given += ["--MAX_ITEM_LIST_LENGTH=3", "--topk=[5]", "--valid_metric=MRR@5", "--user_inter_num_interval=[5,inf)"]
    assert main(["compare", "--models=SASRec,BERT4Rec", "--out=refused", *given]) == 2
    assert "which BERT4Rec cannot be trained with" in capsys.readouterr().err
    assert not list(tmp_path.rglob("result.json"))
    monkeypatch.setattr(comparing, "in_processes", in_this_process)
    assert main(["compare", "--models=SASRec,Pop", "--out=both", *given]) == 0
    assert "failed" not in (tmp_path / "both" / "table.md").read_text(encoding="utf-8")
