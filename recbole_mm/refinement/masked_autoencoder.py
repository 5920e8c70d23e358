"""A masked autoencoder: a vision transformer sees a quarter of the patches, and a small one fills in the rest.

Source: MAE (arXiv 2111.06377), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recbole_mm.extraction.timm_library import timm_library
from recbole_mm.extraction.vit import VitCard

HEAD_WIDTH = 32  # of the decoder's attention


class MaskedAutoencoder(nn.Module):
    """Encoder and decoder; positions are fixed, of sines and cosines.

    Parameters
    ----------
    encoder : timm's VisionTransformer
    mask : float
        Share of the patches that the encoder does not see, between 0 and 1.
    """

    decoder_positions: Tensor  # (n_patches, decoder width)

    def __init__(self, encoder: Any, card: VitCard, mask: float = 0.75) -> None:
        super().__init__()
        timm = timm_library()
        self.encoder, self.patch = encoder, card.patch
        grid = card.side // card.patch
        self.n_patches = grid * grid
        self.n_seen = max(1, round(self.n_patches * (1 - mask)))
        width = max(2 * HEAD_WIDTH, card.width // 2 // HEAD_WIDTH * HEAD_WIDTH)
        self.embed = nn.Linear(card.width, width)
        self.mask_token = nn.Parameter(torch.randn(width) * 0.02)
        block = timm.models.vision_transformer.Block
        self.decoder = nn.Sequential(
            *(block(width, width // HEAD_WIDTH, qkv_bias=True) for _ in range(max(1, card.blocks // 3))),
            nn.LayerNorm(width),
        )
        self.pixels = nn.Linear(width, card.patch**2 * 3)
        sincos = timm.layers.build_sincos2d_pos_embed
        self.register_buffer("decoder_positions", sincos([grid, grid], dim=width), persistent=False)
        with torch.no_grad():
            encoder.pos_embed.zero_()
            encoder.pos_embed[0, 1:] = sincos([grid, grid], dim=card.width)
        encoder.pos_embed.requires_grad_(False)

    def forward(self, views: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the mean squared error over the pixels of hidden patches, each patch standardised.

        Parameters
        ----------
        views : sequence of one Tensor, (n, 3, side, side)
        images : Tensor, (n,)
            Number of each image; not used.
        """
        order = torch.rand(len(images), self.n_patches, device=images.device).argsort(dim=1)
        error = (self.filled_in(views[0], order[:, : self.n_seen]) - self.patches(views[0])) ** 2
        return error.mean(-1).gather(1, order[:, self.n_seen :]).mean()

    def filled_in(self, pixels: Tensor, seen: Tensor) -> Tensor:
        """Return what the decoder makes of all patches, (n, n_patches, 3 patch^2), by those seen, (n, n_seen)."""
        encoder = self.encoder
        tokens = encoder.patch_embed(pixels).flatten(1, 2) + encoder.pos_embed[:, 1:]  # (n, n_patches, width)
        tokens = tokens.gather(1, seen[..., None].expand(-1, -1, tokens.shape[-1]))
        first = (encoder.cls_token + encoder.pos_embed[:, :1]).expand(len(pixels), -1, -1)
        encoded = self.embed(encoder.norm(encoder.blocks(torch.cat([first, tokens], dim=1))))
        blanks = self.mask_token.to(encoded.dtype).expand(len(pixels), self.n_patches, -1)
        patches = blanks.scatter(1, seen[..., None].expand(-1, -1, encoded.shape[-1]), encoded[:, 1:])
        filled = self.decoder(torch.cat([encoded[:, :1], patches + self.decoder_positions], dim=1))
        made: Tensor = self.pixels(filled[:, 1:]).float()
        return made

    def patches(self, pixels: Tensor) -> Tensor:
        """Return the pixels of each patch, standardised by its own mean and variance, (n, n_patches, 3 patch^2)."""
        rows = nn.functional.unfold(pixels.float(), self.patch, stride=self.patch).transpose(1, 2)
        mean, variance = rows.mean(-1, keepdim=True), rows.var(-1, keepdim=True)
        return (rows - mean) / (variance + 1e-6).sqrt()
