"""Full-sort evaluation: more users at a time with the same metrics, within the memory."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import pytest
import torch
from recbole.model.general_recommender import ENMF
from training import SMALL, run, train

from benchmarks.plain import recboles_data
from recbole_mm.recbole_bridge import full_sort as evaluation


class TestEvaluationBatches:
    def users(self, **changes: Any) -> int:
        return int(run("BPR", epochs=1, **changes)["loader"].step)

    def test_more_users_than_recbole_has_up_to_the_memory(self) -> None:
        assert self.users() == evaluation.MOST_USERS
        assert self.users(eval_memory=1) == 2**20 // (12 * 241)

    @pytest.mark.parametrize(("size", "users"), [(1, 1), (10 * 241, 10), (10 * 241 - 1, 9), (1000 * 241, 1000)])
    def test_a_batch_size_of_the_user_stands_as_in_recbole(self, size: int, users: int) -> None:
        loader = run("BPR", epochs=1, eval_batch_size=size, eval_memory=1)["loader"]
        assert loader.step == users
        assert len(next(iter(loader))[0]) == min(users, len(loader.uid_list))

    def test_histories_are_cut_to_the_memory(self) -> None:
        keys = {**SMALL, "epochs": 1}
        assert run("GRU4Rec", **keys)["loader"].step == evaluation.MOST_USERS
        assert run("GRU4Rec", eval_batch_size=100, **keys)["loader"].step == 100
        assert run("GRU4Rec", eval_memory=1, **keys)["loader"].step == 2**20 // (12 * 241)

    def test_the_metrics_do_not_depend_on_it(self) -> None:
        found = [run("BPR", eval_batch_size=size, eval_memory=1)["valid"] for size in (1, 10_000, 1_000_000)]
        assert all(one == other for one, other in pairwise(found))


class TestModelsThatMakeMoreThanAScore:
    """ENMF makes a vector of every user and item."""

    KEYS: ClassVar[dict[str, Any]] = {"train_batch_size": 500, "embedding_size": 32, "eval_memory": 1}
    VECTORS = 241 * 32 * 4  # bytes a user

    def test_a_part_of_a_batch_is_scored_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        done, asked = train("ENMF", epochs=1, **self.KEYS), []
        score = ENMF.full_sort_predict

        def watched(model: Any, users: Any) -> torch.Tensor:
            asked.append(len(users))
            return score(model, users)

        monkeypatch.setattr(ENMF, "full_sort_predict", watched)
        done.trainer.evaluate(done.loaders[1], load_best_model=False)
        assert max(asked[3:]) == 2**20 // (evaluation.HELD_AT_ONCE * self.VECTORS)
        assert sum(asked[3:]) == len(done.loaders[1].uid_list)
        assert "full_sort_predict" not in vars(done.model)

    def test_the_metrics_are_recboles(self) -> None:
        with recboles_data():
            plain = run("ENMF", **self.KEYS)
        assert run("ENMF", **self.KEYS)["valid"] == pytest.approx(plain["valid"], abs=1e-8)

    @pytest.mark.parametrize(("model", "expected"), [("ENMF", VECTORS), ("BPR", 241 * 4), ("LightGCN", 241 * 4)])
    def test_bytes_of_a_user(self, model: str, expected: int) -> None:
        done = train(model, epochs=1, **self.KEYS)
        users, state = next(iter(done.loaders[1]))[0], torch.get_rng_state()
        with torch.no_grad():
            assert evaluation.bytes_of_a_user(done.model, users) == expected
        assert torch.equal(torch.get_rng_state(), state)

    def test_a_model_that_scores_pair_by_pair_is_left_alone(self) -> None:
        assert run("NeuMF", epochs=1, eval_memory=1)["valid"] == run("NeuMF", epochs=1)["valid"]
