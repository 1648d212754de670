"""Load the exported pipeline and paint with it, the way a server does."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers import StableDiffusionXLPipeline
from numpy.typing import NDArray

BATCH = 25
Pictures = list[NDArray[np.uint8]]


def load(model: Path) -> StableDiffusionXLPipeline:
    """Load the pipeline the way a server does: float32, silent."""
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        model, dtype=torch.float32, add_watermarker=False, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def paint(
    pipeline: StableDiffusionXLPipeline,
    prompts: list[str],
    seeds: list[int],
    defaults: dict[str, Any],
    negative: str | None = None,
) -> Pictures:
    """Paint one picture per prompt, each with its own generator."""
    pictures: Pictures = []
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        generators = [torch.Generator().manual_seed(s) for s in seeds[start : start + BATCH]]
        found = pipeline(
            part,
            negative_prompt=None if negative is None else [negative] * len(part),
            width=defaults["width"],
            height=defaults["height"],
            num_inference_steps=defaults["steps"],
            guidance_scale=defaults["guidance"],
            generator=generators,
            output_type="np",
        ).images
        pictures += list((found * 255).round().astype(np.uint8))
    return pictures
