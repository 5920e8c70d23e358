"""Trainers: RecBole's own models resume exactly, too, and what a checkpoint holds besides."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from model_contract import DATASETS
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.trainer import Trainer
from recbole.utils import get_model, get_trainer, init_seed

from recbole_mm.base.randomness import gumbel
from recbole_mm.recbole_bridge.checkpoint import load_checkpoint
from recbole_mm.recbole_bridge.resumable import Resumable
from recbole_mm.training.trainer import run_trainer


def built(model: str, epochs: int, folder: Path) -> SimpleNamespace:
    keys = {
        "data_path": str(DATASETS),
        "use_gpu": False,
        "epochs": epochs,
        "train_batch_size": 512,
        "checkpoint_dir": str(folder),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "hidden_size": 8,
        "inner_size": 8,
        "n_layers": 1,
        "MAX_ITEM_LIST_LENGTH": 5,
    }
    config = Config(model=model, dataset="microvideo", config_dict=keys)
    init_seed(config["seed"], config["reproducibility"])
    train, valid, _ = data_preparation(config, create_dataset(config))
    init_seed(config["seed"], config["reproducibility"])
    trainer = run_trainer(get_trainer(config["MODEL_TYPE"], model))(config, get_model(model)(config, train._dataset))
    trainer.saved_model_file = str(folder / "model.pth")
    return SimpleNamespace(train=train, valid=valid, model=trainer.model, trainer=trainer)


@pytest.mark.parametrize("model", ["BPR", "SASRec"])
def test_recbole_s_models_resume_exactly(model: str, tmp_path: Path) -> None:
    """BPR draws negatives, SASRec drops out; both shuffle."""
    whole = built(model, 3, tmp_path)
    whole.trainer.fit(whole.train, whole.valid, saved=False, verbose=False)
    first = built(model, 2, tmp_path)
    first.trainer.fit(first.train, None, verbose=False)
    second = built(model, 3, tmp_path)
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    second.trainer.resume_checkpoint(tmp_path / "model.pth")
    second.trainer.fit(second.train, second.valid, saved=False, verbose=False)
    assert second.trainer.train_loss_dict == {2: whole.trainer.train_loss_dict[2]}
    one, two = whole.model.state_dict(), second.model.state_dict()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def test_a_resumed_run_knows_the_best_metrics(tmp_path: Path) -> None:
    first = built("BPR", 1, tmp_path)
    _, best = first.trainer.fit(first.train, first.valid, verbose=False)
    second = built("BPR", 1, tmp_path)
    second.trainer.resume_checkpoint(tmp_path / "model.pth")
    assert second.trainer.fit(second.train, second.valid, verbose=False)[1] == best


def test_a_checkpoint_of_recbole_s_own_resumes_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = built("BPR", 2, tmp_path)
    Trainer._save_checkpoint(run.trainer, 0)
    assert "trainer_state" not in load_checkpoint(tmp_path / "model.pth")["other_parameter"]
    run.trainer.resume_checkpoint(tmp_path / "model.pth")
    assert "holds no random states: training on from it is not exact" in caplog.text
    run.trainer.fit(run.train, run.valid, verbose=False)
    assert list(run.trainer.train_loss_dict) == [1]


def test_saving_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    run = built("BPR", 1, tmp_path)
    run.trainer.fit(run.train, None, verbose=False)
    assert "other_parameter" not in vars(run.model)
    assert run.model.other_parameter() == {}


def test_a_loader_with_two_loaders_inside() -> None:
    general, graph = (SimpleNamespace(generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))

    class Stub(Resumable):
        best_valid_result, cur_step = None, 0

    trainer: Any = Stub()
    trainer._train_data = SimpleNamespace(general_dataloader=general, kg_dataloader=graph)
    state = trainer.extra_state()
    expected = [torch.rand(3, generator=loader.generator) for loader in (general, graph)]
    trainer.load_extra_state(state)
    drawn = [torch.rand(3, generator=loader.generator) for loader in (general, graph)]
    assert all(torch.equal(a, b) for a, b in zip(expected, drawn, strict=True))
    assert not torch.equal(*drawn)


def test_gumbel_draws_have_its_distribution() -> None:
    torch.manual_seed(0)
    drawn = gumbel((100, 1000), torch.empty(0, dtype=torch.float64))
    assert drawn.dtype is torch.float64
    below = torch.stack([(drawn < x).double().mean() for x in torch.arange(-2.0, 6.0)])
    torch.testing.assert_close(
        below, torch.exp(-torch.exp(-torch.arange(-2.0, 6.0, dtype=torch.float64))), atol=0.01, rtol=0
    )
