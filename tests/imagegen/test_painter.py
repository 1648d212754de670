"""The SDXL painter: a picture depends on its own drawing and on nothing else."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from kit.models import LocalModel, ModelUnavailable
from services.imagegen.painters import sdxl
from services.imagegen.schemas import Drawing, Ingredient, Scheduler
from tests.imagegen import small_sdxl
from tests.imagegen.fakes import drawing

RED = drawing("a red circle", steps=3)
COMPANY = [
    drawing("a blue square", steps=3, seed=8, guidance=9.0),
    drawing("a boat", steps=3, seed=9, negative_prompt="blue", guidance=1.0),
    drawing("circle", steps=3, seed=10, count=3),
    drawing("square", steps=5, seed=11),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sdxl.save(tmp_path_factory.mktemp("sdxl"))


def load(folder: Path, batch_pictures: int = 4) -> sdxl.SdxlPainter:
    model = LocalModel("small", "1", folder)
    return sdxl.load(model, device="cpu", threads=1, batch_pictures=batch_pictures)


@pytest.fixture(scope="module")
def painter(folder: Path) -> sdxl.SdxlPainter:
    return load(folder)


def wanted(_step: int, _steps: int) -> Collection[int]:
    return ()


def paint(painter: sdxl.SdxlPainter, *drawings: Drawing) -> list[list[bytes]]:
    painted = painter.paint(drawings, {}, wanted)
    return [[picture.tobytes() for picture in pictures] for pictures in painted]


def test_it_paints_what_diffusers_own_pipeline_paints(folder: Path) -> None:
    prompts, seeds = ["a red circle", "a blue square"], [1, 2]
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        prompts,
        negative_prompt=["blue", "blue"],
        num_inference_steps=3,
        guidance_scale=4.0,
        height=64,
        width=64,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
    ).images
    ours = load(folder, batch_pictures=2).paint(
        [
            drawing(prompt, seed=seed, steps=3, negative_prompt="blue")
            for prompt, seed in zip(prompts, seeds, strict=True)
        ],
        {},
        wanted,
    )
    for expected, [picture] in zip(theirs, ours, strict=True):
        difference = np.asarray(picture, int) - np.asarray(expected, int)
        assert np.abs(difference).max() <= 1  # they encode the texts as one batch


def test_company_does_not_change_a_picture(painter: sdxl.SdxlPainter) -> None:
    [alone] = paint(painter, RED)
    for company in (COMPANY, COMPANY[::-1], [RED], [COMPANY[2], COMPANY[1]]):
        assert paint(painter, RED, *company)[0] == alone
        assert paint(painter, *company, RED)[-1] == alone


def test_every_drawing_keeps_its_own_pictures(painter: sdxl.SdxlPainter) -> None:
    together = paint(painter, *COMPANY)
    assert together == [paint(painter, each)[0] for each in COMPANY]
    assert len({picture for pictures in together for picture in pictures}) == 6


def test_a_count_is_as_many_single_pictures(painter: sdxl.SdxlPainter) -> None:
    [eight] = paint(painter, drawing(steps=2, seed=3, count=8))
    singles = [paint(painter, drawing(steps=2, seed=3 + n))[0][0] for n in range(8)]
    assert eight == singles


def test_a_cancelled_drawing_leaves_the_others_as_they_are(painter: sdxl.SdxlPainter) -> None:
    expected = paint(painter, RED, COMPANY[0])
    painted = painter.paint([RED, COMPANY[0]], {}, lambda step, _: [0] if step == 2 else [])
    assert painted[0] == []
    assert [picture.tobytes() for picture in painted[1]] == expected[1]


def test_nothing_is_painted_on_when_nobody_wants_it(painter: sdxl.SdxlPainter) -> None:
    steps = []

    def on_step(step: int, total: int) -> list[int]:
        steps.append((step, total))
        return [0] if step == 2 else []

    assert painter.paint([drawing(steps=50)], {}, on_step) == [[]]
    assert steps == [(1, 50), (2, 50)]


@pytest.mark.parametrize("scheduler", list(Scheduler))
def test_every_scheduler_paints(painter: sdxl.SdxlPainter, scheduler: Scheduler) -> None:
    [[picture]] = painter.paint([drawing(steps=4, scheduler=scheduler)], {}, wanted)
    assert np.asarray(picture).std() > 1


def test_guidance_and_negative_prompt_act(painter: sdxl.SdxlPainter) -> None:
    variants = [RED, drawing("a red circle", steps=3, guidance=9.0)]
    variants.append(drawing("a red circle", steps=3, negative_prompt="boat"))
    assert len({pictures[0] for pictures in paint(painter, *variants)}) == 3


def blend(strength: float, *ingredients: Ingredient) -> Drawing:
    return drawing("", steps=10, ingredients=ingredients, strength=strength)


def test_a_blend_of_one_picture_keeps_it(painter: sdxl.SdxlPainter) -> None:
    sources = {"red": Image.new("RGB", (64, 64), "red"), "blue": Image.new("RGB", (64, 64), "blue")}
    red, blue = (Ingredient(weight=1, picture=name) for name in ("red", "blue"))

    def latents(*ingredients: Ingredient) -> torch.Tensor:
        mixed = painter._mixed_pictures(blend(0.5, *ingredients), sources)
        assert mixed is not None
        return mixed

    middle = (latents(red) + latents(blue)) / 2
    assert torch.allclose(latents(red, blue), middle, atol=1e-5)
    heavy = red.model_copy(update={"weight": 3.0})
    assert torch.allclose(latents(heavy, blue), (latents(red) + middle) / 2, atol=1e-5)


def test_blends_depend_on_their_own_sources_only(painter: sdxl.SdxlPainter) -> None:
    sources = {"red": Image.new("RGB", (64, 64), "red"), "blue": Image.new("RGB", (80, 48), "blue")}
    drawings = [
        blend(0.5, Ingredient(weight=1, picture="red"), Ingredient(weight=1, text="a boat")),
        blend(0.5, Ingredient(weight=1, picture="blue")),
        blend(1.0, Ingredient(weight=1, text="a boat"), Ingredient(weight=2, text="red square")),
    ]
    together = painter.paint(drawings, sources, wanted)
    for each, [picture] in zip(drawings, together, strict=True):
        [[alone]] = painter.paint([each], sources, wanted)
        assert alone.tobytes() == picture.tobytes()


def test_a_small_model_enlarges_what_it_paints(tmp_path: Path) -> None:
    painter = load(small_sdxl.save(tmp_path, {"upscale": "lanczos"}))
    assert painter.card.painted_side == 64
    assert (painter.card.width, painter.card.height) == (512, 512)
    [[native], [wide], [tall]] = painter.paint(
        [
            drawing(width=width, height=height, steps=2)
            for width, height in ((64, 64), (256, 128), (128, 256))
        ],
        {},
        wanted,
    )
    assert wide.size == (256, 128)
    assert tall.size == (128, 256)
    centre = wide.crop((64, 0, 192, 128)).resize((64, 64), Image.Resampling.BOX)
    difference = np.asarray(centre, int) - np.asarray(native, int)
    assert np.abs(difference).mean() < 16


def test_a_folder_without_a_pipeline_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="holds no SDXL"):
        load(tmp_path)
