"""How wishes become drawings, and drawings become files."""

import base64
import io
import zlib
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from kit.errors import Unprocessable
from services.imagegen import drawings, pictures
from services.imagegen.schemas import BlendRequest, DrawRequest
from services.imagegen.values import Blending, Card, Drawing, Lora, Scheduler
from tests.imagegen.fakes import CARD, drawing


def drawn(**wishes: Any) -> Drawing:
    return drawings.from_words(DrawRequest(prompt="a boat", **wishes), CARD, 2.5)


def blended(*sources: dict[str, Any], card: Card = CARD, **wishes: Any) -> Drawing:
    request = BlendRequest(sources=list(sources), **wishes)
    places = [source["picture"] for source in sources if "picture" in source]
    return drawings.from_sources(request, places, card, 2.5)


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


def test_the_order_of_sources_is_of_no_consequence() -> None:
    sources: list[dict[str, Any]] = [
        {"text": "a boat", "weight": 2},
        {"picture": "p"},
        {"text": "a star"},
        {"picture": "q", "weight": 0.5},
    ]
    expected = blended(*sources, seed=1)
    assert expected.prompt == "a boat; a star"
    for order in permutations(sources):
        assert blended(*order, seed=1) == expected


@given(
    proportions=st.lists(st.integers(1, 50), min_size=1, max_size=8),
    unit=st.sampled_from([0.001, 0.01, 0.1, 0.3, 0.7, 1.0, 1.9, 2.0]),
)
def test_only_the_proportions_of_weights_count(proportions: list[int], unit: float) -> None:
    def shares(weight_of_one: Decimal) -> list[float]:
        weights = [float(number * weight_of_one) for number in proportions]
        texts = [{"text": f"text {n}", "weight": weight} for n, weight in enumerate(weights)]
        return [part.weight for part in blended(*texts).ingredients]

    assert shares(Decimal(str(unit))) == shares(Decimal(1))
    assert sum(shares(Decimal(1))) == pytest.approx(1.0)


def test_a_source_given_twice_counts_twice() -> None:
    twice = blended({"text": "a boat"}, {"picture": "p"}, {"text": "a boat"}, seed=1)
    assert twice == blended({"text": "a boat", "weight": 2}, {"picture": "p"}, seed=1)


EMBEDDING = CARD.model_copy(update={"blending": Blending.EMBEDDINGS})


def test_a_model_that_mixes_embeddings_paints_a_blend_from_noise() -> None:
    blend = blended({"picture": "p"}, {"picture": "q"}, card=EMBEDDING)
    assert (blend.strength, blend.first_step) == (1.0, 0)


@pytest.mark.parametrize(
    ("card", "sources"),
    [(EMBEDDING, {"picture": "p"}), (CARD, {"text": "a boat"})],
)
def test_strength_is_refused_where_nothing_starts_from_a_picture(
    card: Card, sources: dict[str, Any]
) -> None:
    with pytest.raises(Unprocessable, match="strength"):
        blended(sources, card=card, strength=0.5)


def test_a_model_of_words_takes_no_pictures() -> None:
    card = CARD.model_copy(update={"blending": Blending.WORDS})
    assert blended({"text": "a boat"}, card=card).prompt == "a boat"
    with pytest.raises(Unprocessable, match="words only"):
        blended({"text": "a boat"}, {"picture": "p"}, card=card)


@pytest.mark.parametrize(
    ("known", "complaint"),
    [((Scheduler.EULER, Scheduler.DDIM), "can be euler, ddim for"), ((), "must be left out for")],
)
def test_a_sampler_that_the_model_does_not_know_is_refused(
    known: tuple[Scheduler, ...], complaint: str
) -> None:
    card = CARD.model_copy(update={"samplers": known})
    request = DrawRequest(prompt="a boat", scheduler=Scheduler.DPMPP_2M)
    with pytest.raises(Unprocessable, match=f"`scheduler` {complaint}"):
        drawings.from_words(request, card, 2.5)


def test_a_size_that_the_model_cannot_paint_is_refused() -> None:
    card = CARD.model_copy(update={"side_multiple": 64})
    drawings.from_words(DrawRequest(prompt="a boat", width=128, height=192), card, 2.5)
    with pytest.raises(Unprocessable, match="multiples of 64"):
        drawings.from_words(DrawRequest(prompt="a boat", width=128, height=72), card, 2.5)


def test_a_blend_costs_only_the_steps_that_it_takes() -> None:
    whole = drawing(steps=10)
    half = whole.model_copy(update={"strength": 0.5})
    assert CARD.pixel_steps(half) * 2 == CARD.pixel_steps(whole)


def test_drawings_of_one_size_may_share_a_batch() -> None:
    others = (drawing(steps=10), drawing(scheduler=Scheduler.DDIM), drawing(strength=0.5))
    assert {CARD.batch_key(each) for each in others} == {CARD.batch_key(drawing())}
    assert CARD.batch_key(drawing(width=128)) != CARD.batch_key(drawing())


def test_a_model_of_one_size_costs_the_same_at_any_size() -> None:
    card = CARD.model_copy(update={"painted_side": 64})
    large = drawing(width=1024, height=512)
    assert card.pixel_steps(large) == card.pixel_steps(drawing())
    assert card.batch_key(large) == card.batch_key(drawing())


ANIMAGINE = CARD.model_copy(
    update={
        "quality_tags": "masterpiece, best quality",
        "scheduler": Scheduler.EULER_ANCESTRAL,
        "loras": {"ink": "0123456789ab", "oil": "ba9876543210"},
    }
)


def with_tags(prompt: str, **wishes: Any) -> str:
    request = DrawRequest(prompt=prompt, **wishes)
    return drawings.from_words(request, ANIMAGINE, 2.5).prompt


def test_quality_tags_are_added_where_they_are_missing() -> None:
    assert with_tags("1girl, night") == "1girl, night, masterpiece, best quality"
    assert with_tags("Masterpiece, 1girl") == "Masterpiece, 1girl, best quality"
    assert with_tags(with_tags("1girl")) == with_tags("1girl")
    assert with_tags("1girl", quality_tags="great quality") == "1girl, great quality"
    assert with_tags("1girl", quality_tags="") == "1girl"


def test_the_models_sampler_is_named_unless_the_request_names_one() -> None:
    for wished, used in ((None, "euler_ancestral"), ("ddim", "ddim")):
        request = DrawRequest(prompt="a boat", scheduler=wished)
        assert drawings.from_words(request, ANIMAGINE, 2.5).scheduler == used


def test_loras_come_once_each_and_always_in_one_order() -> None:
    asked = [{"name": "oil"}, {"name": "ink", "weight": 0.5}, {"name": "oil", "weight": -0.5}]
    request = DrawRequest.model_validate({"prompt": "a boat", "loras": asked})
    made = drawings.from_words(request, ANIMAGINE, 2.5)
    assert [(lora.name, lora.weight) for lora in made.loras] == [("ink", 0.5), ("oil", 0.5)]


@pytest.mark.parametrize("name", ["pen", "../ink", "ink.safetensors", "/etc/passwd"])
def test_a_lora_that_the_model_does_not_have_is_refused(name: str) -> None:
    with pytest.raises((Unprocessable, ValidationError)):
        drawings.from_words(
            DrawRequest.model_validate({"prompt": "a boat", "loras": [{"name": name}]}),
            ANIMAGINE,
            2.5,
        )


def test_a_batch_shares_its_loras() -> None:
    plain, ink, more = (
        drawing(loras=loras)
        for loras in ((), (Lora(name="ink", weight=0.5),), (Lora(name="ink", weight=1.0),))
    )
    assert len({ANIMAGINE.batch_key(each) for each in (plain, ink, more)}) == 3


def test_prompts_of_about_one_length_share_a_batch() -> None:
    short, other, long = (CARD.batch_key(drawing(" red" * n)) for n in (3, 70, 90))
    assert short == other != long
    assert CARD.batch_key(drawing(negative_prompt=" red" * 90)) == long


@pytest.mark.parametrize("blending", [Blending.EMBEDDINGS, Blending.WORDS])
def test_a_model_that_does_not_start_from_pictures_says_so(blending: Blending) -> None:
    card = CARD.model_copy(update={"blending": blending})
    request = DrawRequest(prompt="a boat", init_image={"picture": "/v1/images/0/pictures/0"})
    with pytest.raises(Unprocessable, match="`init_image` is for models that start"):
        drawings.from_words(request, card, 2.5, "place")


def test_a_drawing_starts_from_a_picture_at_a_usual_distance() -> None:
    request = DrawRequest(prompt="a boat", init_image={"picture": "/v1/images/0/pictures/0"})
    made = drawings.from_words(request, CARD, 2.5, "place")
    assert (made.strength, made.first_step, made.is_blend) == (0.75, 1, False)
    assert [part.picture for part in made.ingredients] == ["place"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_common_formats_are_read_and_reduced(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("L", (4000, 200), 200).save(buffer, kind)
    read = Image.open(io.BytesIO(pictures.normalise(buffer.getvalue())))
    assert (read.format, read.mode, read.size) == ("PNG", "RGB", (2048, 102))


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


def test_a_prompt_that_names_nothing_to_paint_warns_however_many_words_are_known() -> None:
    card = FEW_WORDS.model_copy(
        update={
            "vocabulary": ("draw", "me", "please", *FEW_WORDS.vocabulary),
            "subjects": ("circle", "círculo", "круг"),
        }
    )
    text = "This model can paint nothing that this prompt names. It paints shapes."
    assert drawings.warnings(drawing("please draw me a dragon"), card) == (text,)
    assert drawings.warnings(drawing("please draw me a red circle"), card) == ()


def test_pictures_alone_and_models_without_such_a_list_warn_of_nothing() -> None:
    assert warned("") == ()
    assert drawings.warnings(drawing("a knight"), CARD) == ()
