"""The embedded model, loaded as the worker loads it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kit.models import resolve
from services.imagegen.painters import Painter, device, paint_all, sdxl
from services.imagegen.painters.easel import Easel
from services.imagegen.painters.sdxl.model import SdxlRow
from services.imagegen.values import Drawing, Scheduler
from tests.imagegen.fakes import bytes_of, drawing, perform

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def painter() -> Easel[SdxlRow]:
    model = resolve("embedded:tiny-sdxl", Path(".models"))
    files = sdxl.gather(model, Path(".models"))
    return sdxl.load(files, wanted=device.Wanted("cpu"), threads=1, batch_pictures=4)


def wish(prompt: str, seed: int = 3) -> Drawing:
    return drawing(prompt, steps=12, seed=seed)


def mean(picture: Image.Image, box: tuple[int, int, int, int]) -> list[int]:
    """Return the mean colour of a box."""
    return [round(c) for c in np.asarray(picture.crop(box), float).mean(axis=(0, 1))]


def middle(picture: Image.Image) -> list[int]:
    """Return the mean colour of the middle."""
    return mean(picture, (24, 24, 40, 40))


def test_a_red_circle_is_red_in_every_language(painter: Painter) -> None:
    prompts = ("a red circle", "un círculo rojo", "красный круг")
    all_painted = paint_all(painter, [wish(prompt) for prompt in prompts])
    for prompt, painted in zip(prompts, all_painted, strict=True):
        red, green, blue = middle(painted.pictures[0])
        assert red > 150 > max(green, blue), prompt


def test_one_thing_stands_above_the_other(painter: Painter) -> None:
    [painted] = paint_all(painter, [wish("a red circle above a blue square")])
    [picture] = painted.pictures
    red, _, blue = mean(picture, (28, 12, 36, 20))
    assert red > 150 > blue
    red, _, blue = mean(picture, (28, 44, 36, 52))
    assert blue > 150 > red


def test_a_scenery_is_painted_behind(painter: Painter) -> None:
    prompts = ("a house on the grass", "un gato de noche", "нарисуй жёлтую звезду на синем фоне")
    painted = paint_all(painter, [wish(prompt) for prompt in prompts])
    day, night, blue = (each.pictures[0] for each in painted)
    red, green, _ = mean(day, (1, 58, 6, 63))
    assert green > red + 40
    assert max(mean(night, (30, 0, 34, 4))) < 110
    red, _, high = mean(blue, (1, 1, 6, 6))
    assert high > 150 > red


def test_it_says_what_it_knows() -> None:
    model = resolve("embedded:tiny-sdxl", Path(".models"))
    defaults = json.loads(model.file("defaults.json").read_text())
    words = set(defaults["vocabulary"])
    assert {"house", "casa", "домик", "синем", "night"} <= words
    assert not {"dog", "perro", "собака", "dragon"} & words
    assert "simple shapes" in defaults["note"]


def test_company_does_not_change_its_pictures_either(painter: Painter) -> None:
    ours = wish("a red circle", 5)
    first = [wish("дом", 6), drawing("tres estrellas", steps=5, seed=7, scheduler=Scheduler.DDIM)]
    late = [drawing("a blue square", steps=9, guidance=9.0, scheduler=Scheduler.DPMPP_2M), ours]
    ends = perform(painter, first, {3: late}, {4: [0], 7: [2]})
    assert list(ends.finished) == [1, 3]
    assert bytes_of(ends.finished[3]) == bytes_of(paint_all(painter, [ours])[0])


def test_the_last_of_200_words_changes_its_picture(painter: Painter) -> None:
    words = "a red circle above a blue square, " * 25
    one, other = (
        paint_all(painter, [drawing(f"{words} {last}", steps=3)])[0] for last in ("boat", "house")
    )
    assert bytes_of(one) != bytes_of(other)


def test_a_preview_is_nearer_to_the_picture_than_its_mean_colour(
    painter: Easel[SdxlRow],
) -> None:
    row = painter.model.prepare(wish("a red circle"), 3, {})
    while row.steps_left:
        row.advance(next(iter(painter.model.predict([row]))))
    picture = painter.model.decode(row, False).resize((16, 16), Image.Resampling.BOX)
    seen, shown = np.asarray(picture, float), np.asarray(painter.model.preview(row), float)
    flat = seen.mean(axis=(0, 1))
    assert np.abs(seen - shown).mean() < np.abs(seen - flat).mean()
