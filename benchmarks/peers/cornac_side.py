"""BPR and VBPR of Cornac."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from cornac.data import Dataset, ImageModality  # type: ignore[import-not-found]
from cornac.models import BPR, VBPR  # type: ignore[import-not-found]

from .turns import Turns


class BPRInTurns(BPR):
    """Cornac's BPR, which has no callback, an epoch at a time."""

    turns: Turns

    def _fit_sgd(self, *args: Any) -> Any:
        found = super()._fit_sgd(*args)
        self.turns.between()
        return found


class DataInTurns(Dataset):
    """Cornac's data, of which VBPR takes all batches once an epoch."""

    turns: Turns

    def uij_iter(self, *args: Any, **settings: Any) -> Iterator[Any]:
        yield from super().uij_iter(*args, **settings)
        self.turns.between()


def model_of(turns: Turns) -> Any:
    job = turns.job
    if job.model == "BPR":
        # a seed would make it one thread
        model = BPRInTurns(k=job.width, max_iter=job.epochs, num_threads=job.threads, seed=_seed(turns))
        model.turns = turns
        return model
    return VBPR(k=job.width, k2=job.width, n_epochs=job.epochs, batch_size=job.batch, verbose=False, seed=job.seed)


def _seed(turns: Turns) -> int | None:
    return turns.job.seed if turns.job.threads == 1 else None


def main() -> None:
    turns = Turns()
    job = turns.job
    torch.set_num_threads(job.threads)
    train = job.array("train")
    every_user, every_item = ({row: row for row in range(n)} for n in (job.n_users, job.n_items))
    rows = zip(train[:, 0].tolist(), train[:, 1].tolist(), np.ones(len(train)).tolist(), strict=True)
    data = DataInTurns.build(rows, global_uid_map=every_user, global_iid_map=every_item, seed=job.seed)
    if job.model == "VBPR":
        image = ImageModality(features=job.array("features"), ids=list(range(job.n_items)))
        image.build(id_map=every_item)
        data.add_modalities(item_image=image)
    data.turns = turns
    model = model_of(turns)
    turns.wait()
    model.fit(data)

    def lists(users: np.ndarray) -> np.ndarray:
        found = [model.recommend(user, k=job.top, remove_seen=True, train_set=data) for user in users.tolist()]
        return np.array(found, dtype=np.int64)

    turns.give(lists)


if __name__ == "__main__":
    main()
