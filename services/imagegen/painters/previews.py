"""Small pictures of unfinished latents, by a linear map that is fitted to the model's own VAE."""

from collections.abc import Callable

import torch
from PIL import Image
from torch.nn import functional

CELLS = 8  # colours in each direction of the picture that the map is fitted to
SIDE = 128
Coder = Callable[[torch.Tensor], torch.Tensor]


def fit(encode: Coder, decode: Coder) -> torch.Tensor:
    """Return (C + 1, 3): from a latent and a 1 to red, green and blue between -1 and 1.

    Four soft fields of random colours are encoded, decoded and compared, by least squares.
    """
    colours = torch.rand((4, 3, CELLS, CELLS), generator=torch.Generator().manual_seed(0)) * 2 - 1
    fields = functional.interpolate(colours, size=(SIDE, SIDE), mode="bilinear")
    latents = torch.cat([encode(field[None]) for field in fields])
    pixels = torch.cat([decode(latent[None]) for latent in latents])
    seen = functional.interpolate(pixels.float(), size=latents.shape[-2:], mode="area")
    solution: torch.Tensor = torch.linalg.lstsq(
        _columns(latents), seen.movedim(1, -1).reshape(-1, 3).cpu()
    )[0]
    return solution


def picture(latents: torch.Tensor, palette: torch.Tensor) -> Image.Image:
    """Return one pixel per latent of (1, C, h, w)."""
    height, width = latents.shape[-2:]
    colours = (_columns(latents) @ palette).view(height, width, 3)
    levels = ((colours + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.numpy())


def _columns(latents: torch.Tensor) -> torch.Tensor:
    """Return (pixels, C + 1) with a 1 at each end, in main memory."""
    flat = latents.float().movedim(1, -1).flatten(0, 2).cpu()
    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)
