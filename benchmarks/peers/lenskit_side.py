"""BPR and LightGCN of LensKit: FlexMF with its presets of these names."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch
from lenskit.batch import recommend  # type: ignore[import-not-found]
from lenskit.data import from_interactions_df  # type: ignore[import-not-found]
from lenskit.flexmf import FlexMFImplicitScorer  # type: ignore[import-not-found]
from lenskit.pipeline import topn_pipeline  # type: ignore[import-not-found]
from lenskit.training import TrainingOptions  # type: ignore[import-not-found]

from .turns import Turns

PRESETS: dict[str, dict[str, Any]] = {
    "BPR": {"preset": "bpr"},
    "LightGCN": {"preset": "lightgcn", "convolution_layers": 2},  # RecBole's number of layers
}


def shortened(trainer: Any, steps: int) -> None:
    """Let an epoch end after `steps` batches."""
    whole = trainer.epoch_data

    def epoch_data() -> Any:
        data = whole()
        every = data.batches
        data.batches = lambda: islice(every(), steps)
        return data

    trainer.epoch_data = epoch_data


def main() -> None:
    turns = Turns()
    job = turns.job
    torch.set_num_threads(job.threads)
    table = pd.DataFrame(job.array("train"), columns=["user_id", "item_id"])
    data = from_interactions_df(table, items=np.arange(job.n_items))
    del table
    scorer = FlexMFImplicitScorer(
        embedding_size=job.width, batch_size=job.batch, epochs=job.epochs, **PRESETS[job.model]
    )
    options = TrainingOptions(rng=job.seed, device="cpu")
    trainer = scorer.create_trainer(data, options)
    if job.steps:
        shortened(trainer, job.steps)
    for _ in range(job.epochs):
        turns.epoch(trainer.train_epoch)
    trainer.finalize()
    pipeline = topn_pipeline(scorer, n=job.top)
    pipeline.train(data, TrainingOptions(retrain=False))

    def lists(users: np.ndarray) -> np.ndarray:
        found = recommend(pipeline, users, job.top, n_jobs=1)
        given = np.full((len(users), job.top), -1)
        for row, user in enumerate(users.tolist()):
            items = found.lookup(user_id=user).ids()
            given[row, : len(items)] = items
        return given

    turns.give(lists)


if __name__ == "__main__":
    main()
