"""Sample small scenes and draw them as 64x64 pictures; captions.py says them in words."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.imagegen.backgrounds import SCENERIES, lost_in, paint
from training.imagegen.objects import (
    DRAWERS,
    IN_THE_SKY,
    OBJECTS,
    USUAL_BACKGROUNDS,
    USUAL_COLOURS,
    Brush,
)
from training.imagegen.shapes import COLOURS, OUTLINES, SHAPES, SIDE, Point, moved

OVERSAMPLING = 3
POSITIONS = ("left", "right", "top", "bottom", "centre")
RELATIONS = ("above", "below", "left of", "right of", "beside")
KIND_SHARES = {
    "single": 0.2,
    "pair": 0.28,
    "count": 0.13,
    "object": 0.28,
    "mixed": 0.08,  # pairs with an object, two or three equal objects
    "scenery": 0.03,  # a background alone
}
HARD_SHARES = KIND_SHARES | {"single": 0.1, "pair": 0.44, "count": 0.22, "object": 0.15}
# Left out of the first half of a training with --hold-out; every word form occurs in other pairs.
HELD_OUT = {
    ("cross", "purple"),
    ("cross", "green"),
    ("rectangle", "red"),
    ("rectangle", "pink"),
    ("cat", "blue"),
    ("robot", "green"),
    ("car", "purple"),
    ("boat", "pink"),
}


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
    look: int = 0  # seeds the background's small differences

    @property
    def is_held_out(self) -> bool:
        """Whether one of its things has a held-out colour."""
        return any((item.kind, item.colour) in HELD_OUT for item in self.items)


def sample_scene(
    dice: random.Random, kind: str | None = None, shares: dict[str, float] = KIND_SHARES
) -> Scene:
    """Draw one scene from the training mix, or one of the given kind."""
    kind = kind or dice.choices(list(shares), weights=list(shares.values()))[0]
    return SAMPLERS[kind](dice)


def sample_single(dice: random.Random) -> Scene:
    """Sample one shape; a third have a stated position, the rest wander about the centre."""
    position = dice.choice(POSITIONS) if dice.random() < 0.35 else ""
    size = dice.choice(("big", "small")) if not position and dice.random() < 0.25 else ""
    colour = dice.choice(list(COLOURS))
    background, said = sample_background(dice, {colour}, scenic=0.3)
    x, y = place(dice, position, 0.03 if position or size == "big" else 0.09)
    item = Item(dice.choice(SHAPES), colour, x, y, sample_diameter(dice, position, size))
    return Scene(
        "single",
        (item,),
        background,
        position,
        size,
        says_colour=dice.random() < 0.93,
        says_background=said,
        look=dice.getrandbits(16),
    )


def sample_pair(dice: random.Random) -> Scene:
    """Sample two shapes side by side or one above the other; `beside` reads left to right."""
    first, second = dice.sample(SHAPES, 2) if dice.random() < 0.9 else [dice.choice(SHAPES)] * 2
    return pair_of(dice, "pair", first, second)


def pair_of(dice: random.Random, kind: str, first: str, second: str) -> Scene:
    """Place two things in a relation."""
    relation = dice.choice((*RELATIONS, "beside"))  # "A and B" is what people type most
    colours = [dice.choice(list(COLOURS)) for _ in range(2)]
    if first == second:
        colours = dice.sample(list(COLOURS), 2)
    background, said = sample_background(dice, set(colours), scenic=0.25)
    is_upright = relation in {"above", "below"}
    shift = dice.uniform(-0.05, 0.05)  # both move together across their common axis
    items = [
        Item(
            thing,
            colour,
            jitter(dice, x, 0.015) + (shift if is_upright else 0),
            jitter(dice, y, 0.015) + (0 if is_upright else shift),
            dice.uniform(0.31, 0.38),  # with room between them
        )
        for thing, colour, (x, y) in zip(
            (first, second), colours, RELATION_CENTRES[relation], strict=True
        )
    ]
    return Scene(
        kind,
        tuple(items),
        background,
        relation=relation,
        says_background=said,
        look=dice.getrandbits(16),
    )


def sample_count(dice: random.Random) -> Scene:
    """Sample two to four equal shapes."""
    return count_of(dice, "count", dice.choice(SHAPES), dice.choice((2, 3, 4)))


def count_of(dice: random.Random, kind: str, thing: str, number: int) -> Scene:
    """Place equal things."""
    diameter = dice.uniform(0.32, 0.4) if number == 2 else dice.uniform(0.29, 0.33)
    colour = dice.choice(list(COLOURS))
    background, said = sample_background(dice, {colour}, scenic=0.25)
    items = tuple(
        Item(thing, colour, jitter(dice, x, 0.02), jitter(dice, y, 0.02), diameter)
        for x, y in COUNT_CENTRES[number]
    )
    return Scene(kind, items, background, says_background=said, look=dice.getrandbits(16))


def sample_object(dice: random.Random) -> Scene:
    """Sample one object; what is not said is as usual."""
    thing = dice.choice(OBJECTS)
    says_colour = dice.random() < 0.6
    colour = dice.choice(list(COLOURS)) if says_colour else USUAL_COLOURS[thing]
    background, said = sample_background(dice, {colour}, 0.7, USUAL_BACKGROUNDS.get(thing, "white"))
    position = dice.choice(("left", "right", "centre")) if dice.random() < 0.12 else ""
    size = dice.choice(("big", "small")) if not position and dice.random() < 0.15 else ""
    diameter = dice.uniform(0.5, 0.66)
    if position:
        diameter = dice.uniform(0.4, 0.46)
    elif size:
        diameter = dice.uniform(0.72, 0.78) if size == "big" else dice.uniform(0.34, 0.4)
    x, y = place(dice, position, 0.03 if position or size == "big" else 0.07)
    if not position:
        y = grounded(dice, thing, background, y, diameter)
    item = Item(thing, colour, x, y, diameter)
    return Scene(
        "object",
        (item,),
        background,
        position,
        size,
        says_colour=says_colour,
        says_background=said,
        look=dice.getrandbits(16),
    )


def grounded(dice: random.Random, thing: str, background: str, y: float, diameter: float) -> float:
    """Return the height of an object's centre: on the ground, or up in the sky."""
    if background not in SCENERIES or diameter > 0.7:
        return y
    if thing in IN_THE_SKY:
        return jitter(dice, 0.4, 0.04)
    if SCENERIES[background].ground is None:
        return y
    return jitter(dice, 0.86, 0.03) - diameter / 2


def sample_mixed(dice: random.Random) -> Scene:
    """Sample a pair with at least one object, or two or three equal objects."""
    thing = dice.choice(OBJECTS)
    if dice.random() < 0.4:
        return count_of(dice, "mixed", thing, dice.choice((2, 2, 3)))
    things = [thing, dice.choice([o for o in (*OBJECTS, *SHAPES) if o != thing])]
    dice.shuffle(things)
    return pair_of(dice, "mixed", *things)


def sample_scenery(dice: random.Random) -> Scene:
    """Sample a scenery without anything in it."""
    return Scene("scenery", (), dice.choice(list(SCENERIES)), look=dice.getrandbits(16))


SAMPLERS: dict[str, Callable[[random.Random], Scene]] = {
    "single": sample_single,
    "pair": sample_pair,
    "count": sample_count,
    "object": sample_object,
    "mixed": sample_mixed,
    "scenery": sample_scenery,
}
RELATION_CENTRES: dict[str, tuple[Point, Point]] = {
    "above": ((0.5, 0.25), (0.5, 0.75)),
    "below": ((0.5, 0.75), (0.5, 0.25)),
    "left of": ((0.25, 0.5), (0.75, 0.5)),
    "right of": ((0.75, 0.5), (0.25, 0.5)),
    "beside": ((0.25, 0.5), (0.75, 0.5)),
}
COUNT_CENTRES: dict[int, tuple[Point, ...]] = {
    2: ((0.27, 0.5), (0.73, 0.5)),
    3: ((0.5, 0.26), (0.25, 0.73), (0.75, 0.73)),
    4: ((0.26, 0.26), (0.74, 0.26), (0.26, 0.74), (0.74, 0.74)),
}
POSITION_CENTRES: dict[str, Point] = {
    "left": (0.28, 0.5),
    "right": (0.72, 0.5),
    "top": (0.5, 0.28),
    "bottom": (0.5, 0.72),
    "centre": (0.5, 0.5),
    "": (0.5, 0.5),
}


def place(dice: random.Random, position: str, by: float) -> Point:
    """Return a centre near the named position."""
    x, y = POSITION_CENTRES[position]
    return jitter(dice, x, by), jitter(dice, y, by)


def sample_diameter(dice: random.Random, position: str, size: str) -> float:
    """Return a shape's diameter that fits the position and the size word."""
    if size:
        return dice.uniform(0.64, 0.74) if size == "big" else dice.uniform(0.28, 0.34)
    return dice.uniform(0.36, 0.46) if position else dice.uniform(0.42, 0.6)


def sample_background(
    dice: random.Random, taken: set[str], scenic: float, usual: str = "white"
) -> tuple[str, bool]:
    """Return a background that hides no item, and whether it is said; unsaid is nearly as usual."""
    if dice.random() < 0.55:
        names = list(SCENERIES if dice.random() < scenic else COLOURS)
        return dice.choice([name for name in names if not lost_in(name) & taken]), True
    defaults = [usual] * 9 + ["white"] if dice.random() < 0.97 else list(COLOURS)
    dice.shuffle(defaults)
    return next(n for n in (*defaults, "blue", "black") if not lost_in(n) & taken), False


def jitter(dice: random.Random, value: float, by: float) -> float:
    """Move a value by up to `by` either way."""
    return value + dice.uniform(-by, by)


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Draw a scene as RGB bytes of shape (64, 64, 3), antialiased by oversampling."""
    side = SIDE * OVERSAMPLING
    picture = Image.new("RGB", (side, side))
    pen = ImageDraw.Draw(picture)
    taken = [((item.x, item.y), item.diameter / 2) for item in scene.items]
    paint(pen, scene.background, side, scene.look, taken)
    for item in scene.items:
        draw_item(pen, item, side, scene.background)
    return np.asarray(picture.reduce(OVERSAMPLING))


def draw_item(pen: ImageDraw.ImageDraw, item: Item, side: int, background: str) -> None:
    """Draw one shape or object in its place."""
    radius = item.diameter * side / 2
    centre = (item.x * side, item.y * side)
    if item.kind in DRAWERS:
        DRAWERS[item.kind](Brush(pen, centre, radius, item.colour, lost_in(background)))
    else:
        pen.polygon(moved(OUTLINES[item.kind], centre, radius), fill=COLOURS[item.colour])
