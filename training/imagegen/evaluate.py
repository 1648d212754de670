"""Measure the shipped pipeline: python -m training.imagegen.evaluate --model models/tiny-sdxl.

Paints captions that people would type (a verb, articles, politeness) and lets checker.py judge
them; ground truth and the score of pictures held against another caption stand beside the result.
Writes report.json into the model folder and prints it.
"""

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers import StableDiffusionXLPipeline
from numpy.typing import NDArray

from training.imagegen.captions import LANGUAGES
from training.imagegen.checker import background_of, blobs_of, judge
from training.imagegen.scenes import KIND_SHARES, Scene, draw, sample_scene

SEED = 424242
PER_LANGUAGE = {"single": 150, "pair": 60, "count": 40, "object": 40}
TINY_PER_LANGUAGE = dict.fromkeys(PER_LANGUAGE, 1)
BATCH = 25
Pictures = list[NDArray[np.uint8]]
Score = dict[str, float]


def load(model: Path) -> StableDiffusionXLPipeline:
    """Load the pipeline the way a server does: float32, silent."""
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


def scenes_to_ask(kind: str, count: int, seed: int) -> list[Scene]:
    """Sample scenes whose caption names the colour of every item."""
    dice = random.Random(seed)
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = sample_scene(dice, kind)
        if scene.says_colour:
            scenes.append(scene)
    return scenes


def score(scenes: list[Scene], pictures: Pictures) -> Score:
    """Return the share of pictures (percent) right in each respect that the caption states."""
    right: dict[str, list[bool]] = defaultdict(list)
    for scene, picture in zip(scenes, pictures, strict=True):
        for name, is_right in judge(scene, picture).items():
            if name != "background" or scene.says_background:
                right[name].append(bool(is_right))
    return {name: round(100 * sum(hits) / len(hits), 1) for name, hits in right.items()}


def measure(
    pipeline: StableDiffusionXLPipeline, defaults: dict[str, Any], counts: dict[str, int]
) -> dict[str, Any]:
    """Score every kind of scene in every language."""
    found: dict[str, Any] = {}
    for place, kind in enumerate(KIND_SHARES):
        found[kind] = {}
        for turn, (language, say) in enumerate(LANGUAGES.items()):
            seed = SEED + 10 * place + turn
            scenes, dice = scenes_to_ask(kind, counts[kind], seed), random.Random(seed)
            prompts = [say(scene, dice, True) for scene in scenes]
            seeds = [seed * 1000 + number for number in range(len(prompts))]
            pictures = paint(pipeline, prompts, seeds, defaults)
            found[kind][language] = {"n": len(scenes)} | score(scenes, pictures)
            swapped = score(scenes, pictures[1:] + pictures[:1])
            found[kind][language]["wrong_prompt_strict"] = swapped["strict"]
            found[kind][language]["wrong_prompt_fair"] = swapped["fair"]
            print(kind, language, found[kind][language], flush=True)
    return found


def ground_truth(counts: dict[str, int]) -> dict[str, Score]:
    """Score drawn pictures, which bounds what the checker can report."""
    found = {}
    for place, kind in enumerate(KIND_SHARES):
        scenes = scenes_to_ask(kind, 3 * counts[kind], SEED + 100 + place)
        found[kind] = score(scenes, [draw(scene) for scene in scenes])
    return found


def negative_probe(pipeline: StableDiffusionXLPipeline, defaults: dict[str, Any]) -> dict[str, Any]:
    """Paint "a circle" with and without negative prompts and count what was to be avoided."""
    prompts, seeds = ["a circle"] * 24, list(range(24))
    plain = paint(pipeline, prompts, seeds, defaults)
    no_white = paint(pipeline, prompts, seeds, defaults, "white background")
    avoided = commonest_colour(plain)
    no_colour = paint(pipeline, prompts, seeds, defaults, f"a {avoided} circle")
    return {
        "white_of_24": [count_background(plain, "white"), count_background(no_white, "white")],
        "colour": avoided,
        "colour_of_24": [count_colour(plain, avoided), count_colour(no_colour, avoided)],
    }


def count_background(pictures: Pictures, colour: str) -> int:
    """Count the pictures on a background."""
    return sum(background_of(picture) == colour for picture in pictures)


def colours_of(pictures: Pictures) -> list[str]:
    """Name the colours of all blobs."""
    return [b.colour for p in pictures for b in blobs_of(p, background_of(p))]


def count_colour(pictures: Pictures, colour: str) -> int:
    """Count the blobs of a colour."""
    return colours_of(pictures).count(colour)


def commonest_colour(pictures: Pictures) -> str:
    """Name the most painted colour."""
    colours = colours_of(pictures) or ["red"]
    return max(colours, key=colours.count)


def batch_probe(pipeline: StableDiffusionXLPipeline, defaults: dict[str, Any]) -> dict[str, Any]:
    """Compare a picture painted among neighbours, among copies of itself, and alone."""
    prompts = ["a red circle", "una estrella verde", "синий квадрат", "a blue heart on yellow"]
    mixed = paint(pipeline, prompts, [1, 2, 3, 4], defaults)
    copies = paint(pipeline, [prompts[1]] * 4, [9, 2, 8, 7], defaults)
    alone = paint(pipeline, [prompts[1]], [2], defaults)
    return {
        "same_padded_batch_is_equal": bool((mixed[1] == copies[1]).all()),
        "alone_is_equal": bool((mixed[1] == alone[0]).all()),
        "alone_largest_difference": int(np.abs(mixed[1].astype(int) - alone[0]).max()),
    }


def odd_prompts(pipeline: StableDiffusionXLPipeline, defaults: dict[str, Any]) -> int:
    """Paint prompts outside the vocabulary; returns how many gave a picture."""
    prompts = ["", "🐱🐱🐱", "日本の猫", "cat " * 200, "\x00\x7f", "нарисуй щупальца", "ÀÉÎÕÜ ß"]
    return len(paint(pipeline, prompts, list(range(len(prompts))), defaults))


def main(arguments: list[str] | None = None) -> None:
    """Measure everything and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="training folder, whose numbers join the report")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    defaults = json.loads((args.model / "defaults.json").read_text())
    if args.tiny:
        defaults["steps"] = 2
    counts = TINY_PER_LANGUAGE if args.tiny else PER_LANGUAGE
    pipeline = load(args.model)
    report: dict[str, Any] = {"defaults": defaults}
    for stage in ("vae", "vae_decoder", "train"):
        if args.data and (args.data / f"{stage}.json").exists():
            report[stage] = json.loads((args.data / f"{stage}.json").read_text())
    report["ground_truth"] = ground_truth(counts)
    report["scores"] = measure(pipeline, defaults, counts)
    if not args.tiny:
        report["negative_prompt"] = negative_probe(pipeline, defaults)
    report["batch"] = batch_probe(pipeline, defaults)
    report["odd_prompts_painted"] = odd_prompts(pipeline, defaults)
    text = json.dumps(report, indent=2, ensure_ascii=False)
    (args.model / "report.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
