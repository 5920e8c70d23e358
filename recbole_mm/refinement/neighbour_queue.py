"""The queue of projections that nearest neighbours are drawn from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NeighbourQueue(nn.Module):
    """Projections of images seen before, first in, first out; at the start random rows of no image.

    Source: MIM-Refiner (arXiv 2402.10093), section 3; NNCLR (arXiv 2104.14548).

    Parameters
    ----------
    length : int
        Number of rows.
    dim : int
        Of a projection.
    """

    rows: Tensor  # (length, dim), not normalised
    images: Tensor  # (length,), the number of each row's image, -1 for none
    place: Tensor  # where the next row goes

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.randn(length, dim))
        self.register_buffer("images", torch.full((length,), -1))
        self.register_buffer("place", torch.tensor(0))

    def neighbours(self, z: Tensor, images: Tensor, k: int) -> Tensor:
        """Return for each projection one of its `k` nearest rows by cosine, drawn evenly; never one of its own image.

        Parameters
        ----------
        z : Tensor, (n, dim)
        images : Tensor, (n,)
            Number of each one's image.
        """
        similarity = F.normalize(z, dim=1) @ F.normalize(self.rows, dim=1).T  # (n, length)
        similarity = similarity.masked_fill(images[:, None] == self.images, -1.0)
        nearest = similarity.topk(k, dim=1).indices  # (n, k)
        drawn = torch.randint(k, (len(z), 1), device=z.device)
        return self.rows[nearest.gather(1, drawn)[:, 0]]

    def add(self, z: Tensor, images: Tensor) -> None:
        """Put projections (n, dim) in the place of the oldest rows."""
        z, images = z[-len(self.rows) :], images[-len(self.rows) :]
        places = (self.place + torch.arange(len(z), device=z.device)) % len(self.rows)
        self.rows[places] = z.detach().to(self.rows.dtype)
        self.images[places] = images
        self.place.copy_((self.place + len(z)) % len(self.rows))
