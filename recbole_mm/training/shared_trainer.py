"""A run's trainer in one of several processes that train one model together."""

from __future__ import annotations

from typing import Any

import torch
from recbole.evaluator.collector import DataStruct
from recbole.utils import ModelType

from recbole_mm.base.errors import InputError
from recbole_mm.parallel.process_group import ProcessGroup
from recbole_mm.recbole_bridge.several_batches import batches_per_step
from recbole_mm.training.groups import GroupCollector
from recbole_mm.training.shared_batches import SharedBatches, gradients_added, share_of_batches
from recbole_mm.training.trainer import RunTrainer

ROWS = ("rec.", "group.", "data.label")  # what a collector keeps of every row begins with one of these


class SharedRunTrainer(RunTrainer):
    """Mixin in front of a RecBole trainer class.

    All processes have the same weights. Each learns from its rows of the batches that the first one draws, and ranks
    for its users; then all know all ranks, and find the same metrics. The first one alone writes.
    """

    group: ProcessGroup

    def __init__(self, config: Any, model: Any) -> None:
        name = config["model"]
        if config["MODEL_TYPE"] in (ModelType.TRADITIONAL, ModelType.DECISIONTREE):
            raise InputError(f"--nproc: {name} is not trained by gradients: leave --nproc out")
        if config["enable_scaler"]:
            raise InputError("--nproc: enable_scaler is for one process: leave one of them out")
        if batches_per_step(config) > 1:
            raise InputError("--nproc: batches_per_step is for one process: leave one of them out")
        super().__init__(config, model)
        self.eval_collector = SharedCollector(config, self.group)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        self.group.share_state(self.model)
        return super().fit(*args, **kwargs)

    def _train_epoch(self, train_data: Any, epoch_idx: int, *args: Any, **kwargs: Any) -> Any:
        if not self.group.leads:  # dropout of its own; the first one's random states are in the checkpoint
            torch.manual_seed((self.config["seed"] * 1_000 + epoch_idx) * 1_000 + self.group.rank)
        batches = SharedBatches(train_data, self.group)
        with gradients_added(self, batches):
            loss = super()._train_epoch(batches, epoch_idx, *args, **kwargs)
        self.history[-1]["train_loss"] = self.group.mean(self.history[-1]["train_loss"])
        return loss

    def _check_nan(self, loss: Any) -> None:
        super()._check_nan(loss if self.group.all_true(bool(loss.isfinite())) else loss * torch.nan)

    def evaluate(
        self, eval_data: Any, load_best_model: bool = True, model_file: Any = None, show_progress: bool = False
    ) -> Any:
        if not eval_data:
            return None
        if load_best_model:
            model_file = self.group.told_text(str(model_file or self.saved_model_file))
        else:
            self.group.share_state(self.model)  # running means, which no gradient changes
        return super().evaluate(share_of_batches(eval_data, self.group), load_best_model, model_file, show_progress)

    def _save_checkpoint(self, epoch: int, *args: Any, **kwargs: Any) -> None:
        if self.group.leads:
            super()._save_checkpoint(epoch, *args, **kwargs)


class SharedCollector(GroupCollector):
    """The collector of an evaluation whose rows are those of all processes."""

    def __init__(self, config: Any, group: ProcessGroup) -> None:
        super().__init__(config)
        self.group = group

    def get_data_struct(self) -> DataStruct:
        struct = super().get_data_struct()
        mine = {key: value for key, value in struct._data_dict.items() if key.startswith(ROWS)}
        parts = [self.group.told(mine, source) or {} for source in range(self.group.size)]
        for key in dict.fromkeys(key for part in parts for key in part):
            struct.set(key, torch.cat([part[key] for part in parts if key in part]))
        return struct


def shared_trainer(trainer_class: type[Any], group: ProcessGroup) -> type[Any]:
    """Return the RecBole trainer class with `SharedRunTrainer` in front of it."""
    return type(f"SharedRunTrainer{trainer_class.__name__}", (SharedRunTrainer, trainer_class), {"group": group})
