"""The whole recipe of the tiny SDXL, a few steps of each stage, and what its parts promise."""

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import CLIPTokenizer

from training.imagegen import evaluate, export, prepare, train, vae
from training.imagegen.backgrounds import SCENERIES
from training.imagegen.captions import LANGUAGES, caption
from training.imagegen.checker import judge
from training.imagegen.declension import decline, feminine
from training.imagegen.networks import TINY, Denoiser
from training.imagegen.objects import OBJECTS
from training.imagegen.russian_words import NOUNS
from training.imagegen.scenes import HELD_OUT, KIND_SHARES, Item, Scene, draw, sample_scene
from training.imagegen.shapes import SHAPES
from training.imagegen.start import start_from
from training.imagegen.vocabulary import build_tokenizer, known_words, served_words


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of a few steps, with its training data beside it."""
    folder = tmp_path_factory.mktemp("recipe")
    data, model = folder / "data", folder / "model"
    for stage, options in (
        (vae, ["--out", data]),
        (vae, ["--out", data, "--refine"]),
        (prepare, ["--out", data, "--hold-out"]),
        (train, ["--data", data, "--until", "2"]),
        (prepare, ["--out", data]),
        (train, ["--data", data]),
        (export, ["--data", data, "--out", model]),
    ):
        stage.main([*map(str, options), "--tiny"])
    return model


# numpy 2 and torch disagree about a keyword inside diffusers' schedulers.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_tiny_run_of_every_stage_ends_in_a_pipeline_and_a_report(trained: Path) -> None:
    evaluate.main(["--model", str(trained), "--data", str(trained.parent / "data"), "--tiny"])
    report = json.loads((trained / "report.json").read_text())
    assert set(report["scores"]) == set(evaluate.SETS)
    assert set(report["scores"]["pair"]) == set(LANGUAGES)
    assert report["train"]["steps"] == 3
    assert report["odd_prompts_painted"] == 7


def test_the_pipeline_says_which_words_it_knows(trained: Path) -> None:
    defaults = json.loads((trained / "defaults.json").read_text())
    assert defaults["width"] == 64
    assert "simple shapes" in defaults["note"]
    words = defaults["vocabulary"]
    assert words == sorted(words)
    assert {"red", "rojo", "house", "casa"} <= set(words)
    assert all(word == word.lower() for word in words)


def test_words_for_what_is_only_near_are_not_served() -> None:
    assert not {"dog", "perro", "собака"} & set(served_words(3000))
    assert {"perro", "собака"} & set(known_words(3000))


def test_training_starts_from_an_earlier_version_by_the_spelling_of_tokens(trained: Path) -> None:
    tokenizer = build_tokenizer(40)
    model = Denoiser(tokenizer, TINY)
    earlier = CLIPTokenizer.from_pretrained(trained / "tokenizer")
    known = start_from(model, tokenizer, trained)
    assert 0 < known <= min(len(tokenizer), len(earlier))
    state = torch.load(trained.parent / "data" / "checkpoint.pt", weights_only=True)["average"]
    name = next(n for n in state if n.startswith("text_encoder.") and "token_embedding" in n)
    now = model.state_dict()[name][tokenizer.convert_tokens_to_ids("circle</w>")]
    before = state[name][earlier.convert_tokens_to_ids("circle</w>")]
    assert torch.allclose(now, before, atol=1e-3)


@pytest.mark.parametrize("kind", KIND_SHARES)
def test_both_checkers_accept_drawn_scenes_and_reject_others(kind: str) -> None:
    dice = random.Random(3)
    scenes = [sample_scene(dice, kind) for _ in range(40)]
    pictures = [draw(scene) for scene in scenes]
    for reading in ("strict", "fair"):
        right = [judge(s, p)[reading] for s, p in zip(scenes, pictures, strict=True)]
        swapped = [judge(s, p)[reading] for s, p in zip(scenes, pictures[1:], strict=False)]
        assert sum(right) >= 38
        assert sum(swapped) <= (9 if kind == "scenery" else 3)


@pytest.mark.parametrize("background", SCENERIES)
@pytest.mark.parametrize("kind", [*OBJECTS, "star"])
def test_everything_stands_out_from_every_scenery(kind: str, background: str) -> None:
    item = Item(kind, "orange", 0.5, 0.5, 0.52)
    scene = Scene("object" if kind in OBJECTS else "single", (item,), background)
    found = judge(scene, draw(scene))
    assert found["background"]
    assert found["strict"]
    assert found["fair"]


def test_there_are_ten_colours_of_eight_shapes_and_twelve_objects() -> None:
    assert len(SHAPES) == 8
    assert len(OBJECTS) == 12


def test_a_held_out_pair_is_never_prepared_but_all_its_words_are() -> None:
    dice = random.Random(5)
    scenes = prepare.sample_scenes(1500, dice, hold_out=True)
    pairs = {(item.kind, item.colour) for scene in scenes for item in scene.items}
    assert not pairs & HELD_OUT
    assert {kind for kind, _ in HELD_OUT} <= {kind for kind, _ in pairs}
    assert {colour for _, colour in HELD_OUT} <= {colour for _, colour in pairs}


def test_every_caption_word_is_one_token_and_any_prompt_fits() -> None:
    words, tokenizer = known_words(300), build_tokenizer(300)
    lengths = {word: len(tokenizer(word)["input_ids"]) for word in words}
    assert {word for word, length in lengths.items() if length != 3} == set()
    odd = tokenizer("🐱 日本 " * 40, truncation=True)["input_ids"]
    assert len(odd) == tokenizer.model_max_length == 32
    assert tokenizer.eos_token_id not in odd[:-1]


def test_russian_adjectives_agree_with_the_star_in_all_six_cases() -> None:
    star = NOUNS["star"][0]
    said = [f"{decline('красн', star.gender, case)} {star.forms[case]}" for case in range(6)]
    assert said == [
        *("красная звезда", "красную звезду", "красной звезды", "красной звездой"),
        *("красной звезде", "красной звезде"),
    ]
    assert decline("син", "f", 1) == "синюю"
    assert decline("маленьк", "m", 3) == "маленьким"
    assert decline("голуб", "m", 0) == "голубой"
    assert decline("рыж", "m", 1, animate=True) == "рыжего"
    assert feminine("лодк", "лодок").plurals[2:4] == ["лодок", "лодками"]


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
