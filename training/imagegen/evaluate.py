"""Measure the shipped pipeline: python -m training.imagegen.evaluate --model models/tiny-sdxl.

Paints captions that people would type and lets checker.py judge them; ground truth and the score
of pictures held against another caption stand beside the result. Writes report.json into the model
folder, or wherever --out says, and prints it. --sets and --count make a quick look of it.
"""

import argparse
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from diffusers import StableDiffusionXLPipeline

from training.imagegen import english, spanish
from training.imagegen.captions import LANGUAGES
from training.imagegen.checker import judge
from training.imagegen.declension import NUMBERS
from training.imagegen.forms import near_words, spelt_both_ways
from training.imagegen.painting import Pictures, load, paint
from training.imagegen.probes import probe
from training.imagegen.scenes import HELD_OUT, Scene, draw, sample_scene

SEED = 515151
Score = dict[str, float]


@dataclass(frozen=True)
class Question:
    """A set of captions: of which kinds of scene, how many a language, and which of them."""

    kinds: tuple[str, ...]
    count: int
    wants: Callable[[Scene], object] = lambda _: True

    def scenes(self, count: int, seed: int) -> list[Scene]:
        """Sample scenes; the colour is said, or is an object's usual one."""
        dice = random.Random(seed)
        found: list[Scene] = []
        while len(found) < count:
            scene = sample_scene(dice, dice.choice(self.kinds))
            if (scene.says_colour or scene.kind == "object") and self.wants(scene):
                found.append(scene)
        return found


def is_held_out(scene: Scene) -> bool:
    """Whether the caption asks for a thing in a held-out colour."""
    return scene.says_colour and scene.is_held_out


def is_kin(scene: Scene) -> bool:
    """Whether it asks for the same things in colours that were not held out."""
    kinds = {kind for kind, _ in HELD_OUT}
    return scene.says_colour and not scene.is_held_out and scene.items[0].kind in kinds


SETS = {
    "single": Question(("single",), 150),
    "pair": Question(("pair",), 150),
    "relation": Question(("pair",), 120, lambda scene: scene.relation != "beside"),
    "position": Question(("single",), 120, lambda scene: scene.position),
    "size": Question(("single",), 60, lambda scene: scene.size),
    "count": Question(("count",), 150),
    "object": Question(("object",), 150),
    "mixed": Question(("mixed",), 120),
    "background": Question(("single", "object", "scenery"), 150, lambda s: s.says_background),
    "held_out": Question(("single", "object"), 60, is_held_out),
    "kin": Question(("single", "object"), 60, is_kin),
}


def score(scenes: list[Scene], pictures: Pictures) -> Score:
    """Return the share of pictures (percent) right in each respect that the caption states."""
    right: dict[str, list[bool]] = defaultdict(list)
    for scene, picture in zip(scenes, pictures, strict=True):
        for name, is_right in judge(scene, picture).items():
            if name != "background" or scene.says_background:
                right[name].append(bool(is_right))
    return {name: round(100 * sum(hits) / len(hits), 1) for name, hits in right.items()}


def measure(
    pipeline: StableDiffusionXLPipeline, defaults: dict[str, Any], sets: list[str], count: int
) -> dict[str, Any]:
    """Score every set of captions in every language."""
    found: dict[str, Any] = {}
    for name in sets:
        found[name] = {}
        for turn, (language, say) in enumerate(LANGUAGES.items()):
            seed = SEED + 10 * list(SETS).index(name) + turn
            scenes = SETS[name].scenes(count or SETS[name].count, seed)
            dice = random.Random(seed)
            prompts = [plain_caption(scene, say, dice) for scene in scenes]
            seeds = [seed * 1000 + number for number in range(len(prompts))]
            pictures = paint(pipeline, prompts, seeds, defaults)
            swapped = score(scenes[:50], [*pictures[1:50], pictures[0]])
            found[name][language] = {"n": len(scenes)} | score(scenes, pictures)
            found[name][language]["wrong_prompt_strict"] = swapped["strict"]
            found[name][language]["wrong_prompt_fair"] = swapped["fair"]
            print(name, language, found[name][language], flush=True)
    return found


def plain_caption(
    scene: Scene, say: Callable[[Scene, random.Random, bool], str], dice: random.Random
) -> str:
    """Say a scene in words for what is drawn, with the number of equal things, so it has one answer.

    Words that are only near to a thing are asked in probes.py.
    """
    while True:
        caption = say(scene, dice, dice.random() < 0.7)
        words = set(re.findall(r"\w+", caption))
        is_counted = scene.relation or len(scene.items) < 2 or words & number_words()
        if is_counted and not words & near():
            return caption


@cache
def near() -> frozenset[str]:
    """Return the words that are only near to what is drawn."""
    return frozenset(near_words())


@cache
def number_words() -> frozenset[str]:
    """Return every way to write two, three and four."""
    tables = (*english.NUMBERS.values(), *spanish.NUMBERS.values(), *NUMBERS.values())
    return frozenset(spelt_both_ways({word for table in tables for word in table} | {"две"}))


def ground_truth(sets: list[str], count: int) -> dict[str, Score]:
    """Score drawn pictures, which bounds what the checker can report."""
    found = {}
    for place, name in enumerate(sets):
        scenes = SETS[name].scenes(count or SETS[name].count, SEED + 1000 + place)
        found[name] = score(scenes, [draw(scene) for scene in scenes])
    return found


def recorded(data: Path | None) -> dict[str, Any]:
    """Return what the stages of the training wrote down about themselves."""
    found = {}
    for stage in ("vae", "vae_decoder", "train", "hard", "held_out"):
        if data and (data / f"{stage}.json").exists():
            found[stage] = json.loads((data / f"{stage}.json").read_text())
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure everything and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="training folder, whose numbers join the report")
    parser.add_argument("--out", type=Path, help="the report, else MODEL/report.json")
    parser.add_argument("--sets", nargs="+", choices=SETS, help="only these, without probes")
    parser.add_argument("--count", type=int, default=0, help="captions per set and language")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args(arguments)
    defaults = json.loads((args.model / "defaults.json").read_text())
    calls = {name: defaults[name] for name in ("width", "height", "steps", "guidance")}
    if args.tiny:
        calls["steps"], args.count = 2, 1
    pipeline, sets = load(args.model), args.sets or list(SETS)
    report: dict[str, Any] = {"defaults": calls} | recorded(args.data)
    report["ground_truth"] = ground_truth(sets, args.count)
    report["scores"] = measure(pipeline, calls, sets, args.count)
    if not args.sets:
        report |= probe(pipeline, calls, tiny=args.tiny)
    text = json.dumps(report, indent=2, ensure_ascii=False)
    (args.out or args.model / "report.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
