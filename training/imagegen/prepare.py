"""Write the training set: python -m training.imagegen.prepare --out DIR [--hold-out] [--tiny].

Reads DIR/vae; writes DIR/tokenizer, DIR/latents.npy (n, 4, 16, 16), already scaled, and
DIR/tokens.npy (n, 6, 32): two captions in each of three languages. Nothing is downloaded.
With --hold-out no scene has a thing in a held-out colour (scenes.HELD_OUT). --hard is the mix of the
last stage: more scenes of several things, and four captions in Russian, whose word forms are many.
"""

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from training.imagegen.captions import LANGUAGES, caption
from training.imagegen.networks import MAX_TOKENS
from training.imagegen.scenes import HARD_SHARES, KIND_SHARES, Scene, draw, sample_scene
from training.imagegen.vae import pixels
from training.imagegen.vocabulary import build_tokenizer

SEED = 11
SCENES = 100_000
CAPTIONS = dict.fromkeys(LANGUAGES, 2)
HARD_CAPTIONS = CAPTIONS | {"ru": 4}
ENCODED_AT_ONCE = 64


def tokens_of(
    scenes: list[Scene],
    tokenizer: CLIPTokenizer,
    dice: random.Random,
    captions: dict[str, int] = CAPTIONS,
) -> NDArray[np.uint16]:
    """Say every scene in all languages and return token numbers (n, captions, 32)."""
    texts = [
        caption(scene, language, dice)
        for scene in scenes
        for language, number in captions.items()
        for _ in range(number)
    ]
    rows = tokenizer(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True)
    found = np.array(rows["input_ids"], dtype=np.uint16)
    return found.reshape(len(scenes), -1, MAX_TOKENS)


def sample_scenes(
    count: int, dice: random.Random, hold_out: bool, shares: dict[str, float] = KIND_SHARES
) -> list[Scene]:
    """Sample scenes of the training mix."""
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = sample_scene(dice, shares=shares)
        if not (hold_out and scene.is_held_out):
            scenes.append(scene)
    return scenes


@torch.inference_mode()
def latents_of(scenes: list[Scene], vae: AutoencoderKL) -> NDArray[np.float16]:
    """Draw and encode every scene; returns scaled latents (n, 4, 16, 16)."""
    parts = []
    for start in range(0, len(scenes), ENCODED_AT_ONCE):
        pictures = np.stack([draw(scene) for scene in scenes[start : start + ENCODED_AT_ONCE]])
        with torch.autocast("cpu", torch.bfloat16):
            code = vae.encode(pixels(pictures)).latent_dist.mode()
        parts.append((code.float() * vae.config.scaling_factor).numpy().astype(np.float16))
    return np.concatenate(parts)


def saved_tokenizer(folder: Path, tiny: bool) -> CLIPTokenizer:
    """Load the tokenizer, or build it on the first call."""
    if not folder.exists():
        build_tokenizer(*([400] if tiny else [])).save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


def main(arguments: list[str] | None = None) -> None:
    """Build the tokenizer, sample the scenes, save words and latents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--hold-out", action="store_true")
    parser.add_argument("--hard", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    dice = random.Random(args.seed)
    shares, captions = (HARD_SHARES, HARD_CAPTIONS) if args.hard else (KIND_SHARES, CAPTIONS)
    scenes = sample_scenes(64 if args.tiny else args.scenes, dice, args.hold_out, shares)
    tokenizer = saved_tokenizer(args.out / "tokenizer", args.tiny)
    np.save(args.out / "tokens.npy", tokens_of(scenes, tokenizer, dice, captions))
    vae = AutoencoderKL.from_pretrained(args.out / "vae")
    np.save(args.out / "latents.npy", latents_of(scenes, vae))
    print(f"{len(scenes)} scenes, {len(tokenizer)} tokens")


if __name__ == "__main__":
    main()
