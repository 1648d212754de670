"""Sample small scenes and draw them as 64x64 pictures; captions.py says them in words."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE = 64
OVERSAMPLING = 3

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 28, 36),
    "orange": (250, 130, 10),
    "yellow": (252, 218, 20),
    "green": (30, 155, 60),
    "blue": (35, 75, 220),
    "purple": (125, 45, 165),
    "pink": (252, 140, 190),
    "black": (14, 14, 14),
    "white": (250, 250, 250),
    "gray": (135, 135, 135),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond")
OBJECTS = ("house", "tree", "flower", "face")
POSITIONS = ("left", "right", "top", "bottom", "centre")
RELATIONS = ("above", "below", "left of", "right of", "beside")
# Colours that an object takes when the caption names none.
OBJECT_COLOURS = {"house": "orange", "tree": "green", "flower": "pink", "face": "yellow"}
KIND_SHARES = {"single": 0.52, "pair": 0.22, "count": 0.11, "object": 0.15}

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Item:
    """One thing in a picture; centre and diameter are fractions of the side."""

    kind: str
    colour: str
    x: float
    y: float
    diameter: float


@dataclass(frozen=True)
class Scene:
    """What a picture shows, and which of it the caption says (an empty string says nothing)."""

    kind: str
    items: tuple[Item, ...]
    background: str
    position: str = ""
    size: str = ""
    relation: str = ""
    says_colour: bool = True
    says_background: bool = True


def sample_scene(dice: random.Random, kind: str | None = None) -> Scene:
    """Draw one scene from the training mix, or one of the given kind."""
    kind = kind or dice.choices(list(KIND_SHARES), weights=list(KIND_SHARES.values()))[0]
    return SAMPLERS[kind](dice)


def sample_single(dice: random.Random) -> Scene:
    """Sample one shape; four in ten have a stated position, the rest sit near the centre."""
    position = dice.choice(POSITIONS) if dice.random() < 0.35 else ""
    size = dice.choice(("big", "small")) if not position and dice.random() < 0.2 else ""
    says_colour = dice.random() < 0.93
    colour = dice.choice(list(COLOURS))
    background, says_background = sample_background(dice, {colour})
    x, y = place(dice, position)
    item = Item(dice.choice(SHAPES), colour, x, y, sample_diameter(dice, position, size))
    return Scene("single", (item,), background, position, size, "", says_colour, says_background)


def sample_pair(dice: random.Random) -> Scene:
    """Sample two shapes side by side or one above the other; `beside` reads left to right."""
    relation = dice.choice((*RELATIONS, "beside"))  # "A and B" is what people type most
    first, second = dice.sample(SHAPES, 2) if dice.random() < 0.9 else [dice.choice(SHAPES)] * 2
    colours = [dice.choice(list(COLOURS)) for _ in range(2)]
    if first == second:
        colours = dice.sample(list(COLOURS), 2)
    background, says_background = sample_background(dice, set(colours))
    centres = RELATION_CENTRES[relation]
    items = [
        Item(kind, colour, jitter(dice, x, 0.025), jitter(dice, y, 0.025), dice.uniform(0.32, 0.42))
        for kind, colour, (x, y) in zip((first, second), colours, centres, strict=True)
    ]
    return Scene(
        "pair", tuple(items), background, relation=relation, says_background=says_background
    )


def sample_count(dice: random.Random) -> Scene:
    """Sample two or three equal shapes."""
    centres = COUNT_CENTRES[dice.choice((2, 3))]
    diameter = dice.uniform(0.32, 0.4) if len(centres) == 2 else dice.uniform(0.29, 0.32)
    kind, colour = dice.choice(SHAPES), dice.choice(list(COLOURS))
    background, says_background = sample_background(dice, {colour})
    items = tuple(
        Item(kind, colour, jitter(dice, x, 0.02), jitter(dice, y, 0.02), diameter)
        for x, y in centres
    )
    return Scene("count", items, background, says_background=says_background)


def sample_object(dice: random.Random) -> Scene:
    """Sample one composed object; an unnamed colour is the object's usual one."""
    kind = dice.choice(OBJECTS)
    says_colour = dice.random() < 0.6
    colour = dice.choice(list(COLOURS)) if says_colour else OBJECT_COLOURS[kind]
    background, says_background = sample_background(dice, {colour})
    x, y = place(dice, "")
    item = Item(kind, colour, x, y, dice.uniform(0.54, 0.68))
    return Scene(
        "object",
        (item,),
        background,
        says_colour=says_colour,
        says_background=says_background,
    )


SAMPLERS: dict[str, Callable[[random.Random], Scene]] = {
    "single": sample_single,
    "pair": sample_pair,
    "count": sample_count,
    "object": sample_object,
}
RELATION_CENTRES: dict[str, tuple[Point, Point]] = {
    "above": ((0.5, 0.27), (0.5, 0.74)),
    "below": ((0.5, 0.74), (0.5, 0.27)),
    "left of": ((0.27, 0.5), (0.73, 0.5)),
    "right of": ((0.73, 0.5), (0.27, 0.5)),
    "beside": ((0.27, 0.5), (0.73, 0.5)),
}
COUNT_CENTRES: dict[int, tuple[Point, ...]] = {
    2: ((0.27, 0.5), (0.73, 0.5)),
    3: ((0.5, 0.26), (0.25, 0.73), (0.75, 0.73)),
}
POSITION_CENTRES: dict[str, Point] = {
    "left": (0.29, 0.5),
    "right": (0.71, 0.5),
    "top": (0.5, 0.29),
    "bottom": (0.5, 0.71),
    "centre": (0.5, 0.5),
    "": (0.5, 0.5),
}


def place(dice: random.Random, position: str) -> Point:
    """Return a centre near the named position."""
    x, y = POSITION_CENTRES[position]
    return jitter(dice, x, 0.03), jitter(dice, y, 0.03)


def sample_diameter(dice: random.Random, position: str, size: str) -> float:
    """Return a diameter that fits the position and the size word."""
    if size:
        return dice.uniform(0.62, 0.72) if size == "big" else dice.uniform(0.3, 0.36)
    return dice.uniform(0.36, 0.46) if position else dice.uniform(0.44, 0.58)


def sample_background(dice: random.Random, taken: set[str]) -> tuple[str, bool]:
    """Return a background unlike the items, and whether it is said; unsaid is mostly white."""
    free = [colour for colour in COLOURS if colour not in taken]
    if dice.random() < 0.55:
        return dice.choice(free), True
    default = next(colour for colour in ("white", "black", "blue") if colour in free)
    return (default if dice.random() < 0.93 else dice.choice(free)), False


def jitter(dice: random.Random, value: float, by: float) -> float:
    """Move a value by up to `by` either way."""
    return value + dice.uniform(-by, by)


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Draw a scene as RGB bytes of shape (64, 64, 3), antialiased by oversampling."""
    side = SIDE * OVERSAMPLING
    picture = Image.new("RGB", (side, side), COLOURS[scene.background])
    pen = ImageDraw.Draw(picture)
    for item in scene.items:
        draw_item(pen, item, side, scene.background)
    return np.asarray(picture.reduce(OVERSAMPLING))


def draw_item(pen: ImageDraw.ImageDraw, item: Item, side: int, background: str) -> None:
    """Draw one shape or object in its place."""
    radius = item.diameter * side / 2
    centre = (item.x * side, item.y * side)
    if item.kind in OBJECTS:
        OBJECT_DRAWERS[item.kind](pen, centre, radius, item.colour, background)
    else:
        pen.polygon(moved(outline(item.kind), centre, radius), fill=COLOURS[item.colour])


def outline(kind: str) -> list[Point]:
    """Return the outline of a shape around the origin, about one unit in radius."""
    if kind == "circle":
        return ring(48, 1.0)
    if kind == "square":
        return [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]
    if kind == "triangle":
        return [(0.0, -1.0), (1.05, 0.85), (-1.05, 0.85)]
    if kind == "diamond":
        return [(0.0, -1.15), (0.85, 0.0), (0.0, 1.15), (-0.85, 0.0)]
    return star() if kind == "star" else heart()


def ring(corners: int, radius: float) -> list[Point]:
    """Return a regular polygon with its first corner on top."""
    turns = [2 * math.pi * i / corners for i in range(corners)]
    return [(radius * math.sin(a), -radius * math.cos(a)) for a in turns]


def star() -> list[Point]:
    """Return a five-pointed star."""
    outer, inner = ring(10, 1.18), ring(10, 0.5)
    return [(outer if i % 2 == 0 else inner)[i] for i in range(10)]


def heart() -> list[Point]:
    """Return a heart from the well-known 16 sin^3 curve."""
    turns = [2 * math.pi * i / 48 for i in range(48)]
    return [
        (
            1.05 * math.sin(a) ** 3,
            -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 15
            - 0.1,
        )
        for a in turns
    ]


def moved(points: list[Point], centre: Point, radius: float) -> list[Point]:
    """Scale points and move them to a centre."""
    return [(centre[0] + x * radius, centre[1] + y * radius) for x, y in points]


def box(centre: Point, radius: float, x: float, y: float, half: Point) -> list[Point]:
    """Return the two corners of a box at (x, y) in units of the radius."""
    return moved([(x - half[0], y - half[1]), (x + half[0], y + half[1])], centre, radius)


def detail(colour: str, background: str, wish: str) -> Colour:
    """Return the wished colour of a detail, or one that still stands out."""
    for name in (wish, "black", "white", "gray"):
        if name not in {colour, background}:
            return COLOURS[name]
    raise AssertionError("one of four colours is free")


def draw_house(
    pen: ImageDraw.ImageDraw, centre: Point, radius: float, colour: str, background: str
) -> None:
    """Draw coloured walls, a roof, a door and two windows."""
    roof = detail(colour, background, "gray" if "red" in {colour, background} else "red")
    opening = detail(colour, colour, "black")
    pen.rectangle(box(centre, radius, 0, 0.4, (0.8, 0.6)), fill=COLOURS[colour])
    pen.polygon(moved([(0, -1), (1.05, -0.15), (-1.05, -0.15)], centre, radius), fill=roof)
    pen.rectangle(box(centre, radius, 0, 0.66, (0.18, 0.34)), fill=opening)
    for x in (-0.5, 0.5):
        pen.rectangle(box(centre, radius, x, 0.3, (0.16, 0.16)), fill=opening)


def draw_tree(
    pen: ImageDraw.ImageDraw, centre: Point, radius: float, colour: str, background: str
) -> None:
    """Draw a trunk under a round coloured crown."""
    trunk = (110, 70, 35) if background != "black" else (150, 100, 60)
    pen.rectangle(box(centre, radius, 0, 0.65, (0.15, 0.4)), fill=trunk)
    pen.ellipse(box(centre, radius, 0, -0.3, (0.75, 0.75)), fill=COLOURS[colour])


def draw_flower(
    pen: ImageDraw.ImageDraw, centre: Point, radius: float, colour: str, background: str
) -> None:
    """Draw a stem, five coloured petals and a heart of another colour."""
    stem = detail(colour, background, "green")
    pen.rectangle(box(centre, radius, 0, 0.6, (0.08, 0.45)), fill=stem)
    for x, y in ring(5, 0.46):
        pen.ellipse(box(centre, radius, x, y - 0.3, (0.34, 0.34)), fill=COLOURS[colour])
    pen.ellipse(box(centre, radius, 0, -0.3, (0.24, 0.24)), fill=detail(colour, colour, "yellow"))


def draw_face(
    pen: ImageDraw.ImageDraw,
    centre: Point,
    radius: float,
    colour: str,
    background: str,  # noqa: ARG001 - all objects are drawn by one call
) -> None:
    """Draw a round smiling face."""
    ink = detail(colour, colour, "black")
    pen.ellipse(box(centre, radius, 0, 0, (1.0, 1.0)), fill=COLOURS[colour])
    for x in (-0.38, 0.38):
        pen.ellipse(box(centre, radius, x, -0.25, (0.17, 0.17)), fill=ink)
    corners = box(centre, radius, 0, 0.12, (0.55, 0.5))
    pen.arc([*corners[0], *corners[1]], 20, 160, fill=ink, width=max(1, round(radius * 0.16)))


OBJECT_DRAWERS: dict[str, Callable[[ImageDraw.ImageDraw, Point, float, str, str], None]] = {
    "house": draw_house,
    "tree": draw_tree,
    "flower": draw_flower,
    "face": draw_face,
}
