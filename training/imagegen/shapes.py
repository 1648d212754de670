"""The palette, the plain shapes, and the arithmetic of drawing them."""

import math

SIDE = 64

Point = tuple[float, float]
Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {
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


def ring(corners: int, radius: float) -> list[Point]:
    """Return a regular polygon with its first corner on top."""
    turns = [2 * math.pi * i / corners for i in range(corners)]
    return [(radius * math.sin(a), -radius * math.cos(a)) for a in turns]


def spiked(spikes: int, outer: float, inner: float) -> list[Point]:
    """Return a star with its first spike on top."""
    far, near = ring(2 * spikes, outer), ring(2 * spikes, inner)
    return [(far if i % 2 == 0 else near)[i] for i in range(2 * spikes)]


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


def cross() -> list[Point]:
    """Return a plus sign."""
    a, b = 0.34, 1.02
    right = [(a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b)]
    return right + [(-x, y) for x, y in reversed(right)]


# Outlines around the origin, about one unit in radius.
OUTLINES: dict[str, list[Point]] = {
    "circle": ring(48, 1.0),
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "triangle": [(0.0, -1.0), (1.05, 0.85), (-1.05, 0.85)],
    "star": spiked(5, 1.18, 0.5),
    "heart": heart(),
    "diamond": [(0.0, -1.15), (0.85, 0.0), (0.0, 1.15), (-0.85, 0.0)],
    "rectangle": [(-1.05, -0.55), (1.05, -0.55), (1.05, 0.55), (-1.05, 0.55)],
    "cross": cross(),
}
SHAPES = tuple(OUTLINES)


def moved(points: list[Point], centre: Point, radius: float) -> list[Point]:
    """Scale points and move them to a centre."""
    return [(centre[0] + x * radius, centre[1] + y * radius) for x, y in points]
