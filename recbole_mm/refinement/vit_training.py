"""Training on images in stages, with a checkpoint after each epoch that the same call goes on from exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import replaced
from recbole_mm.extraction.timm_library import timm_library
from recbole_mm.refinement.image_folder import ImageFolder

CHECKPOINT = "checkpoint.pt"
WARM_UP = 4  # epochs, or a fifth of a stage where that is less
LAST_RATE = 1e-6


@dataclass(slots=True)
class Stage:
    """One stage of a training.

    Attributes
    ----------
    groups : list of dict
        Parameters for AdamW; ``lr_scale`` of a group multiplies its rate.
    rate : float
        Highest learning rate.
    begin : callable
        Called when the stage begins.
    averaged : AveragedModel, optional
        Of a part of the module, updated after each step.
    """

    name: str
    epochs: int
    groups: list[dict[str, Any]]
    rate: float
    begin: Callable[[], None] = field(default=lambda: None)
    averaged: AveragedModel | None = None


@dataclass(frozen=True, slots=True)
class TrainedEpoch:
    """One epoch: its stage, its number in it from 1, mean loss, seconds."""

    stage: str
    epoch: int
    loss: float
    seconds: float


@dataclass(slots=True)
class VitTraining:
    """What is trained, on what, and where its checkpoint lies.

    Parameters
    ----------
    module : nn.Module
        ``module(views, numbers)`` is the loss of a batch.
    views : nn.Module
        Makes the views of a batch of images.
    plan : str
        All that the result depends on; a checkpoint of another plan is refused.
    """

    module: nn.Module
    views: nn.Module
    images: ImageFolder
    stages: list[Stage]
    out: Path
    plan: str
    batch_size: int
    seed: int
    device: torch.device
    workers: int = 0
    history: list[TrainedEpoch] = field(default_factory=list)
    unreadable: set[int] = field(default_factory=set)

    def run(self) -> None:
        """Train all stages, from the checkpoint where there is one.

        Raises
        ------
        InputError
            The folder has a checkpoint of another training, the batch is larger than the folder, or the loss is not
            finite.
        """
        if self.batch_size > len(self.images):
            raise InputError(f"--batch-size={self.batch_size}: the folder has only {len(self.images)} images")
        self.module.to(self.device)
        self.views.to(self.device)
        saved = self._saved()
        for number, stage in enumerate(self.stages):
            if stage.epochs and number >= saved.get("stage", 0):
                self._train(number, stage, saved if saved.get("stage") == number else {})

    def _train(self, number: int, stage: Stage, saved: dict[str, Any]) -> None:
        steps = len(self.images) // self.batch_size
        stage.begin()
        if stage.averaged is not None:
            stage.averaged.to(self.device)
        optimizer = torch.optim.AdamW(stage.groups, lr=stage.rate, betas=(0.9, 0.95))
        if saved:
            optimizer.load_state_dict(saved["optimizer"])
            if stage.averaged is not None:
                stage.averaged.load_state_dict(saved["averaged"])
        warm_up = round(min(WARM_UP, stage.epochs / 5) * steps)
        schedule = timm_library("timm.scheduler").CosineLRScheduler(
            optimizer, stage.epochs * steps, LAST_RATE, warmup_t=warm_up, t_in_epochs=False
        )
        for epoch in range(saved.get("epoch", 0), stage.epochs):
            began = time.perf_counter()
            with _seeded([self.seed, number, epoch], self.device) as seed:
                loss = self._epoch(stage, optimizer, schedule, epoch, seed)
            self.history.append(TrainedEpoch(stage.name, epoch + 1, loss, time.perf_counter() - began))
            self._save(number, stage, optimizer, epoch + 1)

    def _epoch(self, stage: Stage, optimizer: torch.optim.Optimizer, schedule: Any, epoch: int, seed: int) -> float:
        """Train one epoch and return the mean loss of its batches."""
        self.module.train()
        loader = self.images.loader(self.batch_size, seed, self.workers)
        losses = list[float]()
        told = tqdm(loader, f"{stage.name}, epoch {epoch + 1} of {stage.epochs}", unit="batch", leave=False)
        for step, (images, numbers, unreadable) in enumerate(told, epoch * len(loader)):
            self.unreadable.update(unreadable)
            if len(numbers) < 2:
                continue
            schedule.step_update(step + 1)
            views = self.views(images.to(self.device, non_blocking=True))
            views = [view.contiguous(memory_format=torch.channels_last) for view in views]
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                loss = self.module(views, numbers.to(self.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if stage.averaged is not None:
                stage.averaged.update_parameters(self.encoder)
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise InputError(f"{stage.name}, epoch {epoch + 1}: the loss is {losses[-1]}; lower the learning rate")
            told.set_postfix(loss=f"{losses[-1]:.3f}")
        return float(np.mean(losses)) if losses else math.nan

    @property
    def encoder(self) -> nn.Module:
        found: Any = self.module
        encoder: nn.Module = found.encoder
        return encoder

    def _save(self, number: int, stage: Stage, optimizer: torch.optim.Optimizer, epoch: int) -> None:
        state = {
            "plan": self.plan,
            "stage": number,
            "epoch": epoch,
            "module": self.module.state_dict(),
            "optimizer": optimizer.state_dict(),
            "averaged": None if stage.averaged is None else stage.averaged.state_dict(),
            "history": [(one.stage, one.epoch, one.loss, one.seconds) for one in self.history],
            "unreadable": sorted(self.unreadable),
        }
        with replaced(self.out / CHECKPOINT) as partial:
            torch.save(state, partial)

    def _saved(self) -> dict[str, Any]:
        """Take up the checkpoint, if there is one, and return it."""
        file = self.out / CHECKPOINT
        if not file.is_file():
            return {}
        try:
            saved: dict[str, Any] = torch.load(file, map_location=self.device, weights_only=True)
            plan = saved["plan"]
        except Exception as error:  # broken bytes fail in many ways
            raise InputError(f"{file}: no checkpoint can be read; remove it, or choose another --out") from error
        if plan != self.plan:
            raise InputError(f"{file} is of other settings or images: choose another --out, or remove it")
        self.module.load_state_dict(saved["module"])
        self.history = [TrainedEpoch(*one) for one in saved["history"]]
        self.unreadable = set(saved["unreadable"])
        return saved


@contextmanager
def _seeded(numbers: list[int], device: torch.device) -> Iterator[int]:
    """Draw from a seed made of the numbers, which is given; afterwards torch's random state is as before."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield seed


@contextmanager
def new_weights(seed: int) -> Iterator[None]:
    """Draw the weights of new networks from a seed; afterwards torch's random state is as before."""
    with _seeded([seed], torch.device("cpu")):
        yield


def decayed(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the parameters of a module in two groups: matrices with weight decay, biases and norms without."""
    rows = [parameter for parameter in module.parameters() if parameter.requires_grad]
    matrices, vectors = ([p for p in rows if (p.ndim > 1) == many] for many in (True, False))
    return [
        {"params": matrices, "weight_decay": weight_decay, "lr_scale": 1.0},
        {"params": vectors, "weight_decay": 0.0, "lr_scale": 1.0},
    ]


def by_depth(encoder: Any, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Return the parameters of a vision transformer with rates that fall from the last norm to the embeddings.

    Of L blocks, block l (from 1) has `layer_decay` ^ (L + 1 - l) of the rate, embeddings `layer_decay` ^ (L + 1), the
    last norm all of it. Biases, norms, class token and positions have no weight decay.
    """
    last, without = len(encoder.blocks) + 1, encoder.no_weight_decay()
    stem = ("cls_token", "pos_embed", "reg_token", "patch_embed", "norm_pre")
    groups = dict[tuple[int, bool], list[nn.Parameter]]()
    for name, parameter in encoder.named_parameters():
        part, _, rest = name.partition(".")
        depth = 0 if part in stem else int(rest.partition(".")[0]) + 1 if part == "blocks" else last
        groups.setdefault((depth, parameter.ndim > 1 and name not in without), []).append(parameter)
    return [
        {"params": rows, "lr_scale": layer_decay ** (last - depth), "weight_decay": weight_decay if decays else 0.0}
        for (depth, decays), rows in groups.items()
    ]
