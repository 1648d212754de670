"""What a PNG says of its making is read by picture tools, and makes the same PNG again."""

import io
import json
import re
from typing import Any

import pytest
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from pydantic import ValidationError

from services.imagegen import drawings, parameters, pictures
from services.imagegen.painters import paint_all
from services.imagegen.painters.easel import Easel
from services.imagegen.painters.sdxl.model import SdxlRow
from services.imagegen.schemas import BlendRequest, DrawRequest
from services.imagegen.values import Drawing, Ingredient, Lora, Scheduler
from tests.imagegen import small_lora, small_sdxl
from tests.imagegen.fakes import CARD, drawing

SETTING = re.compile(r'(\w[\w ]*): ("[^"]*"|[^,]*)(?:, |$)')


def written(drawing: Drawing, **card: Any) -> tuple[list[str], dict[str, str]]:
    """Return the lines of words, and the settings of the last line."""
    *words, last = parameters.for_tools(drawing, 9, CARD.model_copy(update=card)).split("\n")
    return words, dict(SETTING.findall(last))


def test_tools_find_the_words_and_the_settings_where_they_look_for_them():
    made = drawing("красный круг", negative_prompt="azul", guidance=7.0, seed=9)
    assert written(made) == (
        ["красный круг", "Negative prompt: azul"],
        {
            "Steps": "4",
            "Sampler": "model default",
            "CFG scale": "7",
            "Seed": "9",
            "Size": "64x64",
            "Model hash": "1",
            "Model": "plain",
            "Version": "switchboard",
        },
    )


def test_samplers_have_the_names_that_tools_know():
    names = {written(drawing(scheduler=each))[1]["Sampler"] for each in Scheduler}
    assert names == {
        "Euler a",
        "Euler",
        "DPM++ 2M",
        "DPM++ 2M Karras",
        "DPM++ 2M SDE",
        "DPM++ 2M SDE Karras",
        "DDIM",
    }


def test_a_start_a_vae_and_loras_are_told_too():
    start = Ingredient(weight=1, picture="p")
    loras = (Lora(name="ink", weight=0.8), Lora(name="oil", weight=1))
    made = drawing("a boat", ingredients=(start,), strength=0.6, loras=loras)
    words, settings = written(made, vae="vae-fix@1", loras={"ink": "01ab", "oil": "23cd"})
    assert words == ["a boat <lora:ink:0.8> <lora:oil:1>"]
    assert settings["Denoising strength"] == "0.6"
    assert settings["VAE"] == "vae-fix@1"
    assert settings["Lora hashes"] == '"ink: 01ab, oil: 23cd"'


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Easel[SdxlRow]:
    folder = small_sdxl.save(
        tmp_path_factory.mktemp("sdxl"),
        {"quality_tags": "boat", "negative_prompt": "blue", "scheduler": "dpmpp_2m_karras"},
    )
    loras = tmp_path_factory.mktemp("loras")
    small_lora.save(StableDiffusionXLPipeline.from_pretrained(folder), loras / "ink.safetensors")
    return small_sdxl.load(folder, lora_dir=str(loras))


def png(painter: Easel[SdxlRow], wish: Drawing) -> bytes:
    [painted] = paint_all(painter, [wish])
    return pictures.encode(painted.pictures[-1], wish, wish.seeds[-1], painter.card, painted.how)


def request_in(png: bytes) -> Any:
    text = Image.open(io.BytesIO(png)).text  # type: ignore[attr-defined]
    return json.loads(text["switchboard"])["request"]


@pytest.mark.parametrize(
    "wishes",
    [
        {"count": 2},
        {"seed": 5, "negative_prompt": "", "scheduler": "ddim", "guidance": 2.5, "steps": 2},
        {"seed": 6, "width": 128, "quality_tags": "", "loras": [{"name": "ink", "weight": 0.3}]},
    ],
)
def test_a_pictures_own_request_makes_the_same_file(
    painter: Easel[SdxlRow], wishes: dict[str, Any]
):
    def made(body: dict[str, Any]) -> bytes:
        request = DrawRequest.model_validate(body)
        return png(painter, drawings.from_words(request, painter.card, 2.5))

    first = made({"prompt": "a (red:1.3) circle", **wishes})
    repeated = request_in(first)
    assert repeated["path"] == "/v1/images"
    assert made(repeated["body"]) == first


def test_a_blend_of_words_can_be_repeated_too(painter: Easel[SdxlRow]):
    def made(body: dict[str, Any]) -> bytes:
        request = BlendRequest.model_validate(body)
        return png(painter, drawings.from_sources(request, [], painter.card, 2.5))

    sources = [{"text": "a boat", "weight": 2}, {"text": "a red circle"}]
    first = made({"sources": sources, "prompt": "blue", "seed": 3})
    repeated = request_in(first)
    assert repeated["path"] == "/v1/blends"
    assert made(repeated["body"]) == first


def test_who_repeats_it_without_its_pictures_is_told():
    start = Ingredient(weight=1, picture="p")
    drawn = parameters.to_repeat(drawing("a boat", ingredients=(start,), strength=0.6), 1)
    with pytest.raises(ValidationError, match="strength needs an init_image"):
        DrawRequest.model_validate(drawn["body"])
    both = (start, Ingredient(weight=2, text="a boat"))
    blended = parameters.to_repeat(drawing("a boat", ingredients=both, strength=0.6), 1)
    with pytest.raises(ValidationError, match="exactly one of"):
        BlendRequest.model_validate(blended["body"])
