"""BPR, LightGCN and VBPR through recbole-mm: RecBole's own parts, with the pack plugged in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import prepare
from recbole_mm.serving.trained_model import TrainedModel
from recbole_mm.serving.user_items import UserItems
from recbole_mm.serving.user_lists import lists_of

from .turns import Turns, recboles_settings


def seen_in(part: Any) -> UserItems:
    """Return what users have had in a part of RecBole's data; rows are internal ids less 1."""
    users, items = (part.inter_feat[name].numpy() - 1 for name in (part.uid_field, part.iid_field))
    return UserItems.of(users, items, part.user_num - 1)


def main() -> None:
    turns = Turns()
    job = turns.job
    torch.set_num_threads(job.threads)
    torch.set_flush_denormal(True)  # as a run of the pack does
    trainer, (loader, *_) = prepare(job.model, job.dataset, **recboles_settings(job))
    turns.train(trainer, loader)
    dataset = loader._dataset
    trained = TrainedModel(Path(), trainer.config, dataset, trainer.model.eval(), seen_in(dataset))
    ids = np.array([*map(int, trained.item_ids), -1])

    def lists(users: np.ndarray) -> np.ndarray:
        rows = dataset.token2id(dataset.uid_field, users.astype(str)) - 1
        found = [part.items for part in lists_of(trained, rows, job.top, hide=trained.seen)]
        given: np.ndarray = ids[np.concatenate(found)]
        return given

    turns.give(lists)


if __name__ == "__main__":
    main()
