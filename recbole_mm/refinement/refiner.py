"""MIM-Refiner: contrastive heads with nearest neighbours on several blocks of a vision transformer.

Source: MIM-Refiner (arXiv 2402.10093), section 3 and appendix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_mm.extraction.vit import tokens_of
from recbole_mm.refinement.neighbour_queue import NeighbourQueue

N_GLOBAL = 2  # views whose projections are targets


@dataclass(frozen=True, slots=True)
class HeadSize:
    """Widths of a head: hidden layers of the projector and of the predictor, output; and the length of its queue."""

    projector: int
    predictor: int
    out: int
    queue: int


HEAD_SIZES = {  # by the width of the encoder from which on it is used
    384: HeadSize(2048, 4096, 256, 65_536),
    64: HeadSize(256, 512, 128, 16_384),
    0: HeadSize(16, 32, 4, 2_048),
}


def head_size(width: int) -> HeadSize:
    return next(size for least, size in HEAD_SIZES.items() if width >= least)


class RefinerHead(nn.Module):
    """Projector, predictor and queue of one block."""

    def __init__(self, width: int, size: HeadSize) -> None:
        super().__init__()
        self.projector = nn.Sequential(
            nn.Linear(width, size.projector, bias=False), nn.BatchNorm1d(size.projector), nn.GELU(),
            nn.Linear(size.projector, size.projector, bias=False), nn.BatchNorm1d(size.projector), nn.GELU(),
            nn.Linear(size.projector, size.out, bias=False), nn.BatchNorm1d(size.out),
        )  # fmt: skip
        self.predictor = nn.Sequential(
            nn.Linear(size.out, size.predictor, bias=False), nn.BatchNorm1d(size.predictor), nn.GELU(),
            nn.Linear(size.predictor, size.out),
        )  # fmt: skip
        self.queue = NeighbourQueue(size.queue, size.out)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor, images: Tensor, k: int, temperature: float) -> Tensor:
        """Return the loss of the class tokens of all views, and add the first global view to the queue.

        Parameters
        ----------
        tokens : Tensor, (n_views * n, width)
            View by view, the global ones first; BatchNorm sees all views together.
        images : Tensor, (n,)
            Number of each image.
        """
        projected = self.projector(tokens)
        p = self.predictor(projected).float().view(-1, len(images), projected.shape[1])  # (n_views, n, out)
        z = projected.detach().float().view_as(p)[:N_GLOBAL]  # (2, n, out)
        neighbours = torch.stack([self.queue.neighbours(view, images, k) for view in z])
        self.queue.add(z[0], images)
        return neighbour_loss(z, neighbours, p, temperature)


def neighbour_loss(z: Tensor, neighbours: Tensor, p: Tensor, temperature: float) -> Tensor:
    """Return the mean of `L_ij` over global views i and all views j other than i.

    `L_ij` is the cross entropy of row a with target a over `s_ab = z_a p_b / tau`, where the positive alone has the
    neighbour: `s_aa = n_a p_a / tau`. All vectors have unit length.

    Parameters
    ----------
    z, neighbours : Tensor, (n_global, n, d)
        Projections without a gradient, and the neighbour of each.
    p : Tensor, (n_views, n, d)
        Predictions; the first `n_global` are of the same views as `z`.
    """
    z, neighbours, p = (F.normalize(rows, dim=-1) for rows in (z, neighbours, p))
    n_global, n, _ = z.shape
    negatives = torch.einsum("iad,jbd->ijab", z, p)  # (n_global, n_views, n, n)
    positives = torch.einsum("iad,jad->ija", neighbours, p)
    own = torch.eye(n, dtype=torch.bool, device=p.device)
    scores = torch.where(own, positives[..., None], negatives) / temperature
    targets = torch.arange(n, device=p.device).expand(n_global, len(p), n)
    losses = F.cross_entropy(scores.flatten(0, 2), targets.flatten(), reduction="none")
    by_view = losses.view(n_global, len(p), n).mean(-1)  # (n_global, n_views)
    other = ~torch.eye(n_global, len(p), dtype=torch.bool, device=p.device)
    return by_view[other].mean()


class Refiner(nn.Module):
    """An encoder, and a head on each of its last blocks: the last with the final norm, the others without.

    Parameters
    ----------
    encoder : timm's VisionTransformer
    n_heads : int
        Between 1 and the number of blocks.
    k : int
        Number of nearest neighbours that one is drawn from.
    frozen : bool
        Whether the encoder is left as it is (stage one).
    """

    def __init__(self, encoder: Any, n_heads: int, size: HeadSize, temperature: float = 0.2) -> None:
        super().__init__()
        self.encoder, self.temperature = encoder, temperature
        self.heads = nn.ModuleList(RefinerHead(encoder.embed_dim, size) for _ in range(n_heads))
        self.k, self.frozen = 1, False

    def stage(self, k: int, frozen: bool) -> None:
        """Set the number of neighbours, and whether the encoder is frozen."""
        self.k, self.frozen = k, frozen
        self.encoder.requires_grad_(not frozen)

    def class_tokens(self, images: Tensor) -> list[Tensor]:
        """Return the class token (n, width) that each head sees."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            normed, blocks = tokens_of(self.encoder, images, len(self.heads))
        return [*(token[:, 0] for _, token in blocks[:-1]), normed[:, 0]]

    def forward(self, views: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the sum over heads of the losses of the views, global ones first, each (n, 3, side, side)."""
        groups = [views[:N_GLOBAL], views[N_GLOBAL:]]
        seen = [self.class_tokens(torch.cat(list(group))) for group in groups if group]
        by_head = [torch.cat(tokens) for tokens in zip(*seen, strict=True)]
        losses = [
            head(tokens, images, self.k, self.temperature) for head, tokens in zip(self.heads, by_head, strict=True)
        ]
        return torch.stack(losses).sum()
