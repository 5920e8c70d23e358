"""Random views of a batch of images, made on the device that trains.

Source: MIM-Refiner (arXiv 2402.10093), appendix: augmentations as in BYOL, with local crops as in SwAV.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recbole_mm.extraction.encoder import optional
from recbole_mm.extraction.vit import VitCard, normalized

GLOBAL, LOCAL = (0.25, 1.0), (0.05, 0.25)  # share of the image's area
LOCAL_SIDE = 0.43  # of the side of a global view
JITTER = (0.4, 0.4, 0.2, 0.1)  # brightness, contrast, saturation, hue


class RefinementViews(nn.Module):
    """Two global views of each image and some local ones: crop, flip, jitter, grey, blur and solarise.

    Parameters
    ----------
    patch : int
        Side of a patch; the side of a local view is a multiple of it.
    n_local : int
        Number of local views.
    """

    def __init__(self, card: VitCard, patch: int, n_local: int) -> None:
        super().__init__()
        self.card, self.n_local = card, n_local
        side = max(1, round(LOCAL_SIDE * card.side / patch)) * patch
        self.first = _view(card.side, GLOBAL, blur=1.0, solarise=0.0)
        self.second = _view(card.side, GLOBAL, blur=0.1, solarise=0.2)
        self.local = _view(side, LOCAL, blur=0.5, solarise=0.0)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the views (n, 3, side, side) of images (n, 3, side, side) of uint8; the global ones are first."""
        pixels = images.float() / 255
        views = [self.first(pixels), self.second(pixels), *(self.local(pixels) for _ in range(self.n_local))]
        return [normalized(view, self.card) for view in views]


class CropViews(nn.Module):
    """One view of each image: a crop of a fifth to all of it, flipped in half of the cases.

    Source: MAE (arXiv 2111.06377), appendix A.1.
    """

    def __init__(self, card: VitCard) -> None:
        super().__init__()
        kornia = kornia_augmentation()
        self.card = card
        self.view = nn.Sequential(
            kornia.RandomResizedCrop((card.side, card.side), scale=(0.2, 1.0), resample="bicubic"),
            kornia.RandomHorizontalFlip(),
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        return [normalized(self.view(images.float() / 255).clamp(0, 1), self.card)]


def _view(side: int, scale: tuple[float, float], blur: float, solarise: float) -> nn.Module:
    kornia = kornia_augmentation()
    kernel = max(3, side // 10 // 2 * 2 + 1)
    return nn.Sequential(
        kornia.RandomResizedCrop((side, side), scale=scale, resample="bilinear"),
        kornia.RandomHorizontalFlip(),
        kornia.ColorJitter(*JITTER, p=0.8),
        kornia.RandomGrayscale(p=0.2),
        kornia.RandomGaussianBlur((kernel, kernel), (0.1, 2.0), p=blur),
        kornia.RandomSolarize((0.5, 0.5), (0.0, 0.0), p=solarise),
    )


def kornia_augmentation() -> Any:
    return optional("kornia.augmentation", "pip install 'recbole-mm[images]'")
