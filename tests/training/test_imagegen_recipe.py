"""The whole recipe of the tiny SDXL, a few steps of each stage, and what its parts promise."""

import json
import random
from pathlib import Path

import pytest

from training.imagegen import evaluate, export, prepare, train, vae
from training.imagegen.captions import LANGUAGES, caption
from training.imagegen.checker import judge
from training.imagegen.russian import NOUNS, decline
from training.imagegen.scenes import KIND_SHARES, Item, Scene, draw, sample_scene
from training.imagegen.vocabulary import build_tokenizer, known_words


# numpy 2 and torch disagree about a keyword inside diffusers' schedulers.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_tiny_run_of_every_stage_ends_in_a_pipeline_and_a_report(tmp_path: Path) -> None:
    data, model = tmp_path / "data", tmp_path / "model"
    for stage, options in (
        (vae, ["--out", data]),
        (vae, ["--out", data, "--refine"]),
        (prepare, ["--out", data]),
        (train, ["--data", data]),
        (export, ["--data", data, "--out", model]),
        (evaluate, ["--model", model, "--data", data]),
    ):
        stage.main([*map(str, options), "--tiny"])
    report = json.loads((model / "report.json").read_text())
    assert set(report["scores"]) == set(KIND_SHARES)
    assert report["odd_prompts_painted"] == 7
    assert json.loads((model / "defaults.json").read_text())["width"] == 64


@pytest.mark.parametrize("kind", KIND_SHARES)
def test_the_checker_accepts_drawn_scenes_and_rejects_others(kind: str) -> None:
    dice = random.Random(3)
    scenes = [sample_scene(dice, kind) for _ in range(60)]
    pictures = [draw(scene) for scene in scenes]
    right = [judge(s, p)["fair"] for s, p in zip(scenes, pictures, strict=True)]
    swapped = [judge(s, p)["fair"] for s, p in zip(scenes, pictures[1:], strict=False)]
    assert sum(right) >= 58
    assert sum(swapped) <= 6


def test_every_caption_word_is_one_token_and_any_prompt_fits() -> None:
    words, tokenizer = known_words(300), build_tokenizer(300)
    lengths = {word: len(tokenizer(word)["input_ids"]) for word in words}
    assert {word for word, length in lengths.items() if length != 3} == set()
    odd = tokenizer("🐱 日本 " * 40, truncation=True)["input_ids"]
    assert len(odd) == tokenizer.model_max_length == 32
    assert tokenizer.eos_token_id not in odd[:-1]


def test_russian_adjectives_agree_with_the_star() -> None:
    star = NOUNS["star"][0]
    said = [f"{decline('красн', star.gender, case)} {star.forms[case]}" for case in range(4)]
    assert said == ["красная звезда", "красную звезду", "красной звезды", "красной звездой"]
    assert decline("син", "f", 1) == "синюю"
    assert decline("маленьк", "m", 3) == "маленьким"
    assert decline("голуб", "m", 0) == "голубой"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_caption_says_the_stated_background(language: str) -> None:
    scene = Scene("single", (Item("circle", "red", 0.5, 0.5, 0.5),), "green")
    said = LANGUAGES[language](scene, random.Random(1), True)
    word = {"en": "green", "es": "verde", "ru": "зел"}[language]
    assert word in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_captions_are_repeatable_for_a_seed(language: str) -> None:
    def captions() -> list[str]:
        dice = random.Random(8)
        return [caption(sample_scene(dice), language, dice) for _ in range(50)]

    assert captions() == captions()
