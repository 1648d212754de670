"""Kandinsky's second half: the decoder paints what the prior's embeddings say.

A row does what KandinskyV22Pipeline (diffusers 0.42) does for one picture; only the UNet's pass is
shared.
"""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from services.imagegen.painters import Sources, previews
from services.imagegen.painters.kandinsky.prior import Prior
from services.imagegen.painters.rows import DiffusionRow, guided, on_device, times
from services.imagegen.values import Card, Drawing

Pipeline = Any  # a KandinskyV22Pipeline; diffusers publishes no types
KandinskyRow = DiffusionRow[torch.Tensor]  # its conditions: (2, width), what to avoid comes first


class Kandinsky:
    """The Model of Kandinsky 2.2; pictures and texts are mixed as embeddings."""

    def __init__(self, decoder: Pipeline, prior: Prior, card: Card) -> None:
        self.card = card
        self._pipe = decoder
        self._prior = prior
        learned = ("learned", "learned_range")
        self._learns_variance = decoder.scheduler.config.get("variance_type") in learned
        self._palette = on_device(previews.fit)(self._to_latents, self._to_pixels)

    @on_device
    def prepare(self, drawing: Drawing, seed: int, sources: Sources) -> KandinskyRow:
        """Imagine the drawing, and return a row that begins with noise."""
        unet, scale = self._pipe.unet, self._pipe.movq_scale_factor
        scheduler = type(self._pipe.scheduler).from_config(self._pipe.scheduler.config)
        scheduler.set_timesteps(drawing.steps)
        row = DiffusionRow(
            # A job that was queued for a model which starts from pictures has a strength.
            drawing.model_copy(update={"strength": 1.0}),
            scheduler=scheduler,
            generator=torch.Generator("cpu").manual_seed(seed),
            conditions=torch.cat(self._prior.embeddings(drawing, seed, sources)).to(unet.dtype),
        )
        width, height = self.card.painted(drawing)
        shape = (1, unet.config.in_channels, height // scale, width // scale)
        row.start(torch.randn(shape, generator=row.generator, dtype=unet.dtype).to(unet.device))
        return row

    @on_device
    def predict(self, rows: Sequence[KandinskyRow]) -> torch.Tensor:
        """Return the guided noise of one pass over B rows, each with what it must avoid.

        (B, 4, h, w), or (B, 8, h, w) for a scheduler that takes the learned variance with it.
        """
        latents = torch.cat([row.model_input for row in rows])
        conditions = torch.stack([row.conditions for row in rows], dim=1).flatten(0, 1)
        predicted = self._pipe.unet(
            torch.cat([latents, latents]),
            times(rows, latents.device).repeat(2),
            encoder_hidden_states=None,
            added_cond_kwargs={"image_embeds": conditions},
            return_dict=False,
        )[0]
        noise, variance = predicted.split(latents.shape[1], dim=1)
        free, aimed = noise.chunk(2)
        noise = guided(free, aimed, rows)
        return torch.cat([noise, variance.chunk(2)[1]], dim=1) if self._learns_variance else noise

    @on_device
    def decode(self, row: KandinskyRow, is_tiled: bool) -> Image.Image:  # noqa: ARG002
        """Return the finished picture; MoVQ has no tiles, so the second try is as the first."""
        pixels = self._to_pixels(row.latents)[0].float().clamp(-1, 1).permute(1, 2, 0).cpu()
        return Image.fromarray(((pixels + 1) * 127.5).round().to(torch.uint8).numpy())

    @on_device
    def preview(self, row: KandinskyRow) -> Image.Image:
        """Return one pixel per latent."""
        return previews.picture(row.outlook, self._palette)

    def _to_latents(self, pixels: torch.Tensor) -> torch.Tensor:
        movq = self._pipe.movq
        latents: torch.Tensor = movq.encode(pixels.to(movq.device, movq.dtype)).latents
        return latents

    def _to_pixels(self, latents: torch.Tensor) -> torch.Tensor:
        movq = self._pipe.movq
        pixels: torch.Tensor = movq.decode(
            latents.to(movq.dtype), force_not_quantize=True, return_dict=False
        )[0]
        return pixels
