"""Previews show what the VAE would."""

import numpy as np
import torch
from torch.nn import functional

from services.imagegen.painters import previews

MIX = torch.tensor([[1.0, 0.2, 0.0], [0.0, 1.0, 0.3], [0.1, 0.0, 1.0], [0.5, 0.5, 0.5]])


def encode(pixels: torch.Tensor) -> torch.Tensor:
    """Return four channels of an eighth of the size that say the same."""
    small = functional.avg_pool2d(pixels, 8)
    return torch.einsum("bchw,dc->bdhw", small, MIX)


def decode(latents: torch.Tensor) -> torch.Tensor:
    small = torch.einsum("bdhw,cd->bchw", latents, torch.linalg.pinv(MIX))
    return functional.interpolate(small, scale_factor=8)


def test_a_preview_shows_the_vaes_colours() -> None:
    palette = previews.fit(encode, decode)
    colours = torch.rand((1, 3, 4, 6), generator=torch.Generator().manual_seed(1)) * 2 - 1
    latents = encode(functional.interpolate(colours, scale_factor=8))
    shown = np.asarray(previews.picture(latents, palette), float)
    assert shown.shape == (4, 6, 3)
    expected = (colours[0].movedim(0, -1).numpy() + 1) * 127.5
    assert np.abs(shown - expected).max() < 2
