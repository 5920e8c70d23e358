"""Exact resuming for RecBole's trainers."""

from __future__ import annotations

from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from recbole.trainer import Trainer

from recbole_mm.base.errors import InputError
from recbole_mm.base.randomness import random_states, restore

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
            # RecBole saves the best epoch before it notes what its metrics are.
            "best_valid_result": self.best_valid_result if self.cur_step else self._valid_result,
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
            if self.start_epoch and Path(self.saved_model_file).is_file():
                return  # it holds the best epoch, which the last one, whose weights these are, need not be
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
        if self.cur_step > self.stopping_step:
            self.epochs: int = min(self.epochs, self.start_epoch)  # it had stopped early
        if self._resumed is None:
            getLogger().warning(f"{resume_file} holds no random states: training on from it is not exact")
        elif missing := sorted({"best_valid_result", "random_states", "loaders"} - set(self._resumed)):
            raise InputError(f"{resume_file}: {' and '.join(missing)} of the training are not there: train again")
