"""The contrasts of CCL4Rec: of a history with its views, and of the views with each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from recbole_mm.model.parts import losses
from recbole_mm.model.parts.contrast import l2_normalize
from recbole_mm.model.parts.views import Views, ViewSource, cleaned, hard_negative, noised, stacked


class HistoryContrast(nn.Module):
    """The weighted terms of the contrasts, and the projections f of users and g of items that they are taken in.

    Parameters
    ----------
    p : dataclass
        The parameters of CCL4Rec.
    width : int
        Of users and items.
    """

    def __init__(self, p: Any, width: int) -> None:
        super().__init__()
        self.p = p
        self.user_head = nn.Linear(width, width)  # f
        if p.over_weight:
            self.item_head = nn.Linear(width, width)  # g

    def views(self, given: ViewSource) -> tuple[Views, Views]:
        """Draw the positive views, cleaned and then noised, and the hard negative ones, mildest first."""
        p = self.p
        shares = torch.linspace(p.r_min, p.r_max, p.n_views).tolist() if p.n_views > 1 else [(p.r_min + p.r_max) / 2]
        good = [make(given, share) for make in (cleaned, noised) for share in shares]
        return stacked(good), stacked([hard_negative(given, share, p.hardness) for share in shares])

    def forward(
        self, given: ViewSource, users: Tensor, following: Tensor, encode: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """Return the weighted terms by name; one of weight 0 is not computed.

        Parameters
        ----------
        given : ViewSource
            The histories.
        users, following : Tensor, shape (B, d)
            Their users, and the items that come next.
        encode : callable
            Of histories (n, L), their users (n, d).
        """
        p = self.p
        good, bad = self.views(given)
        near, far = (self._projected(views.items, encode) for views in (good, bad))  # (B, V, d)
        anchor = l2_normalize(self.user_head(users)).detach()
        terms = {}
        if p.cl_weight:
            pull = losses.denoising_pull(near, anchor, self.strengths(-good.damage), p.tau)
            terms["pull"] = p.cl_weight * pull
        if p.hard_weight:
            c_near, c_far = ((views * anchor.unsqueeze(1)).sum(2) for views in (near, far))
            strength = self.strengths(bad.damage)
            push = losses.hard_push(c_near, c_far, bad.damage.detach(), strength, margin=p.margin, temperature=p.tau)
            terms["hard"] = p.hard_weight * push
        if p.over_weight:
            nexts = l2_normalize(self.item_head(following)).unsqueeze(1)
            similarity = (torch.cat([near, far], dim=1) * nexts).sum(2)
            damages = torch.cat([good.damage, bad.damage], dim=1)
            terms["over"] = p.over_weight * losses.over_contrast(similarity, damages, p.margin, p.tau)
        return terms

    def _projected(self, views: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
        """Return f(u_v), of length 1, (B, V, d)."""
        return l2_normalize(self.user_head(encode(views.flatten(0, 1)))).unflatten(0, views.shape[:2])

    def strengths(self, signed: Tensor) -> Tensor:
        """Return `softmax(signed / tau_w)` over the views of a user, (B, V), or equal strengths."""
        if not self.p.adaptive:
            return torch.full_like(signed, 1 / signed.shape[1])
        return (signed.detach() / self.p.tau_w).softmax(1)
