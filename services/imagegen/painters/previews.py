"""Small pictures of unfinished latents, by a linear map that is fitted to the model's own VAE."""

from collections.abc import Callable

import torch
from PIL import Image
from torch.nn import functional

SCENES = 8
SIDE = 128
Coder = Callable[[torch.Tensor], torch.Tensor]


def fit(encode: Coder, decode: Coder) -> torch.Tensor:
    """Return (C + 1, 3): from a latent and a 1 to red, green and blue between -1 and 1.

    Rectangles of random colours on white are encoded, decoded and compared, by least squares.
    """
    latents = torch.cat([encode(scene) for scene in _scenes()])
    pixels = torch.cat([decode(latent[None]) for latent in latents])
    seen = functional.interpolate(pixels.float(), size=latents.shape[-2:], mode="area")
    colours = seen.movedim(1, -1).reshape(-1, 3).cpu()
    # torch's lstsq goes wrong on a CPU when channels say the same (driver gelsy, torch 2.13).
    inverse: torch.Tensor = torch.linalg.pinv(_columns(latents), rtol=1e-3)
    return inverse @ colours


def picture(latents: torch.Tensor, palette: torch.Tensor) -> Image.Image:
    """Return one pixel per latent of (1, C, h, w)."""
    height, width = latents.shape[-2:]
    colours = (_columns(latents) @ palette).view(height, width, 3)
    levels = ((colours + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.numpy())


def _scenes() -> list[torch.Tensor]:
    """Return (1, 3, SIDE, SIDE) pictures."""
    random = torch.Generator().manual_seed(0)
    scenes = []
    for _ in range(SCENES):
        scene = torch.ones((1, 3, SIDE, SIDE))
        colour = torch.rand((3, 1, 1), generator=random) * 2 - 1
        left, top, across, down = torch.randint(SIDE // 4, SIDE // 2, (4,), generator=random)
        scene[0, :, top : top + down, left : left + across] = colour
        scenes.append(scene)
    return scenes


def _columns(latents: torch.Tensor) -> torch.Tensor:
    """Return (pixels, C + 1) with a 1 at each end, in main memory."""
    flat = latents.float().movedim(1, -1).flatten(0, 2).cpu()
    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)
