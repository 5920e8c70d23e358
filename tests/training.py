"""A short training through RecBole's own parts, for tests that compare two ways of the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from model_contract import DATASETS
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

SMALL = {"MAX_ITEM_LIST_LENGTH": 5, "hidden_size": 8, "embedding_size": 8, "train_batch_size": 4096}  # for histories


def configured(model: str, dataset: str = "microvideo", **changes: Any) -> Config:
    """Return RecBole's configuration of a short training."""
    keys = {"data_path": str(DATASETS), "use_gpu": False, "show_progress": False, "epochs": 2, **changes}
    return Config(model=model, dataset=dataset, config_dict=keys)


def train(model: str, dataset: str = "microvideo", **changes: Any) -> SimpleNamespace:
    """Return config, loaders, model and trainer after two epochs, from one seed."""
    config = configured(model, dataset, **changes)
    init_seed(config["seed"], config["reproducibility"])
    loaders = data_preparation(config, create_dataset(config))
    init_seed(config["seed"], config["reproducibility"])
    built = get_model(model)(config, loaders[0]._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, built)
    trainer.fit(loaders[0], None, verbose=False, saved=False)
    losses = [trainer.train_loss_dict[epoch] for epoch in range(config["epochs"])]
    return SimpleNamespace(config=config, loaders=loaders, model=built, trainer=trainer, losses=losses)


def run(model: str, **changes: Any) -> dict[str, Any]:
    """Return the losses, weights and validation of a short training."""
    done = train(model, **changes)
    found = done.trainer.evaluate(done.loaders[1], load_best_model=False)
    return {"losses": done.losses, "weights": done.model.state_dict(), "valid": found, "loader": done.loaders[1]}
