"""What RecBole's trainers lack: exact resuming, history, a progress bar, a stop at NaN, and the estimator of SEA."""

from __future__ import annotations

from collections.abc import Callable
from logging import getLogger
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from recbole.trainer import Trainer
from recbole.trainer.trainer import DecisionTreeTrainer
from tqdm import tqdm

from recbole_mm.base.errors import InputError
from recbole_mm.base.randomness import random_states, restore
from recbole_mm.training.checks import refuse_nan
from recbole_mm.training.groups import GroupCollector, GroupEvaluator, Groups
from recbole_mm.training.history import best_epoch
from recbole_mm.training.trees import TreesRunTrainer

AnyTrainer: Any = Trainer if TYPE_CHECKING else object  # what a mixin stands in front of


class Resumable(AnyTrainer):
    """Mixin in front of a RecBole trainer class: training on from a checkpoint goes on as if it had not stopped.

    RecBole's checkpoint holds the weights and their optimizer; this adds the random states and the best metrics, under
    `other_parameter`, the place that RecBole leaves for more.
    """

    _train_data: Any = None
    _resumed: dict[str, Any] | None = None
    _valid_result: Any = None

    def extra_state(self) -> dict[str, Any]:
        """Return what the checkpoint holds beyond RecBole's: plain values and tensors."""
        return {
            "best_valid_result": self._valid_result,  # RecBole saves the best epoch before it says that it is the best
            "random_states": random_states(),
            "loaders": [generator.get_state() for generator in self._generators()],
        }

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take up what `extra_state` returned; called when the training data is at hand, before the first batch."""
        self.best_valid_result = self._valid_result = state["best_valid_result"]
        restore(state["random_states"])
        for generator, rng in zip(self._generators(), state["loaders"], strict=True):
            generator.set_state(rng.cpu())

    def _generators(self) -> list[torch.Generator]:
        """Return the generators that shuffle; the loader of a knowledge graph has two loaders inside."""
        parts = (getattr(self._train_data, name, None) for name in ("general_dataloader", "kg_dataloader"))
        return [part.generator for part in (self._train_data, *parts) if hasattr(part, "generator")]

    def fit(self, train_data: Any, *args: Any, **kwargs: Any) -> Any:
        self._train_data = train_data
        if self._resumed is not None:
            self.load_extra_state(self._resumed)
            self._resumed = None
        return super().fit(train_data, *args, **kwargs)

    def _valid_epoch(self, *args: Any, **kwargs: Any) -> Any:
        score, self._valid_result = super()._valid_epoch(*args, **kwargs)
        return score, self._valid_result

    def _save_checkpoint(self, epoch: int, *args: Any, **kwargs: Any) -> None:
        if epoch < 0:  # RecBole's number for a run that has no epoch left to train
            epoch = self.start_epoch - 1
        other, extra = self.model.other_parameter, self.extra_state()
        self.model.other_parameter = lambda: other() | {"trainer_state": extra}
        try:
            super()._save_checkpoint(epoch, *args, **kwargs)
        finally:
            del self.model.other_parameter

    def resume_checkpoint(self, resume_file: Any) -> None:
        self.model.trainer_state = None
        super().resume_checkpoint(resume_file)
        self._resumed = self.model.trainer_state
        if self._resumed is None:
            getLogger().warning(f"{resume_file} holds no random states: training on from it is not exact")


class SEATrainer(Resumable, Trainer):
    """RecBole's Trainer, and the CLUB estimator of SEA (arXiv 2406.08270) trained by an Adam of its own.

    Between the main backward and the main step, `club_steps` steps maximise the estimator's likelihood of the samples
    of that batch's forward pass. The main optimizer does not move the estimator.

    Attributes
    ----------
    club_optimizer : torch.optim.Adam
        It and the estimator are in the checkpoint.
    """

    def _build_optimizer(self, **kwargs: Any) -> torch.optim.Optimizer:
        club = self.model.club.requires_grad_(False)  # to the model's own loss it is a constant
        self.club_optimizer = torch.optim.Adam(club.parameters(), lr=self.model.p.club_learning_rate)
        estimator = set(club.parameters())
        params = [weight for weight in self.model.parameters() if weight not in estimator]
        optimizer: torch.optim.Optimizer = super()._build_optimizer(**{"params": params, **kwargs})
        optimizer.register_step_pre_hook(lambda *_: self.train_club())
        return optimizer

    def train_club(self) -> None:
        """Make the estimator's steps on the samples of the last loss; without any, none."""
        club, samples, self.model.club_samples = self.model.club, self.model.club_samples, []
        if not samples:
            return
        dtype = next(club.parameters()).dtype  # under mixed precision the samples have another
        samples = [(x.to(dtype), y.to(dtype)) for x, y in samples]
        club.requires_grad_(True)
        for _step in range(self.model.p.club_steps):
            self.club_optimizer.zero_grad()
            (-torch.stack([club.log_likelihood(x, y) for x, y in samples]).sum()).backward()
            self.club_optimizer.step()
        club.requires_grad_(False)

    def extra_state(self) -> dict[str, Any]:
        return super().extra_state() | {"club_optimizer": self.club_optimizer.state_dict()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        super().load_extra_state(state)
        self.club_optimizer.load_state_dict(state["club_optimizer"])


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
