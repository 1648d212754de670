"""An SDXL pipeline from files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import ValidationError

from kit.models import LocalModel, ModelUnavailable, resolve
from services.imagegen.painters import device, pipelines, presets
from services.imagegen.painters.easel import Easel
from services.imagegen.painters.sdxl import adapters
from services.imagegen.painters.sdxl.model import Pipeline, Sdxl, SdxlRow
from services.imagegen.painters.sdxl.samplers import name_of
from services.imagegen.values import Card

OWN = "own"
OLD_NAMES = {"euler_a": "euler_ancestral"}  # in the embedded model's file
ENLARGED_SIDE = 512  # a model of tiny pictures shows them at this size unless asked otherwise


@dataclass(frozen=True)
class Files:
    """What a painter is made of: the model, another VAE in place of its own, LoRAs by name."""

    model: LocalModel
    vae: LocalModel | None = None
    loras: Mapping[str, Path] = field(default_factory=dict)


def gather(model: LocalModel, models_dir: Path, *, vae: str = "", lora_dir: str = "") -> Files:
    """Find what goes with a model; blocking. An empty `vae` is the one its card recommends."""
    reference = vae or presets.preset(model.name).vae or OWN
    if lora_dir and not Path(lora_dir).is_dir():
        raise ModelUnavailable(f"The folder {lora_dir} of IMAGEGEN_LORA_DIR does not exist.")
    return Files(
        model,
        None if reference == OWN else resolve(reference, models_dir),
        adapters.found_in(Path(lora_dir)) if lora_dir else {},
    )


def load(
    files: Files, *, wanted: device.Wanted, threads: int, batch_pictures: int
) -> Easel[SdxlRow]:
    """Load the pipeline; blocking. Raises ModelUnavailable for what is no SDXL."""
    torch.set_num_threads(threads)
    planned = device.plan(wanted, device.capability(), has_loras=bool(files.loras))
    pipeline = _pipeline(files, planned)
    card = _card(files, pipeline, planned)
    device.prepare(pipeline, planned)
    return Easel(Sdxl(pipeline, card, adapters.Adapters(pipeline, files.loras)), batch_pictures)


def _pipeline(files: Files, planned: device.Plan) -> Pipeline:
    parts = {}
    if files.vae:
        parts["vae"] = pipelines.part("AutoencoderKL", files.vae, dtype=planned.dtype)
    pipeline = pipelines.from_files(
        "StableDiffusionXLPipeline", files.model, planned.device, dtype=planned.dtype, **parts
    )
    if getattr(pipeline.vae.config, "latents_mean", None) is not None:
        raise ModelUnavailable(f"{files.model.name} normalises its latents; this painter does not.")
    return pipeline


def _card(files: Files, pipeline: Pipeline, planned: device.Plan) -> Card:
    """Describe the model: by its `defaults.json`, then by what we know of it, then by itself."""
    model = files.model
    file = model.path / "defaults.json"
    given = json.loads(file.read_text()) if file.exists() else {}
    upscale = given.pop("upscale", None)
    native = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
    described = {
        "negative_prompt": "",
        "width": native,
        "height": native,
        "scheduler": name_of(pipeline.scheduler),
        **presets.preset(model.name).card,
        **given,
        "model": model.name,
        "revision": model.revision,
        "backend": pipelines.backend_on(planned.name),
        "vae": f"{files.vae.name}@{files.vae.revision}" if files.vae else "",
        "loras": {name: adapters.hash_of(path) for name, path in files.loras.items()},
        "window": pipeline.tokenizer.model_max_length - 2,
    }
    if upscale:
        described |= {"painted_side": described["width"]}
        described |= {"width": ENLARGED_SIDE, "height": ENLARGED_SIDE}
    described["scheduler"] = OLD_NAMES.get(described["scheduler"], described["scheduler"])
    try:
        return Card.model_validate(described)
    except ValidationError as error:
        wrong = "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())
        raise ModelUnavailable(f"{file} cannot be used: {wrong}.") from error
