"""Paint with any SDXL in diffusers' layout, the embedded tiny one included.

A row does what StableDiffusionXLPipeline (diffusers 0.42) does for one picture; only the UNet's pass
is shared.
"""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from services.imagegen.painters import Sources, previews
from services.imagegen.painters.rows import DiffusionRow, guided, on_device, times, weighted_mean
from services.imagegen.painters.sdxl.adapters import Adapters
from services.imagegen.painters.sdxl.samplers import sampler
from services.imagegen.painters.sdxl.texts import Conditions, Texts
from services.imagegen.values import Card, Drawing

Pipeline = Any  # a StableDiffusionXLPipeline; diffusers publishes no types
SdxlRow = DiffusionRow[Conditions]


class Sdxl:
    """The Model of SDXL; pictures and texts may be mixed as ingredients."""

    def __init__(self, pipeline: Pipeline, card: Card, adapters: Adapters) -> None:
        self.card = card
        self.pipeline = pipeline
        # Asked for each time, diffusers looks through all of a model's parts.
        self._device: torch.device = pipeline.unet.device
        self._dtype: torch.dtype = pipeline.unet.dtype
        self._adapters = adapters
        self._texts = Texts(pipeline)
        # The tile is the native picture by default, which saves nothing where it is needed.
        pipeline.vae.tile_sample_min_size //= 2
        pipeline.vae.tile_latent_min_size //= 2
        self._palette = on_device(previews.fit)(self._to_latents, self._to_pixels)

    @on_device
    def prepare(self, drawing: Drawing, seed: int, sources: Sources) -> SdxlRow:
        """Return a row that begins with noise, or with its mixed pictures under noise."""
        if self._adapters.use(drawing.loras):  # the same for all drawings of a batch
            self._texts.forget()
        width, height = self.card.painted(drawing)
        scheduler = sampler(drawing.scheduler, self.pipeline.scheduler)
        scheduler.set_timesteps(drawing.steps)
        row = DiffusionRow(
            drawing,
            scheduler=scheduler,
            generator=torch.Generator("cpu").manual_seed(seed),
            conditions=self._texts.conditions(drawing, (width, height)),
        )
        scale = self.pipeline.vae_scale_factor
        shape = (1, self.pipeline.unet.config.in_channels, height // scale, width // scale)
        mixed = self._mixed_pictures(drawing, sources, row.generator)
        noise = torch.randn(shape, generator=row.generator, dtype=self._dtype).to(self._device)
        row.start(noise, mixed)
        return row

    @on_device
    def predict(self, rows: Sequence[SdxlRow]) -> list[torch.Tensor]:
        """Return each row's guided noise (4, h, w), from one pass for each length of prompt.

        A pass always has all rows; those of another length stand aside for copies.
        """
        noises: dict[int, torch.Tensor] = {}
        for length in sorted({row.conditions.length for row in rows}):
            ours = [row.conditions.length == length for row in rows]
            stand_in = rows[ours.index(True)]
            alike = [row if is_ours else stand_in for row, is_ours in zip(rows, ours, strict=True)]
            passed = self._pass(alike)
            noises |= {n: passed[n] for n, is_ours in enumerate(ours) if is_ours}
        return [noises[n] for n in range(len(rows))]

    def _pass(self, rows: Sequence[SdxlRow]) -> torch.Tensor:
        """Return the guided noise (B, 4, h, w) of B rows, each with its negative."""
        latents = torch.cat([row.model_input for row in rows])
        conditions = Conditions.batch([row.conditions for row in rows])
        noise = self.pipeline.unet(
            torch.cat([latents, latents]),
            times(rows, self._device).repeat(2),
            encoder_hidden_states=conditions.tokens,
            added_cond_kwargs={"text_embeds": conditions.pooled, "time_ids": conditions.sizes},
            return_dict=False,
        )[0]
        free, aimed = noise.chunk(2)
        return guided(free, aimed, rows)

    @on_device
    def decode(self, row: SdxlRow, is_tiled: bool) -> Image.Image:
        """Return the finished picture in the size that the model paints."""
        self.pipeline.vae.use_tiling = is_tiled
        picture: Image.Image
        [picture] = self.pipeline.image_processor.postprocess(self._to_pixels(row.latents))
        return picture

    @on_device
    def preview(self, row: SdxlRow) -> Image.Image:
        """Return one pixel per latent."""
        return previews.picture(row.outlook, self._palette)

    def _mixed_pictures(
        self, drawing: Drawing, sources: Sources, generator: torch.Generator
    ) -> torch.Tensor | None:
        """Return the mean of a drawing's pictures as latents, with the same noise in each.

        So one picture becomes what StableDiffusionXLImg2ImgPipeline makes of it, and the order of
        several does not matter.
        """
        parts = [part for part in drawing.ingredients if part.picture is not None]
        if not parts:
            return None
        seen = [self._seen(sources[part.picture or ""], drawing) for part in parts]
        vae = self.pipeline.vae
        noise = torch.randn(seen[0].mean.shape, generator=generator, dtype=vae.dtype)
        noise = noise.to(self._device)
        mean = weighted_mean(
            [(s.mean + s.std * noise, part.weight) for s, part in zip(seen, parts, strict=True)]
        )
        latents: torch.Tensor = (mean * vae.config.scaling_factor).to(self._dtype)
        return latents

    def _seen(self, picture: Image.Image, drawing: Drawing) -> Any:
        """Return the distribution of latents that the encoder sees in a picture."""
        fitted = picture.resize(self.card.painted(drawing), Image.Resampling.LANCZOS)
        pixels = self.pipeline.image_processor.preprocess(fitted)
        return self._encoded(pixels)

    def _to_latents(self, pixels: torch.Tensor) -> torch.Tensor:
        encoded = self._encoded(pixels).mode() * self.pipeline.vae.config.scaling_factor
        latents: torch.Tensor = encoded.to(self._dtype)
        return latents

    def _encoded(self, pixels: torch.Tensor) -> Any:
        vae = self.pipeline.vae
        return vae.encode(pixels.to(self._device, vae.dtype)).latent_dist

    def _to_pixels(self, latents: torch.Tensor) -> torch.Tensor:
        vae = self.pipeline.vae
        scaled = latents.to(vae.dtype) / vae.config.scaling_factor
        pixels: torch.Tensor = vae.decode(scaled, return_dict=False)[0]
        return pixels
