"""Composed objects, each of a few polygons with a silhouette of its own."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from PIL import ImageDraw

from training.imagegen.shapes import COLOURS, Colour, Point, moved, ring, spiked

BROWN: Colour = (95, 60, 30)


@dataclass(frozen=True)
class Brush:
    """Draws in units of an object's radius; `lost` are colours that vanish in the background."""

    pen: ImageDraw.ImageDraw
    centre: Point
    radius: float
    colour: str
    lost: frozenset[str]

    @property
    def own(self) -> Colour:
        """The object's colour."""
        return COLOURS[self.colour]

    def polygon(self, points: list[Point], fill: Colour) -> None:
        """Fill a polygon."""
        self.pen.polygon(moved(points, self.centre, self.radius), fill=fill)

    def box(self, x: float, y: float, half: Point, fill: Colour) -> None:
        """Fill a rectangle around (x, y)."""
        self.pen.rectangle(self.corners(x, y, half), fill=fill)

    def disc(self, x: float, y: float, half: Point, fill: Colour) -> None:
        """Fill an ellipse around (x, y)."""
        self.pen.ellipse(self.corners(x, y, half), fill=fill)

    def corners(self, x: float, y: float, half: Point) -> list[Point]:
        """Return the two corners of a box."""
        return moved(
            [(x - half[0], y - half[1]), (x + half[0], y + half[1])], self.centre, self.radius
        )

    def inside(self, *wishes: str) -> Colour:
        """Return the first wish that stands out from the object."""
        return COLOURS[next(name for name in wishes if name != self.colour)]

    def outside(self, *wishes: str) -> Colour:
        """Return the first wish that stands out from the object and from the background."""
        return COLOURS[
            next(
                n for n in (*wishes, "gray", "blue", "yellow") if n not in self.lost | {self.colour}
            )
        ]


def house(brush: Brush) -> None:
    """Draw coloured walls, a roof, a door and a window."""
    brush.box(0, 0.38, (0.82, 0.62), brush.own)
    roof = brush.outside("red", "orange", "purple", "gray")
    brush.polygon([(0, -1), (1.05, -0.24), (-1.05, -0.24)], roof)
    brush.box(-0.35, 0.66, (0.2, 0.34), BROWN)
    brush.box(0.34, 0.35, (0.24, 0.22), brush.inside("white", "yellow"))


def tree(brush: Brush) -> None:
    """Draw a trunk under a coloured crown."""
    brush.box(0, 0.65, (0.17, 0.42), BROWN)
    for x, y, size in ((-0.42, -0.1, 0.47), (0.42, -0.1, 0.47), (0, -0.55, 0.5)):
        brush.disc(x, y, (size, size), brush.own)


def flower(brush: Brush) -> None:
    """Draw a stem, a leaf, five coloured petals and a heart of another colour."""
    stem = brush.outside("green", "black", "white")
    brush.box(0, 0.6, (0.09, 0.48), stem)
    brush.disc(0.3, 0.72, (0.26, 0.14), stem)
    for x, y in ring(5, 0.46):
        brush.disc(x, y - 0.3, (0.36, 0.36), brush.own)
    brush.disc(0, -0.3, (0.25, 0.25), brush.inside("yellow", "white"))


def face(brush: Brush) -> None:
    """Draw a round smiling face."""
    ink = brush.inside("black", "white")
    brush.disc(0, 0, (1, 1), brush.own)
    for x in (-0.38, 0.38):
        brush.disc(x, -0.25, (0.18, 0.18), ink)
    (left, top), (right, bottom) = brush.corners(0, 0.12, (0.58, 0.52))
    width = max(1, round(brush.radius * 0.18))
    brush.pen.arc([left, top, right, bottom], 15, 165, fill=ink, width=width)


def sun(brush: Brush) -> None:
    """Draw a disc with eight rays."""
    brush.polygon(spiked(8, 1.12, 0.62), brush.own)
    brush.disc(0, 0, (0.7, 0.7), brush.own)


def moon(brush: Brush) -> None:
    """Draw a crescent: a disc without another disc of radius 0.85, half a unit to the right."""
    outer, inner = math.atan2(0.8495, 0.5275), math.atan2(0.8495, 0.0275)
    points = [arc_point(0.0, 1.0, outer, part / 24) for part in range(25)]
    points += [arc_point(0.5, 0.85, inner, 1 - part / 24) for part in range(25)]
    brush.polygon([(x + 0.2, y) for x, y in points], brush.own)


def arc_point(x: float, radius: float, first: float, share: float) -> Point:
    """Return a point of an arc around (x, 0) that runs through the left from angle `first`."""
    angle = first + share * (2 * math.pi - 2 * first)
    return (x + radius * math.cos(angle), radius * math.sin(angle))


def boat(brush: Brush) -> None:
    """Draw a coloured hull, a mast and two sails."""
    sail = brush.outside("white", "yellow", "red")
    brush.polygon([(0.08, -1), (0.85, 0.22), (0.08, 0.22)], sail)
    brush.polygon([(-0.08, -0.65), (-0.08, 0.22), (-0.62, 0.22)], sail)
    brush.box(0, -0.3, (0.06, 0.72), BROWN)
    brush.polygon([(-1.05, 0.3), (1.05, 0.3), (0.65, 0.92), (-0.65, 0.92)], brush.own)


def car(brush: Brush) -> None:
    """Draw a coloured body, two windows and two wheels."""
    brush.polygon([(-0.5, -0.6), (0.4, -0.6), (0.72, 0), (-0.75, 0)], brush.own)
    brush.box(0, 0.22, (1.08, 0.3), brush.own)
    glass = brush.inside("white", "gray")
    brush.polygon([(-0.4, -0.45), (-0.06, -0.45), (-0.06, -0.05), (-0.55, -0.05)], glass)
    brush.polygon([(0.08, -0.45), (0.33, -0.45), (0.53, -0.05), (0.08, -0.05)], glass)
    wheel = brush.outside("black", "gray", "white")
    for x in (-0.55, 0.55):
        brush.disc(x, 0.54, (0.32, 0.32), wheel)


def cat(brush: Brush) -> None:
    """Draw a head with two ears, eyes, a nose and whiskers."""
    ink = brush.inside("black", "white")
    for side in (-1, 1):
        brush.polygon([(side * 0.85, -1.05), (side * 0.9, 0.15), (side * 0.12, -0.55)], brush.own)
    brush.disc(0, 0.2, (0.95, 0.8), brush.own)
    for side in (-1, 1):
        brush.disc(side * 0.36, 0.02, (0.16, 0.19), ink)
        brush.box(side * 0.56, 0.52, (0.24, 0.045), ink)
    brush.polygon([(-0.16, 0.34), (0.16, 0.34), (0, 0.54)], brush.inside("pink", "black"))


def robot(brush: Brush) -> None:
    """Draw a square head with an aerial, a body, arms and legs."""
    brush.box(0, -0.95, (0.07, 0.15), brush.own)
    brush.box(0, -0.48, (0.56, 0.4), brush.own)
    brush.box(0, 0.38, (0.62, 0.5), brush.own)
    for side in (-1, 1):
        brush.box(side * 0.78, 0.3, (0.17, 0.36), brush.own)
        brush.box(side * 0.33, 0.95, (0.2, 0.16), brush.own)
        brush.disc(side * 0.24, -0.55, (0.15, 0.15), brush.inside("yellow", "black"))
    brush.box(0, -0.22, (0.28, 0.07), brush.inside("black", "white"))
    brush.box(0, 0.4, (0.26, 0.2), brush.inside("red", "white"))


def mountain(brush: Brush) -> None:
    """Draw two peaks with snow on them."""
    brush.polygon(
        [(-1.15, 0.85), (-0.3, -0.95), (0.22, -0.05), (0.5, -0.45), (1.15, 0.85)], brush.own
    )
    snow = brush.inside("white", "gray")
    brush.polygon([(-0.3, -0.78), (-0.58, -0.15), (-0.3, -0.3), (-0.02, -0.15)], snow)
    brush.polygon([(0.5, -0.3), (0.34, 0.0), (0.66, 0.0)], snow)


def fish(brush: Brush) -> None:
    """Draw a body, a tail and an eye; it swims to the left."""
    brush.polygon([(0.3, 0), (1.1, -0.6), (0.95, 0), (1.1, 0.6)], brush.own)
    brush.disc(-0.25, 0, (0.85, 0.56), brush.own)
    brush.disc(-0.66, -0.12, (0.14, 0.14), brush.inside("black", "white"))


DRAWERS: dict[str, Callable[[Brush], None]] = {
    "house": house,
    "tree": tree,
    "flower": flower,
    "face": face,
    "sun": sun,
    "moon": moon,
    "boat": boat,
    "car": car,
    "cat": cat,
    "robot": robot,
    "mountain": mountain,
    "fish": fish,
}
OBJECTS = tuple(DRAWERS)
# What an object is like when the caption does not say.
USUAL_COLOURS = {
    "house": "orange",
    "tree": "green",
    "flower": "pink",
    "face": "yellow",
    "sun": "yellow",
    "moon": "yellow",
    "boat": "red",
    "car": "red",
    "cat": "orange",
    "robot": "gray",
    "mountain": "gray",
    "fish": "orange",
}
USUAL_BACKGROUNDS = {
    "house": "grass",
    "tree": "grass",
    "flower": "grass",
    "sun": "day",
    "moon": "night",
    "boat": "sea",
    "cat": "grass",
    "mountain": "day",
    "fish": "sea",
}
IN_THE_SKY = {"sun", "moon"}
