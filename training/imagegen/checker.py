"""Judge a picture against the scene that was asked for, without any learnt model.

Shapes are named twice: `strict` overlays bounding boxes, which a slightly drawn-out corner upsets;
`fair` overlays centroids and areas. Both name drawn scenes correctly, see evaluate.py.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from training.imagegen.scenes import COLOURS, OBJECTS, SHAPES, SIDE, Item, Scene, draw

GRID = 32  # side of the normalised masks
SMALLEST_BLOB = 20  # pixels; anything smaller is dirt
CENTRE_ZONE = 0.11  # a centroid this close to the middle is neither left nor right
FOREGROUND = 60.0  # RGB distance from the background

Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]

NAMES = tuple(COLOURS)
PALETTE = np.array([COLOURS[name] for name in NAMES], dtype=float)


@dataclass(frozen=True)
class Blob:
    """One connected patch: its colour, centre (fractions of the side) and outline."""

    colour: str
    x: float
    y: float
    mask: Mask

    @property
    def strict(self) -> str:
        """Name the shape by its bounding box."""
        return closest(boxed(self.mask), "strict")

    @property
    def fair(self) -> str:
        """Name the shape by centroid and area."""
        return closest(levelled(self.mask), "fair")


def judge(scene: Scene, picture: Picture) -> dict[str, bool]:
    """Return what is right: bound (colour and shape of every item, and no item more), and parts."""
    background = background_of(picture)
    found = {"background": background == scene.background}
    if scene.kind == "object":
        return found | judge_object(scene, picture, background)
    blobs = blobs_of(picture, background)
    found["count"] = len(blobs) == len(scene.items)
    found["colour"] = sorted(b.colour for b in blobs) == sorted(i.colour for i in scene.items)
    for reading in ("strict", "fair"):
        found[reading] = found["count"] and items_match(scene.items, blobs, reading)
    if scene.position:
        found["position"] = len(blobs) == 1 and position_of(blobs[0]) == scene.position
    if scene.relation:
        found["relation"] = relation_holds(scene, blobs)
    return found


def background_of(picture: Picture) -> str:
    """Name the commonest colour of the outermost two pixels."""
    rim = np.concatenate([picture[:2].reshape(-1, 3), picture[-2:].reshape(-1, 3)])
    sides = np.concatenate([picture[:, :2].reshape(-1, 3), picture[:, -2:].reshape(-1, 3)])
    return commonest(np.concatenate([rim, sides]))


def colour_name(colour: NDArray[np.float64]) -> str:
    """Name the palette colour nearest to an RGB value."""
    return NAMES[int(np.argmin(((PALETTE - colour) ** 2).sum(axis=1)))]


def commonest(pixels: NDArray[np.uint8]) -> str:
    """Name the palette colour that most of the pixels (n, 3) are nearest to."""
    distances = ((pixels[:, None].astype(float) - PALETTE) ** 2).sum(axis=2)
    return NAMES[int(np.bincount(distances.argmin(axis=1)).argmax())]


def blobs_of(picture: Picture, background: str) -> list[Blob]:
    """Find the patches that differ from the background."""
    ground = np.array(COLOURS[background], dtype=float)
    difference = picture.astype(float) - ground
    labels, count = ndimage.label(np.linalg.norm(difference, axis=2) > FOREGROUND)
    blobs = []
    for label in range(1, count + 1):
        patch = labels == label
        if patch.sum() >= SMALLEST_BLOB:
            blobs.append(blob_of(picture, patch, ground))
    return blobs


def blob_of(picture: Picture, patch: Mask, ground: NDArray[np.float64]) -> Blob:
    """Measure one patch; its edge runs where paint and background mix half and half."""
    core = ndimage.binary_erosion(patch)
    paint = np.median(picture[core if core.any() else patch], axis=0)
    direction = paint - ground
    share = (picture.astype(float) - ground) @ direction / max(float(direction @ direction), 1.0)
    mask = ndimage.binary_dilation(patch) & (share > 0.5)
    mask = ndimage.binary_fill_holes(mask if mask.any() else patch)
    y, x = ndimage.center_of_mass(mask)
    return Blob(colour_name(paint), (x + 0.5) / SIDE, (y + 0.5) / SIDE, mask)


def boxed(mask: Mask) -> Mask:
    """Stretch a mask's bounding box over the grid."""
    rows, columns = np.where(mask)
    crop = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    resized = Image.fromarray(crop.astype(np.uint8) * 255).resize(
        (GRID, GRID), Image.Resampling.BOX
    )
    return np.asarray(resized) > 127


def levelled(mask: Mask) -> Mask:
    """Move a mask's centroid to the middle of the grid and scale it to a quarter of the area."""
    y, x = ndimage.center_of_mass(mask)
    scale = np.sqrt(mask.sum()) / (GRID / 2)
    steps = (np.arange(GRID) - (GRID - 1) / 2) * scale
    rows, columns = np.meshgrid(y + steps, x + steps, indexing="ij")
    moved: NDArray[np.float64] = ndimage.map_coordinates(
        mask.astype(float), [rows, columns], order=1
    )
    return moved > 0.5


@cache
def templates(reading: str) -> dict[str, Mask]:
    """Return the normalised mask of every shape."""
    normalise = boxed if reading == "strict" else levelled
    found = {}
    for shape in SHAPES:
        scene = Scene("single", (Item(shape, "black", 0.5, 0.5, 0.5),), "white")
        found[shape] = normalise(blobs_of(draw(scene), "white")[0].mask)
    return found


def closest(mask: Mask, reading: str) -> str:
    """Name the shape whose template overlaps best."""
    return max(SHAPES, key=lambda shape: overlap(mask, templates(reading)[shape]))


def overlap(first: Mask, second: Mask) -> float:
    """Return intersection over union."""
    return float((first & second).sum() / max((first | second).sum(), 1))


def items_match(items: tuple[Item, ...], blobs: list[Blob], reading: str) -> bool:
    """Return whether the blobs are the items, each with its own colour."""
    wanted = sorted((item.colour, item.kind) for item in items)
    return wanted == sorted((blob.colour, getattr(blob, reading)) for blob in blobs)


def position_of(blob: Blob) -> str:
    """Name where a blob is."""
    dx, dy = blob.x - 0.5, blob.y - 0.5
    if max(abs(dx), abs(dy)) < CENTRE_ZONE:
        return "centre"
    if abs(dx) > abs(dy):
        return "left" if dx < 0 else "right"
    return "top" if dy < 0 else "bottom"


def relation_holds(scene: Scene, blobs: list[Blob]) -> bool:
    """Return whether the second item lies on the asked side of the first; beside is free."""
    if len(blobs) != 2:
        return False
    first, second = scene.items
    by_colour = first.colour != second.colour
    names = [blob.colour if by_colour else blob.fair for blob in blobs]
    wanted = [first.colour, second.colour] if by_colour else [first.kind, second.kind]
    if sorted(names) != sorted(wanted):
        return False
    a, b = (blobs[names.index(name)] for name in wanted)
    if scene.relation == "beside":
        return True
    return {
        "above": b.y - a.y,
        "below": a.y - b.y,
        "left of": b.x - a.x,
        "right of": a.x - b.x,
    }[scene.relation] > 2 * CENTRE_ZONE


def judge_object(scene: Scene, picture: Picture, background: str) -> dict[str, bool]:
    """Name a composed object by drawing each kind in its place and comparing pixels."""
    ground = np.array(COLOURS[background], dtype=float)
    inside = np.linalg.norm(picture.astype(float) - ground, axis=2) > FOREGROUND
    if inside.sum() < SMALLEST_BLOB:
        return {"colour": False, "strict": False, "fair": False}
    colour = commonest(picture[inside])
    kind = min(OBJECTS, key=lambda kind: object_distance(kind, colour, background, picture, inside))
    right = kind == scene.items[0].kind and colour == scene.items[0].colour
    return {"colour": colour == scene.items[0].colour, "strict": right, "fair": right}


def object_distance(
    kind: str, colour: str, background: str, picture: Picture, inside: Mask
) -> float:
    """Return the mean difference to an object drawn into the bounding box of `inside`."""
    if colour == background:
        return 255.0
    rows, columns = np.where(inside)
    height = (rows.max() - rows.min() + 1) / SIDE
    top, bottom, half_width = EXTENTS[kind]
    diameter = 2 * height / (bottom - top)
    x = (columns.min() + columns.max() + 1) / 2 / SIDE
    y = rows.min() / SIDE - top * diameter / 2
    drawn = draw(Scene("object", (Item(kind, colour, x, y, diameter),), background))
    too_wide = abs((columns.max() - columns.min() + 1) / SIDE - half_width * diameter)
    return float(np.abs(drawn.astype(float) - picture).mean()) + 100 * float(too_wide)


# Top, bottom and half width of each object in units of its radius, as scenes.py draws it.
EXTENTS = {
    "house": (-1.0, 1.0, 1.05),
    "tree": (-1.05, 1.05, 0.75),
    "flower": (-1.1, 1.05, 0.78),
    "face": (-1.0, 1.0, 1.0),
}
