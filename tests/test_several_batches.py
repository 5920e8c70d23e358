"""Steps of several batches: their mean gradient, passes over the graph made once, and who cannot have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from recbole.data import create_dataset, data_preparation
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.quick_start import run_recbole
from recbole.utils import get_model, get_trainer, init_seed
from torch import nn
from torch.nn.utils import clip_grad_norm_
from training import DATASETS, configured

from recbole_mm.base.errors import InputError
from recbole_mm.commands.cli import main

EXACT: dict[str, dict[str, Any]] = {  # settings under which a model draws nothing in its pass
    "BPR": {},
    "LightGCN": {},
    "NGCF": {"node_dropout": 0.0, "message_dropout": 0.0},
    "MHCR": {"hyper_noise": 0.0, "keep_rate": 1.0},
    "SEA": {"ureg": 0.0},
    "FREEDOM": {"dropout": 0.0},
    "XSimGCL": {"eps": 0.0},
    "SASRec": {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "train_neg_sample_args": None},
}


def ready(name: str, **changes: Any) -> tuple[Any, Any]:
    """Return a trainer whose steps are plain gradients, and the batches of an epoch."""
    keys = {"learner": "sgd", "learning_rate": 0.1, "train_batch_size": 256, "embedding_size": 8, "hidden_size": 8}
    config = configured(name, **{**keys, **EXACT.get(name, {}), **changes})
    init_seed(config["seed"], config["reproducibility"])
    train, *_ = data_preparation(config, create_dataset(config))
    init_seed(config["seed"], config["reproducibility"])
    model = get_model(name)(config, train._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
    return trainer, Batches(list(train)[:7])


class Batches(list[Any]):
    shuffle = False


def by_hand(trainer: Any, batches: Batches, n: int, clip: dict[str, Any] | None = None) -> dict[str, torch.Tensor]:
    """Return the weights after a step for the mean loss of every `n` batches."""
    trainer.model.train()
    for start in range(0, len(batches), n):
        some = batches[start : start + n]
        trainer.optimizer.zero_grad()
        (sum(trainer.model.calculate_loss(batch) for batch in some) / len(some)).backward()
        if clip:
            clip_grad_norm_(trainer.model.parameters(), **clip)
        trainer.optimizer.step()
    return dict(trainer.model.named_parameters())


def alike(found: nn.Module, wanted: dict[str, torch.Tensor]) -> None:
    for name, value in found.named_parameters():
        torch.testing.assert_close(value, wanted[name], rtol=2e-4, atol=2e-6, msg=lambda text, at=name: f"{at}: {text}")


@pytest.mark.parametrize("name", EXACT)
def test_a_step_is_that_of_the_mean_loss(name: str) -> None:
    trainer, batches = ready(name, batches_per_step=3)
    before = {key: value.clone() for key, value in trainer.model.named_parameters()}
    trainer._train_epoch(batches, 0)
    wanted = by_hand(*ready(name), 3)
    alike(trainer.model, wanted)
    assert any(not torch.allclose(value, before[key]) for key, value in wanted.items())


def test_gradients_are_cut_once_all_batches_are_in() -> None:
    clip = {"max_norm": 1e-3}
    trainer, batches = ready("LightGCN", batches_per_step=3, clip_grad_norm=clip)
    trainer._train_epoch(batches, 0)
    alike(trainer.model, by_hand(*ready("LightGCN"), 3, clip))
    assert trainer.clip_grad_norm == clip


@pytest.mark.parametrize(("n", "passes"), [(1, 7), (3, 3), (7, 1), (100, 1)])
@pytest.mark.parametrize("name", ["LightGCN", "MHCR", "SEA", "FREEDOM", "XSimGCL"])
def test_batches_of_a_step_share_a_pass(name: str, n: int, passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, batches = ready(name, batches_per_step=n)
    calls = counted(monkeypatch, type(trainer.model))
    trainer._train_epoch(batches, 0)
    assert len(calls) == passes
    assert "forward" not in vars(trainer.model)
    assert not {"step", "zero_grad"} & set(vars(trainer.optimizer))


def counted(monkeypatch: pytest.MonkeyPatch, kind: type) -> list[int]:
    calls: list[int] = []
    forward: Callable[..., Any] = kind.forward  # type: ignore[attr-defined]
    monkeypatch.setattr(kind, "forward", lambda self, *args: calls.append(1) or forward(self, *args))
    return calls


class TwoViews(GeneralRecommender):
    """A model that passes twice over its table, each time with noise, and once with what is of the batch."""

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.items = nn.Embedding(self.n_items, 2)
        self.drawn: list[torch.Tensor] = []

    def forward(self, scale: float = 1.0, rows: torch.Tensor | None = None) -> torch.Tensor:
        table = self.items.weight if rows is None else self.items(rows)
        noise = torch.rand_like(table) * scale
        self.drawn.append(noise)
        return table + noise

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        item = interaction[self.ITEM_ID]
        return (self.forward()[item] * self.forward(2.0)[item] * self.forward(rows=item)).sum(1).mean()


def test_passes_of_a_batch_keep_their_own_draws() -> None:
    trainer, batches = ready("BPR", batches_per_step=3)
    model = TwoViews(trainer.config, create_dataset(trainer.config))
    trainer.model, trainer.optimizer = model, torch.optim.SGD(model.parameters(), lr=0.1)
    trainer._train_epoch(batches, 0)
    assert [len(noise) == model.n_items for noise in model.drawn] == [True, True, False, False, False] * 2 + [
        True, True, False,
    ]  # fmt: skip
    assert all(not torch.equal(one, other) for one, other in zip(model.drawn, model.drawn[1:], strict=False)
               if one.shape == other.shape)  # fmt: skip


def test_an_epoch_that_breaks_leaves_the_model_as_it_was() -> None:
    trainer, batches = ready("LightGCN", batches_per_step=3)
    with pytest.raises(AttributeError):
        trainer._train_epoch(Batches([batches[0], None]), 0)
    assert "forward" not in vars(trainer.model)
    assert not {"step", "zero_grad"} & set(vars(trainer.optimizer))


@pytest.mark.parametrize(("name", "changes", "why"), [
    ("Pop", {}, "Pop is not trained by gradients"),
    ("NCL", {}, "NCL makes a step for every batch"),
    ("BPR", {"enable_scaler": True}, "enable_scaler"),
])  # fmt: skip
def test_who_cannot_have_them_says_so(
    name: str, changes: dict[str, Any], why: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = [f"--{key}={value}" for key, value in changes.items()]
    place = [f"--data_path={DATASETS}", f"--checkpoint_dir={tmp_path}", "--dataset=microvideo"]
    assert main(["run", f"--model={name}", "--batches_per_step=2", *place, *settings]) == 2
    assert why in capsys.readouterr().err


def test_recboles_own_function_takes_them() -> None:
    keys = {"data_path": str(DATASETS), "epochs": 1, "train_batch_size": 256, "use_gpu": False}
    keys |= {"batches_per_step": 4, "show_progress": False}
    found = run_recbole("MHCR", "microvideo", config_dict=keys, saved=False)
    assert found["test_result"]
    with pytest.raises(InputError, match="NCL makes a step"):
        run_recbole("NCL", "microvideo", config_dict={**keys, "num_clusters": 20}, saved=False)
