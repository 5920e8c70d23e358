"""BPR and LightGCN of RecBole 1.2.1 by itself, in an environment old enough for it."""

from __future__ import annotations

import logging
import sys

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed
from recbole.utils.case_study import full_sort_topk

from .turns import Turns, recboles_settings

ALONE = {
    "use_gpu": False,
    "benchmark_filename": ["train", "valid", "test"],
    "load_col": {"inter": ["user_id", "item_id"], "item": ["item_id"]},
}


def main() -> None:
    turns = Turns()
    job = turns.job
    torch.set_num_threads(job.threads)
    logging.disable(logging.WARNING)
    sys.argv = sys.argv[:1]  # RecBole reads them, too
    config = Config(model=job.model, dataset=job.dataset, config_dict=recboles_settings(job) | ALONE)
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    loader, valid, _ = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    model = get_model(job.model)(config, loader._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], job.model)(config, model)
    turns.train(trainer, loader)
    at_once = max(1, config["eval_batch_size"] // dataset.item_num)  # as many users as RecBole evaluates at once
    ids = np.array([-1, *map(int, dataset.field2id_token["item_id"][1:])])

    def lists(users: np.ndarray) -> np.ndarray:
        rows = dataset.token2id("user_id", users.astype(str))
        parts = [
            full_sort_topk(rows[first : first + at_once], model, valid, job.top)[1]
            for first in range(0, len(rows), at_once)
        ]
        found: np.ndarray = ids[torch.cat(parts).numpy()]
        return found

    turns.give(lists)


if __name__ == "__main__":
    main()
