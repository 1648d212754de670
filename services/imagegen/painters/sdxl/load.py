"""An SDXL pipeline from files."""

import json
from typing import Any

import torch

from kit.models import LocalModel, ModelUnavailable
from services.imagegen.painters import pipelines
from services.imagegen.painters.easel import Easel
from services.imagegen.painters.sdxl.model import Pipeline, Sdxl, SdxlRow
from services.imagegen.schemas import Card

SDXL_DEFAULTS = {"steps": 28, "guidance": 7.0}
ENLARGED_SIDE = 512  # a model of tiny pictures shows them at this size unless asked otherwise


def load(model: LocalModel, *, device: str, threads: int, batch_pictures: int) -> Easel[SdxlRow]:
    """Load the pipeline; blocking. Raises ModelUnavailable for what is no SDXL."""
    torch.set_num_threads(threads)
    device = pipelines.device_for(device)
    pipeline = pipelines.from_files("StableDiffusionXLPipeline", model, device)
    if getattr(pipeline.vae.config, "latents_mean", None) is not None:
        raise ModelUnavailable(f"{model.name} normalises its latents; this painter does not.")
    if pipeline.vae.config.force_upcast:  # such a VAE overflows in float16
        pipeline.vae.to(torch.float32)
    card = _card(model, pipeline, device)
    return Easel(Sdxl(pipeline, card), batch_pictures)


def _card(model: LocalModel, pipeline: Pipeline, device: str) -> Card:
    """Describe the model by its `defaults.json`, which the hub's models do not have."""
    file = model.path / "defaults.json"
    given: dict[str, Any] = json.loads(file.read_text()) if file.exists() else SDXL_DEFAULTS
    native = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
    is_enlarged = "upscale" in given
    return Card(
        model=model.name,
        revision=model.revision,
        backend=pipelines.backend_on(device),
        steps=given["steps"],
        guidance=given["guidance"],
        negative_prompt=given.get("negative_prompt", ""),
        width=ENLARGED_SIDE if is_enlarged else given.get("width", native),
        height=ENLARGED_SIDE if is_enlarged else given.get("height", native),
        painted_side=given.get("width", native) if is_enlarged else None,
        vocabulary=tuple(given.get("vocabulary", ())),
        note=given.get("note", ""),
    )
