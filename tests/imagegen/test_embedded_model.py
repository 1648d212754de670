"""The embedded model, loaded as the worker loads it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kit.models import resolve
from services.imagegen.painters import Painter, paint_all, sdxl
from services.imagegen.schemas import Drawing
from tests.imagegen.fakes import bytes_of, drawing

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def painter() -> Painter:
    model = resolve("embedded:tiny-sdxl", Path(".models"))
    return sdxl.load(model, device="cpu", threads=1, batch_pictures=4)


def wish(prompt: str, seed: int = 3) -> Drawing:
    return drawing(prompt, steps=12, seed=seed)


def middle(picture: Image.Image) -> list[int]:
    """Return the mean colour of the middle."""
    box = np.asarray(picture.crop((24, 24, 40, 40)), float)
    return [round(channel) for channel in box.mean(axis=(0, 1))]


def test_a_red_circle_is_red_in_every_language(painter: Painter) -> None:
    prompts = ("a red circle", "un círculo rojo", "красный круг")
    all_painted = paint_all(painter, [wish(prompt) for prompt in prompts])
    for prompt, painted in zip(prompts, all_painted, strict=True):
        red, green, blue = middle(painted.pictures[0])
        assert red > 150 > max(green, blue), prompt


def test_company_does_not_change_its_pictures_either(painter: Painter) -> None:
    wishes = [wish(prompt, 5) for prompt in ("a red circle", "дом", "tres estrellas amarillas")]
    for each, painted in zip(wishes, paint_all(painter, wishes), strict=True):
        assert bytes_of(painted) == bytes_of(paint_all(painter, [each])[0])
