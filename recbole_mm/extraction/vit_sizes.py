"""Sizes of a vision transformer; light, for the help of the command line."""

VIT_SIZES = {  # name -> width, number of blocks, attention heads
    "micro": (192, 3, 3),
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
