"""The images of a folder, each scaled to one square, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from recbole_mm.base.errors import InputError, number_of
from recbole_mm.extraction.images import ENDINGS
from recbole_mm.extraction.vit import whole_image

FEWEST = 64  # images that a training needs

Batch = tuple[Tensor, Tensor, list[int]]  # images (n, 3, side, side) of uint8, their numbers (n,), unreadable ones


class ImageFolder(Dataset[tuple[int, Tensor | None]]):
    """The images of a folder and the folders in it, sorted by name.

    Raises
    ------
    InputError
        No such folder, or too few images.
    """

    def __init__(self, folder: Path, side: int) -> None:
        if not folder.is_dir():
            raise InputError(f"--images={folder}: no such folder")
        self.folder, self.side = folder, side
        self.files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS)
        if len(self.files) < FEWEST:
            raise InputError(
                f"--images={folder}: {number_of(len(self.files), 'image')}, but a training needs at least {FEWEST}"
            )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[int, Tensor | None]:
        try:
            with Image.open(self.files[number]) as image:
                return number, torch.from_numpy(whole_image(image, self.side)).permute(2, 0, 1)
        except Exception:  # broken bytes fail in many ways; the file is named in the report
            return number, None

    def loader(self, batch_size: int, seed: int, workers: int = 0) -> DataLoader[Any]:
        """Return batches in an order that depends on the seed alone; images that do not fill a batch are left out."""
        order = torch.Generator().manual_seed(seed)
        loader: DataLoader[Any] = DataLoader(
            self, batch_size, shuffle=True, generator=order, drop_last=True, num_workers=workers, collate_fn=collate
        )
        return loader


def collate(rows: Sequence[tuple[int, Tensor | None]]) -> Batch:
    """Return the images of a batch that could be read, their numbers, and the numbers of the others."""
    read = [(number, image) for number, image in rows if image is not None]
    images = torch.stack([image for _, image in read]) if read else torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
    return images, torch.tensor([number for number, _ in read]), [number for number, image in rows if image is None]
