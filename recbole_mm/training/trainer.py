"""What RecBole's trainers lack: exact resuming, history, a progress bar, and a stop at NaN."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any

from recbole.trainer.trainer import DecisionTreeTrainer
from tqdm import tqdm

from recbole_mm.base.errors import InputError
from recbole_mm.base.metrics import best_epoch
from recbole_mm.base.plain import to_json
from recbole_mm.recbole_bridge.resumable import Resumable
from recbole_mm.training.data_checks import refuse_nan, unusable
from recbole_mm.training.divergence import diverged
from recbole_mm.training.groups import GroupCollector, GroupEvaluator, Groups
from recbole_mm.training.state_keeper import StateKeeper
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
    learning_rates : dict
        The learning rate by the first epoch that was trained with it.
    after_epoch : callable
        Is called after every epoch, and after its validation where it has one.
    keeper : StateKeeper or None
        Keeps the states of the training; without one the best is saved as RecBole does, and the last one not at all.
    """

    bar: tqdm[Any]
    after_epoch: Callable[[], object] = staticmethod(lambda: None)
    keeper: StateKeeper | None = None

    def __init__(self, config: Any, model: Any) -> None:
        super().__init__(config, model)
        self.eval_collector, self.evaluator = GroupCollector(config), GroupEvaluator(config)
        self.history: list[dict[str, Any]] = []
        self.learning_rates: dict[int, float] = {0: self.learning_rate}
        self._batch = 0

    @property
    def groups(self) -> Groups | None:
        return self.evaluator.groups

    @property
    def by_user(self) -> Any:
        """The last evaluation by user; see `recbole_mm.training.groups.GroupEvaluator`."""
        return self.evaluator.by_user

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        done = self.start_epoch
        self.history = [entry for entry in self.history if entry["epoch"] < done]
        pretrains = self.config["train_stage"] not in (None, "finetune")
        total = self.pretrain_epochs if pretrains else self.epochs
        with tqdm(total=total, initial=done, unit="epoch", dynamic_ncols=True) as self.bar:
            found = super().fit(*args, **kwargs)
        self._keep_last()
        return found

    def _train_epoch(self, train_data: Any, epoch_idx: int, *args: Any, **kwargs: Any) -> Any:
        self._keep_last()
        self._batch, start = 0, perf_counter()
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
            where = f"in epoch {len(self.history)}, batch {self._batch}"
            raise self._diverged(f"the training loss is {loss.item()} {where}")
        self._batch += 1

    def _full_sort_batch_eval(self, batched_data: Any) -> Any:
        return self._checked(super()._full_sort_batch_eval(batched_data))

    def _neg_sample_batch_eval(self, batched_data: Any) -> Any:
        return self._checked(super()._neg_sample_batch_eval(batched_data))

    def _checked(self, evaluated: Any) -> Any:
        if not self._batch:  # nothing was trained
            refuse_nan(evaluated[1], type(self.model).__name__)
        elif n_bad := unusable(evaluated[1]):
            where = f"after epoch {len(self.history) - 1}"
            raise self._diverged(f"{n_bad} of {evaluated[1].numel()} scores are NaN or infinite {where}")
        return evaluated

    def _diverged(self, what: str) -> InputError:
        good = self.keeper.last_good() if self.keeper is not None else None
        return diverged(self.model, what, self.learning_rate, good)

    def extra_state(self) -> dict[str, Any]:
        return super().extra_state() | {"history": to_json(self.history), "learning_rates": self.learning_rates}

    def resume_checkpoint(self, resume_file: Any) -> None:
        super().resume_checkpoint(resume_file)
        known = self._resumed or {}
        self.history, self.learning_rates = known.get("history", []), known.get("learning_rates", self.learning_rates)
        before = list(self.learning_rates.values())[-1]
        if before != self.learning_rate:
            self.learning_rates[self.start_epoch] = self.learning_rate
            for group in self.optimizer.param_groups:
                group["lr"] *= self.learning_rate / before

    def _save_checkpoint(self, epoch: int, *args: Any, **kwargs: Any) -> None:
        if self.keeper is None:
            super()._save_checkpoint(epoch, *args, **kwargs)
            return
        file, state = Path(kwargs.pop("saved_model_file", self.saved_model_file)), BytesIO()
        super()._save_checkpoint(epoch, verbose=False, saved_model_file=state)
        if state.getbuffer().nbytes:  # else there was nothing to save
            last = epoch if epoch >= 0 else self.start_epoch - 1
            self.saved_model_file: str = str(self.keeper.keep_best(file, last, state))

    def _keep_last(self) -> None:
        """Keep the state after the last epoch that was trained, of which everything is decided."""
        if self.keeper is not None and self.history:
            epoch = self.history[-1]["epoch"]
            save = super()._save_checkpoint
            self.keeper.keep_last(epoch, lambda state: save(epoch, verbose=False, saved_model_file=state))


def run_trainer(trainer_class: type[Any]) -> type[Any]:
    """Return the RecBole trainer class with `RunTrainer` in front of it, or with `TreesRunTrainer`."""
    mixin = TreesRunTrainer if issubclass(trainer_class, DecisionTreeTrainer) else RunTrainer
    return type(f"RunTrainer{trainer_class.__name__}", (mixin, trainer_class), {})
