"""LightGBM and XGBoost, which RecBole trains all at once and without torch, as a run of the pack."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from recbole.trainer.trainer import DecisionTreeTrainer

from recbole_mm.base.errors import InputError
from recbole_mm.base.metrics import unround
from recbole_mm.training.groups import Groups

AnyTreesTrainer: Any = DecisionTreeTrainer if TYPE_CHECKING else object  # what a mixin stands in front of


class TreesRunTrainer(AnyTreesTrainer):
    """Mixin in front of RecBole's trainers of decision trees.

    Attributes
    ----------
    history : list of dict
        As `recbole_mm.training.trainer.RunTrainer` has it, without a training loss, which
        the libraries keep to themselves.
    groups, by_user : None
        Trees are evaluated by value metrics, over all interactions alike.
    keeper : object
        Not used: they are trained all at once.
    """

    groups: Groups | None = None
    by_user: Any = None
    learning_rates: dict[int, float] | None = None  # they have none

    def __init__(self, config: Any, model: Any) -> None:
        super().__init__(config, model)
        unround(self.evaluator)
        self.history: list[dict[str, Any]] = []

    def fit(self, *args: Any, callback_fn: Any = None, **kwargs: Any) -> Any:
        if callback_fn is not None:
            raise InputError(f"{self.config['model']} is trained all at once: it has no epochs to report to a sweep")
        return super().fit(*args, **kwargs)

    def resume_checkpoint(self, resume_file: Any) -> None:
        raise InputError(f"{resume_file}: {self.config['model']} is trained all at once: it cannot be resumed")

    def _train_at_once(self, *args: Any, **kwargs: Any) -> None:
        start = perf_counter()
        super()._train_at_once(*args, **kwargs)
        entry = {"epoch": len(self.history), "train_loss": None, "seconds": perf_counter() - start}
        self.history.append({**entry, "valid_score": None, "valid": None})

    def _valid_epoch(self, *args: Any, **kwargs: Any) -> Any:
        score, result = super()._valid_epoch(*args, **kwargs)
        self.history[-1].update(valid_score=score, valid=dict(result))
        return score, result
