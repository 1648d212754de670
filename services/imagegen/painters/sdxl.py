"""Paint with any SDXL in diffusers' layout, the embedded tiny one included.

The loop is StableDiffusionXLPipeline's own (diffusers 0.42), opened up for what a shared batch
needs: each row has its own prompt, guidance and generator, and one step is the longest wait for a
cancellation. Every pass has the same number of rows, filled up where drawings are missing, because
kernels round differently for other batch sizes: so a picture's bytes do not depend on company.
"""

import inspect
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image

from kit.models import LocalModel, ModelUnavailable
from services.imagegen.painters import DeviceLost, OnStep, OutOfMemory
from services.imagegen.schemas import Card, Drawing, Scheduler

Pipeline = Any  # a StableDiffusionXLPipeline; diffusers publishes no types
SDXL_DEFAULTS = {"steps": 28, "guidance": 7.0}
ENLARGED_SIDE = 512  # a model of tiny pictures shows them at this size unless asked otherwise
SAMPLERS: Mapping[Scheduler, tuple[Any, dict[str, Any]]] = {
    Scheduler.EULER_ANCESTRAL: (diffusers.EulerAncestralDiscreteScheduler, {}),
    Scheduler.EULER: (diffusers.EulerDiscreteScheduler, {}),
    Scheduler.DPMPP_2M: (diffusers.DPMSolverMultistepScheduler, {}),
    Scheduler.DDIM: (diffusers.DDIMScheduler, {"clip_sample": False}),
}


@dataclass(frozen=True)
class Row:
    """One picture of a drawing."""

    index: int
    drawing: Drawing
    seed: int


class SdxlPainter:
    """Paints rows of a fixed batch; pictures and texts may be mixed as ingredients."""

    def __init__(self, pipeline: Pipeline, card: Card, batch_pictures: int) -> None:
        self.card = card
        self._pipe = pipeline
        self._batch = batch_pictures
        self._encode = lru_cache(512)(self._encode_text)

    @torch.inference_mode()
    def paint(
        self, drawings: Sequence[Drawing], sources: dict[str, Image.Image], on_step: OnStep
    ) -> list[list[Image.Image]]:
        """Paint pass after pass; see Painter for the promise."""
        passes = list(self._passes(drawings))
        progress = _Progress(on_step, sum(_steps(rows) for rows in passes))
        pictures: list[list[Image.Image]] = [[] for _ in drawings]
        try:
            for rows in passes:
                latents = self._denoise(rows, sources, progress)
                if latents is None:
                    continue
                for row, picture in zip(rows, self._decode(latents), strict=False):
                    pictures[row.index].append(_enlarged(picture, row.drawing))
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemory("The device's memory does not hold this batch.") from error
        except torch.AcceleratorError as error:
            raise DeviceLost("The device failed.") from error
        return [[] if n in progress.unwanted else done for n, done in enumerate(pictures)]

    def _passes(self, drawings: Sequence[Drawing]) -> Iterator[list[Row]]:
        rows = [
            Row(n, drawing, seed) for n, drawing in enumerate(drawings) for seed in drawing.seeds
        ]
        rows.sort(key=lambda row: self.card.batch_key(row.drawing))
        for _, alike in groupby(rows, lambda row: self.card.batch_key(row.drawing)):
            group = list(alike)
            for start in range(0, len(group), self._batch):
                yield group[start : start + self._batch]

    def _denoise(
        self, rows: list[Row], sources: Mapping[str, Image.Image], progress: "_Progress"
    ) -> torch.Tensor | None:
        """Return the finished latents of the padded batch, or None when nobody wants them."""
        drawing = rows[0].drawing
        padded = rows + rows[:1] * (self._batch - len(rows))
        scheduler = self._scheduler(drawing.scheduler)
        scheduler.set_timesteps(drawing.steps, device=self._device)
        if hasattr(scheduler, "set_begin_index"):  # DDIM goes by the timestep alone
            scheduler.set_begin_index(drawing.first_step)
        generators = [torch.Generator("cpu").manual_seed(row.seed) for row in padded]
        takes = inspect.signature(scheduler.step).parameters
        extra = {"generator": generators} if "generator" in takes else {}
        latents = self._start(padded, scheduler, generators, sources)
        conditions = self._conditions(padded)
        scale = torch.tensor([row.drawing.guidance for row in padded], device=self._device)
        scale = scale.to(latents.dtype).view(-1, 1, 1, 1)
        for time in scheduler.timesteps[drawing.first_step :]:
            doubled = scheduler.scale_model_input(torch.cat([latents, latents]), time)
            free, guided = self._pipe.unet(doubled, time, return_dict=False, **conditions)[0].chunk(
                2
            )
            noise = free + scale * (guided - free)
            latents = scheduler.step(noise, time, latents, return_dict=False, **extra)[0]
            if not progress.step({row.index for row in rows}):
                return None
        return latents

    def _start(
        self,
        rows: Sequence[Row],
        scheduler: Any,
        generators: list[torch.Generator],
        sources: Mapping[str, Image.Image],
    ) -> torch.Tensor:
        """Return (B, 4, h, w): noise, with the mixed pictures under it where a drawing has them."""
        width, height = self.card.painted(rows[0].drawing)
        scale = self._pipe.vae_scale_factor
        shape = (1, self._pipe.unet.config.in_channels, height // scale, width // scale)
        first = scheduler.timesteps[rows[0].drawing.first_step].reshape(1)
        started = []
        for row, generator in zip(rows, generators, strict=True):
            noise = torch.randn(shape, generator=generator, dtype=self._dtype).to(self._device)
            mixed = self._mixed_pictures(row.drawing, sources)
            started.append(
                noise * scheduler.init_noise_sigma
                if mixed is None
                else scheduler.add_noise(mixed, noise, first)
            )
        return torch.cat(started)

    def _mixed_pictures(
        self, drawing: Drawing, sources: Mapping[str, Image.Image]
    ) -> torch.Tensor | None:
        pictures = [
            (self._latents(sources[part.picture], drawing), part.weight)
            for part in drawing.ingredients
            if part.picture is not None
        ]
        return _weighted_mean(pictures) if pictures else None

    def _latents(self, picture: Image.Image, drawing: Drawing) -> torch.Tensor:
        """Encode one picture alone, so that its latents do not depend on company either."""
        fitted = picture.resize(self.card.painted(drawing), Image.Resampling.LANCZOS)
        pixels = self._pipe.image_processor.preprocess(fitted)
        vae = self._pipe.vae
        encoded = vae.encode(pixels.to(self._device, vae.dtype)).latent_dist.mode()
        latents: torch.Tensor = (encoded * vae.config.scaling_factor).to(self._dtype)
        return latents

    def _conditions(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the UNet's conditions for 2B rows: negative prompts first, then prompts."""
        texts = [self._negative(row.drawing) for row in rows]
        texts += [self._positive(row.drawing) for row in rows]
        width, height = self.card.painted(rows[0].drawing)
        ids = self._pipe._get_add_time_ids(
            (height, width),
            (0, 0),
            (height, width),
            dtype=self._dtype,
            text_encoder_projection_dim=self._pipe.text_encoder_2.config.projection_dim,
        )
        return {
            "encoder_hidden_states": torch.cat([hidden for hidden, _ in texts]),
            "added_cond_kwargs": {
                "text_embeds": torch.cat([pooled for _, pooled in texts]),
                "time_ids": ids.to(self._device).repeat(len(texts), 1),
            },
        }

    def _positive(self, drawing: Drawing) -> tuple[torch.Tensor, torch.Tensor]:
        if not drawing.ingredients:
            return self._encode(drawing.prompt)
        texts = [(part.text, part.weight) for part in drawing.ingredients if part.text is not None]
        encoded = [(self._encode(text), weight) for text, weight in texts or [("", 1.0)]]
        return (
            _weighted_mean([(hidden, weight) for (hidden, _), weight in encoded]),
            _weighted_mean([(pooled, weight) for (_, pooled), weight in encoded]),
        )

    def _negative(self, drawing: Drawing) -> tuple[torch.Tensor, torch.Tensor]:
        hidden, pooled = self._encode(drawing.negative_prompt)
        if drawing.negative_prompt or not self._pipe.config.force_zeros_for_empty_prompt:
            return hidden, pooled
        return torch.zeros_like(hidden), torch.zeros_like(pooled)

    def _encode_text(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (1, tokens, width) and (1, pooled); one text at a time, see the module's head."""
        hidden, _, pooled, _ = self._pipe.encode_prompt(text, do_classifier_free_guidance=False)
        return hidden, pooled

    def _decode(self, latents: torch.Tensor) -> list[Image.Image]:
        vae = self._pipe.vae
        pixels = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor, return_dict=False)[0]
        pictures: list[Image.Image] = self._pipe.image_processor.postprocess(pixels)
        return pictures

    def _scheduler(self, name: Scheduler | None) -> Any:
        """Return a fresh sampler: its state belongs to one pass."""
        own = self._pipe.scheduler
        sampler, changes = SAMPLERS[name] if name else (type(own), {})
        return sampler.from_config(own.config, **changes)

    @property
    def _device(self) -> torch.device:
        device: torch.device = self._pipe.unet.device
        return device

    @property
    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = self._pipe.unet.dtype
        return dtype


class _Progress:
    """Counts steps over all passes and remembers which drawings became unwanted."""

    def __init__(self, on_step: OnStep, steps: int) -> None:
        self._on_step = on_step
        self._steps = steps
        self._done = 0
        self.unwanted: set[int] = set()

    def step(self, indices: Collection[int]) -> bool:
        """Report a step; tell whether any of these drawings is still wanted."""
        self._done += 1
        self.unwanted |= set(self._on_step(self._done, self._steps))
        return not self.unwanted.issuperset(indices)


def load(model: LocalModel, *, device: str, threads: int, batch_pictures: int) -> SdxlPainter:
    """Load the pipeline; blocking. Raises ModelUnavailable for what is no SDXL."""
    torch.set_num_threads(threads)
    for library in (diffusers.utils.logging, transformers.logging):  # before the pipeline's import
        library.set_verbosity_error()
        library.disable_progress_bar()
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    dtype = torch.float16 if on_gpu else torch.float32
    try:
        load_from: Any = diffusers.StableDiffusionXLPipeline.from_pretrained
        pipeline = load_from(model.path, dtype=dtype)
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnavailable(f"{model.path} holds no SDXL pipeline: {error}") from error
    if getattr(pipeline.vae.config, "latents_mean", None) is not None:
        raise ModelUnavailable(f"{model.name} normalises its latents; this painter does not.")
    pipeline.to("cuda" if on_gpu else "cpu")
    if pipeline.vae.config.force_upcast:  # such a VAE overflows in float16
        pipeline.vae.to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return SdxlPainter(
        pipeline, _card(model, pipeline, "cuda" if on_gpu else "cpu"), batch_pictures
    )


def _card(model: LocalModel, pipeline: Pipeline, device: str) -> Card:
    """Describe the model by its `defaults.json`, which the hub's models do not have."""
    file = model.path / "defaults.json"
    given: dict[str, Any] = json.loads(file.read_text()) if file.exists() else SDXL_DEFAULTS
    native = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
    is_enlarged = "upscale" in given
    return Card(
        model=model.name,
        revision=model.revision,
        backend=f"diffusers-{diffusers.__version__}-{device}",
        steps=given["steps"],
        guidance=given["guidance"],
        negative_prompt=given.get("negative_prompt", ""),
        width=ENLARGED_SIDE if is_enlarged else given.get("width", native),
        height=ENLARGED_SIDE if is_enlarged else given.get("height", native),
        painted_side=given.get("width", native) if is_enlarged else None,
    )


def _steps(rows: Sequence[Row]) -> int:
    return rows[0].drawing.steps - rows[0].drawing.first_step


def _weighted_mean(parts: Sequence[tuple[torch.Tensor, float]]) -> torch.Tensor:
    whole = sum(weight for _, weight in parts)
    return torch.stack([tensor * (weight / whole) for tensor, weight in parts]).sum(0)


def _enlarged(picture: Image.Image, drawing: Drawing) -> Image.Image:
    """Enlarge to the asked size; borders of another shape continue the picture's edge."""
    if picture.size == (drawing.width, drawing.height):
        return picture
    side = min(drawing.width, drawing.height)
    square = np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS))
    across, down = drawing.width - side, drawing.height - side
    borders = ((down // 2, down - down // 2), (across // 2, across - across // 2), (0, 0))
    return Image.fromarray(np.pad(square, borders, mode="edge"))
