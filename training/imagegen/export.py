"""Write the pipeline: python -m training.imagegen.export --data DIR --out models/tiny-sdxl.

The result is what StableDiffusionXLPipeline.from_pretrained loads: float16 files, to be loaded as
float32, plus defaults.json with what a server must know.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from transformers import CLIPTokenizer

from training.imagegen.forms import give_rare_forms_their_meaning, subjects
from training.imagegen.networks import SHIPPED, TINY, Denoiser, build_scheduler
from training.imagegen.shapes import SIDE
from training.imagegen.vocabulary import served_words

NOTE = (
    "This picture was painted by the small built-in model, "
    "which knows simple shapes and objects only."
)
DEFAULTS = {
    "width": SIDE,
    "height": SIDE,
    "steps": 12,
    "guidance": 3.0,
    "scheduler": "euler_a",
    "upscale": "lanczos",
}


def assemble(data: Path, tiny: bool) -> StableDiffusionXLPipeline:
    """Put the averaged weights of the last checkpoint into a pipeline."""
    tokenizer = CLIPTokenizer.from_pretrained(data / "tokenizer")
    model = Denoiser(tokenizer, TINY if tiny else SHIPPED)
    model.load_state_dict(torch.load(data / "checkpoint.pt", weights_only=True)["average"])
    counts = np.bincount(np.load(data / "tokens.npy").ravel(), minlength=len(tokenizer))
    for encoder in (model.text_encoder, model.text_encoder_2):
        give_rare_forms_their_meaning(encoder, tokenizer, counts)
    return StableDiffusionXLPipeline(
        vae=AutoencoderKL.from_pretrained(data / "vae"),
        text_encoder=model.text_encoder,
        text_encoder_2=model.text_encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=model.unet,
        scheduler=build_scheduler(),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def forget_origin(config: Path) -> None:
    """Drop the local folder that diffusers notes in a component's configuration."""
    settings = json.loads(config.read_text())
    settings.pop("_name_or_path", None)
    config.write_text(json.dumps(settings, indent=2) + "\n")


def defaults_text(tiny: bool) -> str:
    """Return defaults.json: how to call the pipeline, and which words it knows and draws."""
    words = {
        "note": NOTE,
        "vocabulary": served_words(*([400] if tiny else [])),
        "subjects": sorted(subjects()),
    }
    return json.dumps(DEFAULTS | words, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Save the pipeline and its defaults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args(arguments)
    pipeline = assemble(args.data, args.tiny).to(dtype=torch.float16)
    pipeline.save_pretrained(args.out, safe_serialization=True)
    forget_origin(args.out / "vae" / "config.json")
    (args.out / "defaults.json").write_text(defaults_text(args.tiny))
    size = sum(file.stat().st_size for file in args.out.rglob("*") if file.is_file())
    print(f"{args.out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
