"""Kandinsky 2.2 from files: decoder and prior as they are published, apart, or both in one."""

import json
from typing import Any

import torch

from kit.models import LocalModel, ModelUnavailable
from services.imagegen.painters import pipelines
from services.imagegen.painters.easel import Easel
from services.imagegen.painters.kandinsky.model import Kandinsky, KandinskyRow, Pipeline
from services.imagegen.painters.kandinsky.prior import Prior
from services.imagegen.values import Blending, Card

# What the pipeline's own example paints: UNet and MoVQ do not tell.
DEFAULTS = {"steps": 50, "guidance": 4.0, "width": 768, "height": 768}


def load(
    decoder: LocalModel,
    prior: LocalModel | None = None,
    *,
    device: str,
    threads: int,
    batch_pictures: int,
) -> Easel[KandinskyRow]:
    """Load both halves, from one folder without `prior`; blocking. Raises ModelUnavailable."""
    torch.set_num_threads(threads)
    device = pipelines.device_for(device)
    if prior is None:
        both = pipelines.from_files("KandinskyV22CombinedPipeline", decoder, device)
        halves = both.decoder_pipe, both.prior_pipe
    else:
        painting = pipelines.from_files("KandinskyV22Pipeline", decoder, device)
        halves = painting, _prior(prior, device)
    pipeline, imagining = halves[0], Prior(halves[1])
    card = _card(decoder, prior, pipeline, imagining, device)
    return Easel(Kandinsky(pipeline, imagining, card), batch_pictures)


def _prior(model: LocalModel, device: str) -> Any:
    kind = "KandinskyV22PriorPipeline"
    if (found := pipelines.kind_of(model)) != kind:
        raise ModelUnavailable(f"{model.name} is no prior of Kandinsky 2.2 but a {found}.")
    # Left out to save memory, it takes the blending of pictures with it.
    blind = {} if (model.path / "image_encoder").is_dir() else {"image_encoder": None}
    return pipelines.from_files(kind, model, device, **blind)


def _card(
    decoder: LocalModel, prior: LocalModel | None, pipeline: Pipeline, imagining: Prior, device: str
) -> Card:
    """Describe the model, by its `defaults.json` where it has one."""
    file = decoder.path / "defaults.json"
    given: dict[str, Any] = DEFAULTS | (json.loads(file.read_text()) if file.exists() else {})
    return Card(
        model=decoder.name,
        revision=f"{decoder.revision}+{prior.revision}" if prior else decoder.revision,
        backend=pipelines.backend_on(device),
        steps=given["steps"],
        guidance=given["guidance"],
        negative_prompt=given.get("negative_prompt", ""),
        width=given["width"],
        height=given["height"],
        side_multiple=pipeline.movq_scale_factor**2,  # else it paints more than was asked
        samplers=(),
        blending=Blending.EMBEDDINGS if imagining.sees_pictures else Blending.WORDS,
    )
