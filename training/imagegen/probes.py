"""Questions beside the scores: guidance, negative prompts, seeds, odd words, company in a batch."""

import random
from typing import Any

import numpy as np
from diffusers import StableDiffusionXLPipeline

from training.imagegen import english, russian_words, spanish
from training.imagegen.captions import LANGUAGES
from training.imagegen.checker import Blob, background_of, blobs_of, closest, judge
from training.imagegen.objects import OBJECTS
from training.imagegen.painting import Pictures, paint
from training.imagegen.scenes import Scene, sample_scene
from training.imagegen.shapes import SHAPES

Calls = dict[str, Any]
SEED = 777
# Written by hand, with many words that the training captions do not have.
WRAPPINGS = {
    "en": (
        "draw me {} please, 4k",
        "hey there, would you kindly sketch {}?",
        "{}, octane render, sharp focus, trending on artstation",
        "my little daughter wants {}!!! thx",
        "A stunning wallpaper showing {}, award winning",
    ),
    "es": (
        "dibújame {} por favor, 4k",
        "oye, ¿me podrías pintar {}?",
        "{}, iluminación cinematográfica, tendencia en artstation",
        "mi hija pequeñita pide {}!!! gracias",
        "Un fondo de pantalla increíble: {}, ganador de premios",
    ),
    "ru": (
        "нарисуй: {}, пожалуйста, 4k",
        "слушай, а можно {}?",
        "{}, кинематографичный свет, тренд артстейшн",
        "моя доченька просит: {}!!! спс",
        "Потрясающие обои, {}, победитель конкурса",
    ),
}


def probe(pipeline: StableDiffusionXLPipeline, calls: Calls, tiny: bool) -> dict[str, Any]:
    """Answer every question; a tiny run asks each about one or two pictures."""
    few = 2 if tiny else 0
    return {
        "robustness": robustness(pipeline, calls, few or 60),
        "near_words": near_words(pipeline, calls, few or 60),
        "guidance": guidance(pipeline, calls, few or 60),
        "negative_prompt": negative_prompts(pipeline, calls, few or 48),
        "seeds": seeds(pipeline, calls, few or 32),
        "batch": company(pipeline, calls),
        "odd_prompts_painted": odd_prompts(pipeline, calls),
    }


def percent(hits: list[bool]) -> float:
    """Return the share of hits."""
    return round(100 * sum(hits) / max(len(hits), 1), 1)


def simple_scenes(count: int, dice: random.Random) -> list[Scene]:
    """Sample single shapes and objects whose colour is said and whose background is not."""
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = sample_scene(dice, ("single", "object")[len(scenes) % 2])
        if scene.says_colour and not scene.says_background:
            scenes.append(scene)
    return scenes


def both(scenes: list[Scene], pictures: Pictures) -> dict[str, float]:
    """Score pictures by both checkers."""
    found = [judge(scene, picture) for scene, picture in zip(scenes, pictures, strict=True)]
    return {name: percent([f[name] for f in found]) for name in ("strict", "fair")}


def robustness(pipeline: StableDiffusionXLPipeline, calls: Calls, count: int) -> dict[str, Any]:
    """Compare bare captions with the same ones among polite, quality and unknown words."""
    found = {}
    for language, say in LANGUAGES.items():
        dice = random.Random(SEED)
        scenes = simple_scenes(count, dice)
        bare = [say(scene, dice, False) for scene in scenes]
        wrapped = [dice.choice(WRAPPINGS[language]).format(text) for text in bare]
        numbers = list(range(count))
        found[language] = {
            "n": count,
            "bare": both(scenes, paint(pipeline, bare, numbers, calls)),
            "wrapped": both(scenes, paint(pipeline, wrapped, numbers, calls)),
        }
    return found


def near_words(pipeline: StableDiffusionXLPipeline, calls: Calls, count: int) -> dict[str, float]:
    """Ask for what the model only knows as near to something: is it drawn as that?"""
    words: dict[str, list[tuple[str, str]]] = {
        "en": [(kind, f"a {w}") for kind, all_ in english.NEAR.items() for w in all_],
        "es": [(k, w.removeprefix("f:")) for k, all_ in spanish.NEAR.items() for w in all_],
        "ru": [(k, noun.forms[0]) for k, all_ in russian_words.NEAR.items() for noun in all_],
    }
    found = {}
    for language, pairs in words.items():
        asked = [random.Random(SEED + turn).choice(pairs) for turn in range(count)]
        pictures = paint(pipeline, [text for _, text in asked], list(range(count)), calls)
        hits = [shows(kind, p) for (kind, _), p in zip(asked, pictures, strict=True)]
        found[language] = percent(hits)
    return found


def shows(kind: str, picture: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    """Return whether a picture's largest thing has a kind's silhouette."""
    blobs = things_in(picture)
    kinds = OBJECTS if kind in OBJECTS else SHAPES
    largest = max(blobs, key=lambda blob: int(blob.silhouette.sum()), default=None)
    return largest is not None and closest(largest.silhouette, "fair", kinds) == kind


def things_in(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> list[Blob]:
    """Find the things in a picture."""
    return blobs_of(picture, *background_of(picture))


def guidance(pipeline: StableDiffusionXLPipeline, calls: Calls, count: int) -> dict[str, Any]:
    """Score the same pairs at several guidance scales."""
    dice = random.Random(SEED)
    scenes = [sample_scene(dice, "pair") for _ in range(count)]
    prompts = [LANGUAGES[list(LANGUAGES)[i % 3]](s, dice, True) for i, s in enumerate(scenes)]
    found: dict[str, Any] = {}
    for scale in (1.0, 2.5, 4.0, 7.0):
        pictures = paint(pipeline, prompts, list(range(count)), calls | {"guidance": scale})
        found[str(scale)] = both(scenes, pictures)
    return found


def negative_prompts(
    pipeline: StableDiffusionXLPipeline, calls: Calls, count: int
) -> dict[str, Any]:
    """Count what a negative prompt is to avoid, without and with it."""
    numbers = list(range(count))
    found: dict[str, Any] = {"n": count}
    for prompt, negative in (("a circle", "red"), ("a star", "blue"), ("круг", "красный круг")):
        colour = "blue" if negative == "blue" else "red"
        pair = [paint(pipeline, [prompt] * count, numbers, calls, n) for n in (None, negative)]
        found[f"{prompt} / {negative}"] = [
            sum(any(b.colour == colour for b in things_in(p)) for p in pictures)
            for pictures in pair
        ]
    for prompt, negative, name in (("a house", "grass", "grass"), ("a moon", "night", "night")):
        pair = [paint(pipeline, [prompt] * count, numbers, calls, n) for n in (None, negative)]
        found[f"{prompt} / {negative}"] = [
            sum(background_of(p)[0] == name for p in pictures) for pictures in pair
        ]
    return found


def seeds(pipeline: StableDiffusionXLPipeline, calls: Calls, count: int) -> dict[str, Any]:
    """Measure how much seeds move and resize a thing, in pixels (standard deviations)."""
    found: dict[str, Any] = {"n": count}
    for prompt in ("a red circle", "una estrella azul", "кот", "a green heart on yellow"):
        pictures = paint(pipeline, [prompt] * count, list(range(count)), calls)
        blobs = [max(t, key=lambda b: b.extent) for t in map(things_in, pictures) if t]
        spreads = {
            "x": [64 * blob.x for blob in blobs],
            "y": [64 * blob.y for blob in blobs],
            "size": [64 * blob.extent for blob in blobs],
        }
        found[prompt] = {name: round(float(np.std(all_)), 1) for name, all_ in spreads.items()}
        found[prompt]["different"] = len({picture.tobytes() for picture in pictures})
    return found


def company(pipeline: StableDiffusionXLPipeline, calls: Calls) -> dict[str, Any]:
    """Compare a picture painted among neighbours, among copies of itself, and alone."""
    prompts = ["a red circle", "una estrella verde", "синий квадрат", "a blue heart on yellow"]
    mixed = paint(pipeline, prompts, [1, 2, 3, 4], calls)
    copies = paint(pipeline, [prompts[1]] * 4, [9, 2, 8, 7], calls)
    alone = paint(pipeline, [prompts[1]], [2], calls)
    return {
        "same_padded_batch_is_equal": bool((mixed[1] == copies[1]).all()),
        "alone_is_equal": bool((mixed[1] == alone[0]).all()),
        "alone_largest_difference": int(np.abs(mixed[1].astype(int) - alone[0]).max()),
    }


def odd_prompts(pipeline: StableDiffusionXLPipeline, calls: Calls) -> int:
    """Paint prompts outside the vocabulary; returns how many gave a picture."""
    prompts = ["", "🐱🐱🐱", "日本の猫", "cat " * 200, "\x00\x7f", "нарисуй щупальца", "ÀÉÎÕÜ ß"]
    return len(paint(pipeline, prompts, list(range(len(prompts))), calls))
