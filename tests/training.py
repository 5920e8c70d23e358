"""A short training through RecBole's own parts, for tests that compare two ways of the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
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


def write_toy(root: Path) -> Path:
    """Write `toy`, whose items have a class and whose histories have at most 7 items; return the data path."""
    draw = np.random.default_rng(4)
    lines = [
        f"u{user}\ti{item}\t{time}"
        for user in range(12)
        for time, item in enumerate(draw.permutation(15)[: 3 + user % 6])
    ]
    (root / "toy").mkdir()
    (root / "toy/toy.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n" + "\n".join(lines) + "\n")
    items = "\n".join(f"i{item}\tc{item % 3}" for item in range(15))
    (root / "toy/toy.item").write_text(f"item_id:token\tclass:token_seq\n{items}\n")
    (root / "toy/toy.yaml").write_text("load_col: {inter: [user_id, item_id, timestamp], item: [item_id, class]}\n")
    return root
