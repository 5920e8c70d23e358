"""What RecBole's trainers lack: exact resuming, history, a progress bar, a stop at NaN, and the estimator of SEA."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from recbole.trainer.trainer import DecisionTreeTrainer
from tqdm import tqdm

from recbole_mm.base.errors import InputError
from recbole_mm.base.metrics import best_epoch
from recbole_mm.recbole_bridge.resumable import Resumable
from recbole_mm.training.data_checks import refuse_nan
from recbole_mm.training.groups import GroupCollector, GroupEvaluator, Groups
from recbole_mm.training.trees import TreesRunTrainer


class RunTrainer(Resumable):
    """Mixin in front of a RecBole trainer class.

    Attributes
    ----------
    history : list of dict
        One entry an epoch: `epoch`, `train_loss`, `seconds` (training alone), and `valid_score` and `valid`
        (metric -> value), which are None for an epoch without validation. The best epoch so far also has
        `valid_groups`.
    groups : dict or None
        The last evaluation by group of users and items; see `recbole_mm.training.groups`.
    after_epoch : callable
        Is called after every epoch, and after its validation where it has one.
    """

    history: list[dict[str, Any]]
    bar: tqdm[Any]
    after_epoch: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, config: Any, model: Any) -> None:
        super().__init__(config, model)
        self.eval_collector, self.evaluator = GroupCollector(config), GroupEvaluator(config)

    @property
    def groups(self) -> Groups | None:
        return self.evaluator.groups

    @property
    def by_user(self) -> Any:
        """The last evaluation by user; see `recbole_mm.training.groups.GroupEvaluator`."""
        return self.evaluator.by_user

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        done = self.start_epoch
        self.history = [entry for entry in getattr(self, "history", []) if entry["epoch"] < done]
        pretrains = self.config["train_stage"] not in (None, "finetune")
        total = self.pretrain_epochs if pretrains else self.epochs
        with tqdm(total=total, initial=done, desc="epochs", unit="epoch", dynamic_ncols=True) as self.bar:
            return super().fit(*args, **kwargs)

    def _train_epoch(self, train_data: Any, epoch_idx: int, *args: Any, **kwargs: Any) -> Any:
        start = perf_counter()
        loss = super()._train_epoch(train_data, epoch_idx, *args, **kwargs)
        seconds = perf_counter() - start
        total = sum(loss) if isinstance(loss, tuple) else loss
        mean = total / max(len(train_data), 1)
        self.history.append(
            {"epoch": epoch_idx, "train_loss": mean, "seconds": seconds, "valid_score": None, "valid": None}
        )
        self.bar.update()
        self.bar.set_postfix(loss=f"{mean:.4f}", refresh=True)
        if self.eval_step < 1 or (epoch_idx + 1) % self.eval_step:
            self.after_epoch()
        return loss

    def _valid_epoch(self, *args: Any, **kwargs: Any) -> Any:
        score, result = super()._valid_epoch(*args, **kwargs)
        entry = self.history[-1]
        entry.update(valid_score=score, valid=dict(result))
        metric = self.config["valid_metric"]
        if best_epoch(self.history, metric) == entry["epoch"]:
            for other in self.history:
                other.pop("valid_groups", None)
            entry["valid_groups"] = self.groups
        self.bar.set_postfix({"loss": f"{entry['train_loss']:.4f}", f"valid {metric}": f"{score:.4f}"})
        self.after_epoch()
        return score, result

    def _check_nan(self, loss: Any) -> None:
        if not loss.isfinite():
            raise InputError(
                f"{type(self.model).__name__}: the training loss is {loss.item()} in epoch {len(self.history)}: "
                "lower learning_rate or the weights of the losses, and look for huge values in the features"
            )

    def _full_sort_batch_eval(self, batched_data: Any) -> Any:
        return self._checked(super()._full_sort_batch_eval(batched_data))

    def _neg_sample_batch_eval(self, batched_data: Any) -> Any:
        return self._checked(super()._neg_sample_batch_eval(batched_data))

    def _checked(self, evaluated: Any) -> Any:
        refuse_nan(evaluated[1], type(self.model).__name__)
        return evaluated


def run_trainer(trainer_class: type[Any]) -> type[Any]:
    """Return the RecBole trainer class with `RunTrainer` in front of it, or with `TreesRunTrainer`."""
    mixin = TreesRunTrainer if issubclass(trainer_class, DecisionTreeTrainer) else RunTrainer
    return type(f"RunTrainer{trainer_class.__name__}", (mixin, trainer_class), {})
