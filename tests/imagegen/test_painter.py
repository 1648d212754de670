"""The SDXL painter; what all painters promise is in test_easel.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline
from PIL import Image

from kit.models import ModelUnavailable
from services.imagegen import pictures
from services.imagegen.painters import DeviceLost, OutOfMemory, Painter, paint_all
from services.imagegen.painters.easel import Easel
from services.imagegen.painters.sdxl.model import Sdxl, SdxlRow
from services.imagegen.painters.sdxl.samplers import SAMPLERS
from services.imagegen.values import Drawing, Ingredient, Scheduler
from tests.imagegen import small_sdxl
from tests.imagegen.fakes import bytes_of, drawing, perform

RED = drawing("a red circle", steps=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sdxl.save(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def painter(folder: Path) -> Easel[SdxlRow]:
    return small_sdxl.load(folder)


def model_of(painter: Easel[SdxlRow]) -> Sdxl:
    assert isinstance(painter.model, Sdxl)
    return painter.model


@pytest.mark.parametrize("scheduler", list(Scheduler))
def test_every_scheduler_paints(painter: Painter, scheduler: Scheduler) -> None:
    [painted] = paint_all(painter, [drawing(steps=4, scheduler=scheduler)])
    assert np.asarray(painted.pictures[0]).std() > 1


def test_guidance_and_negative_prompt_act(painter: Painter) -> None:
    variants = [RED, drawing("a red circle", steps=3, guidance=9.0)]
    variants.append(drawing("a red circle", steps=3, negative_prompt="boat"))
    assert len({bytes_of(painted)[0] for painted in paint_all(painter, variants)}) == 3


def blend(strength: float, *ingredients: Ingredient) -> Drawing:
    return drawing("", steps=10, ingredients=ingredients, strength=strength)


def test_a_blend_of_one_picture_keeps_it(painter: Easel[SdxlRow]) -> None:
    model = model_of(painter)
    sources = {"red": Image.new("RGB", (64, 64), "red"), "blue": Image.new("RGB", (64, 64), "blue")}
    red, blue = (Ingredient(weight=1, picture=name) for name in ("red", "blue"))

    def latents(*ingredients: Ingredient) -> torch.Tensor:
        same = torch.Generator().manual_seed(0)
        mixed = model._mixed_pictures(blend(0.5, *ingredients), sources, same)
        assert mixed is not None
        return mixed

    middle = (latents(red) + latents(blue)) / 2
    assert torch.allclose(latents(red, blue), middle, atol=1e-5)
    heavy = red.model_copy(update={"weight": 3.0})
    assert torch.allclose(latents(heavy, blue), (latents(red) + middle) / 2, atol=1e-5)


def test_blends_depend_on_their_own_sources_only(painter: Painter) -> None:
    sources = {"red": Image.new("RGB", (64, 64), "red"), "blue": Image.new("RGB", (80, 48), "blue")}
    drawings = [
        blend(0.5, Ingredient(weight=1, picture="red"), Ingredient(weight=1, text="a boat")),
        blend(0.5, Ingredient(weight=1, picture="blue")),
        blend(1.0, Ingredient(weight=1, text="a boat"), Ingredient(weight=2, text="red square")),
    ]
    together = paint_all(painter, drawings, sources)
    for each, painted in zip(drawings, together, strict=True):
        assert bytes_of(painted) == bytes_of(paint_all(painter, [each], sources)[0])


@pytest.mark.parametrize(
    ("scheduler", "strength"), [(None, 0.2), (None, 1.0), *((each, 0.7) for each in Scheduler)]
)
@torch.inference_mode()
def test_a_drawing_from_a_picture_is_what_diffusers_own_pipeline_makes_of_it(
    painter: Easel[SdxlRow], folder: Path, scheduler: Scheduler | None, strength: float
) -> None:
    start = Image.effect_noise((64, 64), 90).convert("RGB")
    wish = drawing(
        "a boat",
        ingredients=(Ingredient(weight=1, picture="start"),),
        strength=strength,
        scheduler=scheduler,
        steps=5,
        negative_prompt="blue",
    )
    row = painter.model.prepare(wish, 5, {"start": start})
    while row.steps_left:
        row.advance(next(iter(painter.model.predict([row]))))
    theirs = StableDiffusionXLImg2ImgPipeline.from_pretrained(folder)
    theirs.set_progress_bar_config(disable=True)
    if scheduler:
        kind, changes = SAMPLERS[scheduler]
        theirs.scheduler = kind.from_config(theirs.scheduler.config, **changes)
    expected = theirs(
        "a boat",
        negative_prompt="blue",
        image=start,
        strength=strength,
        num_inference_steps=5,
        guidance_scale=wish.guidance,
        generator=torch.Generator().manual_seed(5),
        output_type="latent",
    ).images
    assert torch.allclose(row.latents, expected, atol=1e-4, rtol=1e-4)


def test_a_small_model_enlarges_what_it_paints(tmp_path: Path) -> None:
    painter = small_sdxl.load(small_sdxl.save(tmp_path, {"upscale": "lanczos"}))
    assert painter.card.painted_side == 64
    assert (painter.card.width, painter.card.height) == (512, 512)
    sizes = ((64, 64), (256, 128), (128, 256))
    drawings = [drawing(width=width, height=height, steps=2) for width, height in sizes]
    native, wide, tall = (
        pictures.fitted(painted.pictures[0], wish)
        for painted, wish in zip(paint_all(painter, drawings), drawings, strict=True)
    )
    assert wide.size == (256, 128)
    assert tall.size == (128, 256)
    centre = wide.crop((64, 0, 192, 128)).resize((64, 64), Image.Resampling.BOX)
    difference = np.asarray(centre, int) - np.asarray(native, int)
    assert np.abs(difference).mean() < 16


class Scarce:
    """Stands before a part of the model and raises torch's own error while it asks too much."""

    def __init__(self, part: Callable[..., Any], asks_too_much: Callable[..., bool]) -> None:
        self.part = part
        self.asks_too_much = asks_too_much

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.asks_too_much(*args):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.part(*args, **kwargs)


def test_a_pass_that_does_not_fit_halves_the_bucket(
    painter: Easel[SdxlRow], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    easel = Easel(painter.model, 4)
    unet = model_of(painter).pipeline.unet
    monkeypatch.setattr(unet, "forward", Scarce(unet.forward, lambda rows, *_: len(rows) > 4))
    with pytest.raises(OutOfMemory):
        paint_all(easel, [RED])
    [painted] = paint_all(easel, [RED])
    assert painted.how == {"bucket": 2, "tiled": False}
    monkeypatch.undo()
    assert bytes_of(painted) == bytes_of(paint_all(small_sdxl.load(folder, 2), [RED])[0])


def test_a_picture_that_cannot_be_decoded_as_a_whole_is_decoded_in_tiles(
    painter: Easel[SdxlRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    easel = Easel(painter.model, 2)
    [whole] = paint_all(easel, [RED])
    decoder = model_of(painter).pipeline.vae.decoder
    scarce = Scarce(decoder.forward, lambda latents, *_: latents.shape[-1] > 8)
    monkeypatch.setattr(decoder, "forward", scarce)
    [tiled] = paint_all(easel, [RED])
    assert tiled.how == {"bucket": 2, "tiled": True}
    assert easel.card.limits == {"tiled_from_pixels": 64 * 64}
    difference = np.asarray(whole.pictures[0], int) - np.asarray(tiled.pictures[0], int)
    assert 0 < np.abs(difference).mean() < 16


def test_a_picture_that_never_fits_fails_with_the_reason(
    painter: Easel[SdxlRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = model_of(painter).pipeline.vae.decoder
    monkeypatch.setattr(decoder, "forward", Scarce(decoder.forward, lambda *_: True))
    ends = perform(Easel(painter.model, 2), [RED])
    assert isinstance(ends.failed[0], OutOfMemory)


def test_a_fault_of_the_device_is_told_apart(
    painter: Easel[SdxlRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: Any, **__: Any) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(model_of(painter).pipeline.unet, "forward", fault)
    with pytest.raises(DeviceLost):
        paint_all(painter, [RED])


def test_a_folder_without_a_pipeline_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="holds no StableDiffusionXL"):
        small_sdxl.load(tmp_path)
