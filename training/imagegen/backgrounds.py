"""Backgrounds: one of the plain colours, or a scenery of one or two flat bands with a few marks."""

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from training.imagegen.shapes import COLOURS, SIDE, Colour, Point, moved

HORIZON_JITTER = 0.03
DOT, DOT_JITTER = 0.026, 0.03  # radius and wandering of a star or snowflake
DAY_SKY: Colour = (150, 205, 250)
NIGHT_SKY: Colour = (16, 22, 70)
WINTER_SKY: Colour = (175, 195, 220)


@dataclass(frozen=True)
class Scenery:
    """A sky, the ground below a horizon (a fraction of the side), and marks in the sky."""

    sky: Colour
    ground: Colour | None = None
    horizon: float = 1.0
    marks: str = ""
    # Palette colours that vanish in it.
    lost: frozenset[str] = frozenset()


DARK = frozenset({"black"})
SCENERIES: dict[str, Scenery] = {
    "day": Scenery(DAY_SKY, marks="clouds", lost=frozenset({"white"})),
    "night": Scenery(NIGHT_SKY, marks="stars", lost=DARK),
    "sea": Scenery(DAY_SKY, (0, 140, 175), 0.58),
    "grass": Scenery(DAY_SKY, (120, 200, 80), 0.64),
    "snow": Scenery(WINTER_SKY, (246, 248, 252), 0.62, "flakes", frozenset({"white"})),
    "night sea": Scenery(NIGHT_SKY, (10, 75, 120), 0.58, "stars", DARK),
    "night grass": Scenery(NIGHT_SKY, (20, 82, 60), 0.64, "stars", DARK),
    "night snow": Scenery(NIGHT_SKY, (200, 210, 235), 0.62, "stars", DARK | {"white"}),
}
BACKGROUNDS = (*COLOURS, *SCENERIES)
DOTS: tuple[Point, ...] = ((0.1, 0.12), (0.3, 0.08), (0.52, 0.13), (0.72, 0.07), (0.9, 0.15))
LOWER_DOTS: tuple[Point, ...] = ((0.12, 0.36), (0.9, 0.4))
CLOUDS: tuple[Point, ...] = ((0.18, 0.14), (0.82, 0.19))
CLOUD_PUFFS = ((-1.0, 0.2, 0.6), (0.0, -0.15, 0.85), (1.0, 0.2, 0.6))
CLOUD = 0.075


def lost_in(background: str) -> frozenset[str]:
    """Return the palette colours that vanish in a background."""
    return SCENERIES[background].lost if background in SCENERIES else frozenset({background})


def paint(
    pen: ImageDraw.ImageDraw,
    background: str,
    side: int,
    look: int,
    taken: list[tuple[Point, float]],
) -> None:
    """Fill the picture; `look` seeds the small differences, `taken` are discs free of dots."""
    scenery = SCENERIES.get(background)
    if scenery is None:
        pen.rectangle((0, 0, side, side), fill=COLOURS[background])
        return
    dice = random.Random(look)
    horizon = scenery.horizon + dice.uniform(-HORIZON_JITTER, HORIZON_JITTER)
    pen.rectangle((0, 0, side, side), fill=scenery.sky)
    if scenery.ground:
        pen.rectangle((0, round(horizon * side), side, side), fill=scenery.ground)
    if scenery.marks == "clouds":
        for centre in CLOUDS:
            cloud(pen, wandered(centre, dice), side)
    elif scenery.marks:
        colour = (255, 246, 205) if scenery.marks == "stars" else (252, 252, 255)
        for place in (*DOTS, *LOWER_DOTS):
            dot(pen, wandered(place, dice), side, colour, taken)


def wandered(place: Point, dice: random.Random) -> Point:
    """Move a mark a little."""
    return (
        place[0] + dice.uniform(-DOT_JITTER, DOT_JITTER),
        place[1] + dice.uniform(-DOT_JITTER, DOT_JITTER),
    )


def dot(
    pen: ImageDraw.ImageDraw,
    place: Point,
    side: int,
    colour: Colour,
    taken: list[tuple[Point, float]],
) -> None:
    """Draw a star or a snowflake where nothing else is."""
    x, y = place
    if all((x - a) ** 2 + (y - b) ** 2 > (radius + 2 * DOT) ** 2 for (a, b), radius in taken):
        pen.ellipse(moved([(x - DOT, y - DOT), (x + DOT, y + DOT)], (0, 0), side), fill=colour)


def cloud(pen: ImageDraw.ImageDraw, place: Point, side: int) -> None:
    """Draw a white cloud of three puffs."""
    for x, y, size in CLOUD_PUFFS:
        a, b, half = place[0] + x * CLOUD, place[1] + y * CLOUD, size * CLOUD
        corners = moved([(a - half, b - half), (a + half, b + half)], (0, 0), side)
        pen.ellipse(corners, fill=COLOURS["white"])


def flat(background: str, horizon: int) -> NDArray[np.float64]:
    """Return a background without marks, (64, 64, 3), its ground from row `horizon` on."""
    scenery = SCENERIES.get(background, Scenery(COLOURS.get(background, (0, 0, 0))))
    picture = np.empty((SIDE, SIDE, 3))
    picture[:] = scenery.sky
    if scenery.ground:
        picture[horizon:] = scenery.ground
    return picture


def may_be_cloud(background: str) -> NDArray[np.bool_]:
    """Return the pixels (64, 64) where white is a cloud."""
    zone = np.zeros((SIDE, SIDE), dtype=bool)
    if background == "day":
        for x, y in CLOUDS:
            left, right = round((x - 0.2) * SIDE), round((x + 0.2) * SIDE)
            zone[: round((y + 0.14) * SIDE), max(left, 0) : right] = True
    return zone
