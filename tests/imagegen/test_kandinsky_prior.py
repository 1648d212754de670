"""Kandinsky's prior: a drawing's words and pictures become two embeddings, whatever their order."""

import inspect
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest
import torch
from diffusers import KandinskyV22PriorPipeline
from PIL import Image

from services.imagegen.painters.kandinsky import prior as prior_module
from services.imagegen.painters.kandinsky.prior import GUIDANCE, STEPS, Phrase, Prior
from services.imagegen.values import Drawing, Ingredient
from tests.imagegen import small_kandinsky
from tests.imagegen.fakes import drawing

RED, BOAT = Ingredient(weight=0.5, text="red"), Ingredient(weight=0.25, text="a boat")
PHOTO = Ingredient(weight=0.25, picture="photo")
SOURCES = {"photo": Image.linear_gradient("L").convert("RGB")}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = small_kandinsky.save(tmp_path_factory.mktemp("kandinsky"))
    pipeline = KandinskyV22PriorPipeline.from_pretrained(folder.parent / "small-prior")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def prior(pipeline: Any) -> Prior:
    return Prior(pipeline)


@pytest.fixture
def passes(pipeline: Any) -> Iterator[list[int]]:
    """Return how many rows each pass through the prior or the image encoder had."""
    rows: list[int] = []

    def count(_module: Any, given: tuple[torch.Tensor], *_: Any) -> None:
        rows.append(len(given[0]))

    hooks = [
        part.register_forward_pre_hook(count) for part in (pipeline.prior, pipeline.image_encoder)
    ]
    yield rows
    for hook in hooks:
        hook.remove()


def blend(*parts: Ingredient, **changes: Any) -> Drawing:
    return drawing("", ingredients=parts, **changes)


def mixed(prior: Prior, wanted: Drawing, seed: int = 7) -> torch.Tensor:
    return prior.embeddings(wanted, seed, SOURCES)[1]


def test_words_are_imagined_as_diffusers_own_pipeline_does(pipeline: Any) -> None:
    theirs, nothing = pipeline(
        "a red circle", generator=Phrase("a red circle", "", 7).noise
    ).to_tuple()
    free, guided = Prior(pipeline).embeddings(drawing("a red circle"), 7, {})
    assert torch.allclose(guided, theirs, atol=1e-5)
    assert torch.allclose(free, nothing, atol=1e-5)


def test_a_negative_prompt_is_imagined_as_diffusers_own_pipeline_does(pipeline: Any) -> None:
    noises = [Phrase(text, "boat", 7).noise for text in ("a red circle", "boat")]
    theirs = pipeline("a red circle", negative_prompt="boat", generator=noises).to_tuple()
    ours = Prior(pipeline).embeddings(drawing("a red circle", negative_prompt="boat"), 7, {})
    for unlike_or_like, expected in zip(reversed(ours), theirs, strict=True):
        assert torch.allclose(unlike_or_like, expected, atol=1e-5)


def test_a_text_and_a_picture_are_mixed_as_diffusers_own_pipeline_does(pipeline: Any) -> None:
    theirs = pipeline.interpolate(
        ["red", SOURCES["photo"]], [0.75, 0.25], generator=Phrase("red", "", 7).noise
    ).image_embeds
    ours = mixed(Prior(pipeline), blend(Ingredient(weight=0.75, text="red"), PHOTO))
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_the_pipelines_defaults_are_ours(pipeline: Any) -> None:
    defaults = inspect.signature(pipeline.__call__).parameters
    assert defaults["num_inference_steps"].default == STEPS
    assert defaults["guidance_scale"].default == GUIDANCE


def test_a_texts_share_does_not_depend_on_its_place_or_its_company(prior: Prior) -> None:
    expected = mixed(prior, blend(RED, BOAT, PHOTO))
    for parts in permutations((RED, BOAT, PHOTO)):
        assert torch.allclose(mixed(prior, blend(*parts)), expected, atol=1e-5)
    whole = Ingredient(weight=1.0, text="a boat")
    alone, photo = mixed(prior, blend(whole)), Ingredient(weight=1.0, picture="photo")
    rest = mixed(prior, blend(Ingredient(weight=1.0, text="red")))
    sum_of_parts = 0.5 * rest + 0.25 * alone + 0.25 * mixed(prior, blend(photo))
    assert torch.allclose(sum_of_parts, expected, atol=1e-5)


def test_one_text_is_a_prompt(prior: Prior) -> None:
    prompt = mixed(prior, drawing("a boat"))
    assert torch.equal(mixed(prior, blend(Ingredient(weight=1.0, text="a boat"))), prompt)
    assert not torch.allclose(mixed(prior, drawing("a boat"), seed=8), prompt, atol=1e-4)


def test_all_texts_of_a_picture_are_imagined_in_one_batch(prior: Prior, passes: list[int]) -> None:
    mixed(prior, blend(RED, BOAT, negative_prompt="blue"))
    assert passes == [2 * 3] * STEPS  # each with and without guidance


def test_pictures_alone_need_no_diffusion_and_are_looked_at_once(
    prior: Prior, passes: list[int]
) -> None:
    other = Image.new("RGB", (64, 48), "red")
    sources = {"here": SOURCES["photo"], "elsewhere": SOURCES["photo"].copy(), "other": other}
    for name in ("here", "elsewhere", "other", "here"):
        prior.embeddings(blend(Ingredient(weight=1.0, picture=name)), 7, sources)
    assert passes == [1, 1, 1]  # the photo, nothing at all, the other


def test_only_the_latest_pictures_are_remembered(
    prior: Prior, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior_module, "PICTURES_KEPT", 2)
    sources = {name: Image.new("RGB", (32, 32), name) for name in ("red", "blue", "green")}

    def look_at(name: str) -> int:
        before = len(passes)
        prior.embeddings(blend(Ingredient(weight=1.0, picture=name)), 7, sources)
        return len(passes) - before

    look_at("red")
    assert [look_at(name) for name in ("blue", "red", "green", "red", "blue")] == [1, 0, 1, 0, 1]


def test_without_an_image_encoder_words_are_led_away_from_an_empty_text(pipeline: Any) -> None:
    parts = dict(pipeline.components, image_encoder=None)
    blind = Prior(KandinskyV22PriorPipeline(**parts))
    assert not blind.sees_pictures
    free, guided = blind.embeddings(drawing("a boat"), 7, {})
    noises = [Phrase(text, "", 7).noise for text in ("a boat", "")]
    theirs = pipeline("a boat", negative_prompt="", generator=noises).to_tuple()
    assert torch.allclose(guided, theirs[0], atol=1e-5)
    assert torch.allclose(free, theirs[1], atol=1e-5)
