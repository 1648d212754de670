"""How wishes become drawings, and drawings become files."""

import base64
import io
import zlib
from typing import Any

import pytest
from PIL import Image

from kit.errors import Unprocessable
from services.imagegen import drawings, pictures
from services.imagegen.schemas import BlendRequest, Drawing, DrawRequest
from tests.imagegen.fakes import CARD, drawing


def drawn(**wishes: Any) -> Drawing:
    return drawings.from_words(DrawRequest(prompt="a boat", **wishes), CARD, 2.5)


def blended(*sources: dict[str, Any], **wishes: Any) -> Drawing:
    request = BlendRequest(sources=list(sources), **wishes)
    places = [f"place{n}" for n, source in enumerate(sources) if "text" not in source]
    return drawings.from_sources(request, places, CARD, 2.5)


def test_what_is_left_out_comes_from_the_models_card() -> None:
    card = CARD.model_copy(update={"negative_prompt": "blurry"})
    plain = drawings.from_words(DrawRequest(prompt="a boat"), card, 2.5)
    assert (plain.steps, plain.guidance, plain.width, plain.height) == (4, 4.0, 64, 64)
    assert plain.negative_prompt == "blurry"
    request = DrawRequest(prompt="a boat", negative_prompt="", guidance=0)
    chosen = drawings.from_words(request, card, 2.5)
    assert (chosen.negative_prompt, chosen.guidance) == ("", 0)


def test_a_seed_is_drawn_when_none_is_given() -> None:
    assert drawn().seed != drawn().seed
    assert drawn(seed=2**32 - 1, count=2).seeds == [2**32 - 1, 0]


def test_words_alone_start_from_noise() -> None:
    blend = blended({"text": "a boat"}, {"text": "a star", "weight": 3})
    assert (blend.strength, blend.first_step) == (1.0, 0)


def test_the_more_words_weigh_the_further_a_blend_leaves_its_pictures() -> None:
    pure = blended({"picture": "p"}, {"picture": "q"})
    some = blended({"picture": "p"}, {"text": "a boat"})
    more = blended({"picture": "p"}, {"text": "a boat", "weight": 9})
    assert [pure.strength, some.strength, more.strength] == pytest.approx([0.4, 0.65, 0.85])
    assert blended({"picture": "p"}, strength=0.1).strength == 0.1


def test_a_blend_costs_only_the_steps_that_it_takes() -> None:
    whole = drawing(steps=10)
    half = whole.model_copy(update={"strength": 0.5})
    assert CARD.pixel_steps(half) * 2 == CARD.pixel_steps(whole)
    assert CARD.batch_key(half) != CARD.batch_key(whole)


def test_a_model_of_one_size_costs_the_same_at_any_size() -> None:
    card = CARD.model_copy(update={"painted_side": 64})
    large = drawing(width=1024, height=512)
    assert card.pixel_steps(large) == card.pixel_steps(drawing())
    assert card.batch_key(large) == card.batch_key(drawing())


def test_a_picture_tells_how_it_was_made() -> None:
    made = drawing("красный круг", negative_prompt="azul", seed=9)
    png = pictures.encode(Image.new("RGB", (64, 64)), made, 9, CARD)
    text = Image.open(io.BytesIO(png)).text  # type: ignore[attr-defined]
    assert text["parameters"] == (
        "красный круг\nNegative prompt: azul\n"
        "Steps: 4, Sampler: model default, CFG scale: 4.0, Seed: 9, Size: 64x64, "
        "Model: plain, Model hash: 1"
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_common_formats_are_read_and_reduced(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("L", (2000, 100), 200).save(buffer, kind)
    read = Image.open(io.BytesIO(pictures.normalise(buffer.getvalue())))
    assert (read.format, read.mode, read.size) == ("PNG", "RGB", (1024, 51))


@pytest.mark.parametrize("size", [(5000, 4000), (100_000, 2000), (60_000, 60_000)])
def test_a_picture_bomb_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("1", (1, 1)).save(buffer, "PNG")
    bomb = bytearray(buffer.getvalue())
    bomb[16:24] = size[0].to_bytes(4) + size[1].to_bytes(4)
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4)
    with pytest.raises(Unprocessable):
        pictures.normalise(bytes(bomb))


def test_base64_comes_plain_or_as_a_data_url() -> None:
    plain = base64.b64encode(b"abc").decode()
    assert pictures.from_base64(plain) == b"abc"
    assert pictures.from_base64(f"data:image/png;base64,{plain}") == b"abc"


FEW_WORDS = CARD.model_copy(
    update={
        "vocabulary": ("red", "circle", "above", "rojo", "círculo", "красный", "круг"),
        "note": "It paints shapes.",
    }
)


def warned(prompt: str) -> tuple[str, ...]:
    return drawings.warnings(drawing(prompt), FEW_WORDS)


@pytest.mark.parametrize(
    "prompt",
    [
        "a red circle",
        "Red CIRCLE, above 3 red circle!",
        "un círculo rojo",
        "красный круг и 2 слова",  # half of the words that count
        "red-circle",
    ],
)
def test_a_prompt_whose_words_the_model_knows_warns_of_nothing(prompt: str) -> None:
    assert warned(prompt) == ()


@pytest.mark.parametrize(
    ("prompt", "known"),
    [
        ("a knight in armour", "none"),
        ("рыцарь в доспехах", "none"),
        ("7 × 8", "none"),
        ("a red dragon over mountains", "1 of 4"),
    ],
)
def test_a_prompt_of_unknown_words_warns(prompt: str, known: str) -> None:
    text = f"This model knows {known} of the words in this prompt. It paints shapes."
    assert warned(prompt) == (text,)


def test_pictures_alone_and_models_without_such_a_list_warn_of_nothing() -> None:
    assert warned("") == ()
    assert drawings.warnings(drawing("a knight"), CARD) == ()
