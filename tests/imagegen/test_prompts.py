"""Prompts longer than the text encoders' window, and words with emphasis."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from hypothesis import given
from hypothesis import strategies as st

from services.imagegen.painters import Painter, paint_all
from services.imagegen.painters.sdxl.texts import Texts
from services.imagegen.painters.sdxl.windows import emphasised, split, windows
from services.imagegen.values import Drawing, Ingredient
from tests.imagegen import small_sdxl
from tests.imagegen.fakes import bytes_of, drawing

ROOM = 14  # words in a window of the small model
COMMA = 7
SIZE = (64, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sdxl.save(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def painter(folder: Path) -> Painter:
    return small_sdxl.load(folder)


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    return StableDiffusionXLPipeline.from_pretrained(folder)


def words(number: int, last: str = "boat") -> str:
    return " ".join([*(["red", "blue", "square"] * number)[: number - 1], last])


def pixels(painter: Painter, *wishes: Drawing) -> list[list[bytes]]:
    return [bytes_of(painted) for painted in paint_all(painter, wishes)]


@torch.inference_mode()
def encoded(pipeline: Any, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what diffusers makes of a text that fits."""
    hidden, _, pooled, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False)
    return hidden, pooled


@torch.inference_mode()
def test_a_prompt_that_fits_is_encoded_as_diffusers_does_it(pipeline: Any) -> None:
    for text in ("", "a red circle", words(ROOM)):
        ours = Texts(pipeline).conditions(drawing(text, negative_prompt="blue"), SIZE)
        for number, expected in enumerate((encoded(pipeline, "blue"), encoded(pipeline, text))):
            assert torch.equal(ours.tokens[number : number + 1], expected[0])
            assert torch.equal(ours.pooled[number : number + 1], expected[1])


@torch.inference_mode()
def test_a_long_prompt_is_its_windows_one_after_the_other(pipeline: Any) -> None:
    first, second, third = words(ROOM), words(ROOM, "a"), words(3, "circle")
    long = drawing(f"{first} {second} {third}", negative_prompt="blue")
    ours = Texts(pipeline).conditions(long, SIZE)
    parts = [encoded(pipeline, text) for text in (first, second, third)]
    assert torch.equal(ours.tokens[1:], torch.cat([hidden for hidden, _ in parts], dim=1))
    assert torch.equal(ours.pooled[1:], parts[0][1])
    negative = [encoded(pipeline, text)[0] for text in ("blue", "", "")]
    assert torch.equal(ours.tokens[:1], torch.cat(negative, dim=1))


@torch.inference_mode()
def test_no_negative_prompt_is_zero_however_long_the_prompt(pipeline: Any) -> None:
    ours = Texts(pipeline).conditions(drawing(words(20)), SIZE)
    assert not ours.tokens[0].any()
    assert ours.tokens[1].any()


def test_the_last_of_200_words_changes_the_picture(painter: Painter) -> None:
    one, other = pixels(painter, drawing(words(200)), drawing(words(200, "circle")))
    assert one != other
    assert [one] == pixels(painter, drawing(words(200)))


def test_a_long_negative_prompt_counts_to_its_end(painter: Painter) -> None:
    wishes = [drawing("a boat", negative_prompt=words(40, last)) for last in ("a", "red")]
    one, other = pixels(painter, *wishes)
    assert one != other


def test_company_of_other_lengths_does_not_change_a_picture(painter: Painter) -> None:
    wishes = [drawing(words(number), seed=number, steps=3) for number in (3, 20, 200, 21, 4)]
    wishes.append(
        drawing(
            "",
            steps=3,
            ingredients=(
                Ingredient(weight=1, text=words(30)),
                Ingredient(weight=2, text="a boat"),
            ),
        )
    )
    assert pixels(painter, *wishes) == [pixels(painter, wish)[0] for wish in wishes]


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 20))
def test_windows_hold_every_word_once_and_in_order(ids: list[int], room: int) -> None:
    parts = list(split(ids, room, COMMA))
    assert [word for part in parts for word in part] == ids
    assert all(0 < len(part) <= room for part in parts[:-1])
    assert len(parts[-1]) <= room


def test_a_tag_near_the_end_of_a_window_moves_to_the_next() -> None:
    tags = [1, 1, 1, 1, 1, 1, 1, 1, COMMA, 2, 2, 2]
    assert list(split(tags, 10, COMMA)) == [tags[:9], tags[9:]]
    far = [1, COMMA, *[2] * 10]
    assert list(split(far, 10, COMMA)) == [far[:10], far[10:]]


def test_emphasis_is_written_with_a_number() -> None:
    assert list(emphasised("a (red circle:1.2), (boat) (:)")) == [
        ("a ", 1.0),
        ("red circle", 1.2),
        (", (boat) (:)", 1.0),
    ]
    assert list(emphasised(r"saber \(fate\), (saber \(fate\):.5)")) == [
        ("saber (fate), ", 1.0),
        ("saber (fate)", 0.5),
        ("", 1.0),
    ]
    assert [weight for _, weight in emphasised("(red:99999999999)")] == [1.0, 3.0, 1.0]


def test_emphasis_stays_with_its_words_across_windows(pipeline: Any) -> None:
    [one, two] = windows(pipeline.tokenizer, f"{words(ROOM - 1)} (red red:1.5) boat")
    assert list(one.emphasis) == [1.0] * ROOM + [1.5, 1.0]
    assert list(two.emphasis[:3]) == [1.0, 1.5, 1.0]
    assert len(two.ids) == len(two.emphasis) == ROOM + 2


@torch.inference_mode()
def test_emphasis_scales_its_words_only(pipeline: Any) -> None:
    texts = Texts(pipeline)
    plain = texts.conditions(drawing("a red circle"), SIZE).tokens[1]
    heavy = texts.conditions(drawing("a (red:1.5) circle"), SIZE).tokens[1]
    assert torch.allclose(heavy[2], plain[2] * 1.5)
    assert torch.equal(heavy[3:], plain[3:])
    assert torch.equal(heavy[:2], plain[:2])
