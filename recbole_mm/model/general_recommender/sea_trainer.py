"""SEA's trainer."""

from __future__ import annotations

from typing import Any

import torch
from recbole.trainer import Trainer

from recbole_mm.recbole_bridge.resumable import Resumable


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
        self.club_optimizer.zero_grad()  # RecBole clips the gradients of all parameters together
        club.requires_grad_(False)

    def extra_state(self) -> dict[str, Any]:
        return super().extra_state() | {"club_optimizer": self.club_optimizer.state_dict()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        super().load_extra_state(state)
        self.club_optimizer.load_state_dict(state["club_optimizer"])
