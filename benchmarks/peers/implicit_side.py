"""BPR and ALS of implicit."""

from __future__ import annotations

import numpy as np
from implicit.als import AlternatingLeastSquares  # type: ignore[import-not-found]
from implicit.bpr import BayesianPersonalizedRanking  # type: ignore[import-not-found]
from scipy.sparse import csr_matrix

from .turns import Turns

MODELS = {"BPR": BayesianPersonalizedRanking, "ALS": AlternatingLeastSquares}


def main() -> None:
    turns = Turns()
    job, train = turns.job, turns.job.array("train")
    seen = csr_matrix((np.ones(len(train), np.float32), (train[:, 0], train[:, 1])), shape=(job.n_users, job.n_items))
    del train
    model = MODELS[job.model](factors=job.width, iterations=job.epochs, num_threads=job.threads, random_state=job.seed)
    turns.wait()
    model.fit(seen, show_progress=False, callback=turns.between)

    def lists(users: np.ndarray) -> np.ndarray:
        found: np.ndarray = model.recommend(users, seen[users], N=job.top, filter_already_liked_items=True)[0]
        return found

    turns.give(lists)


if __name__ == "__main__":
    main()
