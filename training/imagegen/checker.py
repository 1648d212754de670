"""Judge a picture against the scene that was asked for, without any learnt model.

Things are named twice. `strict` overlays bounding boxes, which a slightly drawn-out corner upsets;
for one object it also compares every pixel with the object drawn in that box. `fair` overlays
silhouettes by centroid and area. Both name drawn scenes correctly, see evaluate.py.
"""

from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from training.imagegen.backgrounds import BACKGROUNDS, SCENERIES, flat, may_be_cloud
from training.imagegen.objects import OBJECTS
from training.imagegen.scenes import Item, Scene, draw
from training.imagegen.shapes import COLOURS, SHAPES, SIDE

GRID = 32  # side of the normalised masks
SMALLEST_BLOB = 20  # pixels; anything smaller is a star, a snowflake or dirt
CENTRE_ZONE = 0.11  # a centroid this close to the middle is neither left nor right
FOREGROUND = 60.0  # RGB distance from the background
CLOUD_WHITE = 110.0  # RGB distance from white within which a patch of the sky is cloud
HORIZON_SEARCH = 7  # rows either way of a scenery's usual horizon
BIG, SMALL = 0.55, 0.42  # longer side of a shape called big, or small

Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

NAMES = tuple(COLOURS)
PALETTE = np.array([COLOURS[name] for name in NAMES], dtype=float)


@dataclass(frozen=True)
class Blob:
    """One connected patch: its colour, centre (fractions of the side), outline and silhouette."""

    colour: str
    x: float
    y: float
    mask: Mask
    silhouette: Mask

    def looks_like(self, kind: str, reading: str) -> bool:
        """Return whether this is what a kind looks like most, among its likes."""
        mask = self.silhouette if kind in OBJECTS else self.mask
        return closest(mask, reading, OBJECTS if kind in OBJECTS else SHAPES) == kind

    @property
    def extent(self) -> float:
        """The longer side of the bounding box, as a fraction of the picture."""
        rows, columns = np.where(self.mask)
        return float(max(np.ptp(rows), np.ptp(columns)) + 1) / SIDE


def judge(scene: Scene, picture: Picture) -> dict[str, bool]:
    """Return what is right: bound (colour and kind of every item, and no item more), and parts."""
    background, ground = background_of(picture)
    found = {"background": background == scene.background}
    blobs = blobs_of(picture, background, ground)
    if scene.kind == "scenery":
        return found | dict.fromkeys(("strict", "fair"), found["background"] and not blobs)
    if scene.kind == "object":
        return found | judge_object(scene, picture, ground, blobs)
    found["count"] = len(blobs) == len(scene.items)
    found["colour"] = sorted(b.colour for b in blobs) == sorted(i.colour for i in scene.items)
    for reading in ("strict", "fair"):
        found[reading] = found["count"] and items_match(scene.items, blobs, reading)
    if scene.position:
        found["position"] = len(blobs) == 1 and position_of(blobs[0]) == scene.position
    if scene.size:
        sizes = [
            blob.extent > BIG if scene.size == "big" else blob.extent < SMALL for blob in blobs
        ]
        found["size"] = len(blobs) == 1 and all(sizes)
    if scene.relation:
        found["relation"] = relation_holds(scene, blobs)
    return found


def background_of(picture: Picture) -> tuple[str, Floats]:
    """Name the background whose rim is most like the picture's, and return it without marks."""
    rim = np.ones((SIDE, SIDE), dtype=bool)
    rim[2:-2, 2:-2] = False
    seen = picture[rim].astype(float)
    best, name, ground = np.inf, "", flat("white", SIDE)
    for candidate, horizon in candidates():
        plain = flat(candidate, horizon)
        away = np.linalg.norm(seen - plain[rim], axis=1).clip(max=2 * FOREGROUND).mean()
        if away < best:
            best, name, ground = float(away), candidate, plain
    return name, ground


@cache
def candidates() -> tuple[tuple[str, int], ...]:
    """List the backgrounds, those with a horizon once for every row that it may have."""
    found = []
    for name in BACKGROUNDS:
        has_ground = name in SCENERIES and SCENERIES[name].ground
        usual = round(SCENERIES[name].horizon * SIDE) if has_ground else SIDE
        reach = HORIZON_SEARCH if has_ground else 0
        found += [(name, row) for row in range(usual - reach, usual + reach + 1)]
    return tuple(found)


def foreground_of(picture: Picture, background: str, ground: Floats) -> Mask:
    """Return the pixels that are not background; at the horizon any mixture of both bands is."""
    seen = picture.astype(float)
    away = np.linalg.norm(seen - ground, axis=2)
    for shift in (-2, -1, 1, 2):
        other = np.roll(ground, shift, axis=0)
        other[: max(shift, 0)], other[SIDE + min(shift, 0) :] = ground[0, 0], ground[-1, 0]
        for share in (0.25, 0.5, 0.75, 1.0):
            mixed = (1 - share) * ground + share * other
            away = np.minimum(away, np.linalg.norm(seen - mixed, axis=2))
    is_cloud = may_be_cloud(background) & (
        np.linalg.norm(seen - PALETTE[NAMES.index("white")], axis=2) < CLOUD_WHITE
    )
    found: Mask = (away > FOREGROUND) & ~is_cloud
    return found


def commonest(pixels: NDArray[np.uint8]) -> str:
    """Name the palette colour that most of the pixels (n, 3) are nearest to."""
    distances = ((pixels[:, None].astype(float) - PALETTE) ** 2).sum(axis=2)
    return NAMES[int(np.bincount(distances.argmin(axis=1)).argmax())]


def blobs_of(picture: Picture, background: str, ground: Floats) -> list[Blob]:
    """Find the patches that differ from the background."""
    labels, count = ndimage.label(foreground_of(picture, background, ground))
    patches = [labels == label for label in range(1, count + 1)]
    return [blob_of(picture, patch, ground) for patch in patches if patch.sum() >= SMALLEST_BLOB]


def blob_of(picture: Picture, patch: Mask, ground: Floats) -> Blob:
    """Measure one patch; its edge runs where paint and background mix half and half."""
    core = ndimage.binary_erosion(patch)
    core = core if core.any() else patch
    direction = np.median(picture[core], axis=0) - ground
    along = ((picture.astype(float) - ground) * direction).sum(axis=2)
    share = along / (direction**2).sum(axis=2).clip(min=1.0)
    mask = ndimage.binary_dilation(patch) & (share > 0.5)
    mask = ndimage.binary_fill_holes(mask if mask.any() else patch)
    y, x = ndimage.center_of_mass(mask)
    whole = ndimage.binary_fill_holes(patch)
    return Blob(commonest(picture[patch]), (x + 0.5) / SIDE, (y + 0.5) / SIDE, mask, whole)


def boxed(mask: Mask) -> Mask:
    """Stretch the square around a mask's bounding box over the grid."""
    rows, columns = np.where(mask)
    crop = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = crop.shape
    side = max(height, width)
    square = np.zeros((side, side), dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = crop * 255
    resized = Image.fromarray(square).resize((GRID, GRID), Image.Resampling.BOX)
    return np.asarray(resized) > 127


def levelled(mask: Mask) -> Mask:
    """Move a mask's centroid to the middle of the grid and scale it to a quarter of the area."""
    y, x = ndimage.center_of_mass(mask)
    scale = np.sqrt(mask.sum()) / (GRID / 2)
    steps = (np.arange(GRID) - (GRID - 1) / 2) * scale
    rows, columns = np.meshgrid(y + steps, x + steps, indexing="ij")
    moved: Floats = ndimage.map_coordinates(mask.astype(float), [rows, columns], order=1)
    return moved > 0.5


@cache
def silhouettes() -> dict[str, Mask]:
    """Return the mask of every kind, drawn black in the middle, half the side in diameter."""
    found = {}
    for kind in (*SHAPES, *OBJECTS):
        scene = Scene("single", (Item(kind, "black", 0.5, 0.5, 0.5),), "gray")
        inside = foreground_of(draw(scene), "gray", flat("gray", SIDE))
        found[kind] = ndimage.binary_fill_holes(inside)
    return found


@cache
def templates(reading: str) -> dict[str, Mask]:
    """Return the normalised mask of every kind."""
    normalise = boxed if reading == "strict" else levelled
    return {kind: normalise(mask) for kind, mask in silhouettes().items()}


def closest(mask: Mask, reading: str, kinds: tuple[str, ...]) -> str:
    """Name the kind whose template overlaps best."""
    seen = (boxed if reading == "strict" else levelled)(mask)
    return max(kinds, key=lambda kind: overlap(seen, templates(reading)[kind]))


def overlap(first: Mask, second: Mask) -> float:
    """Return intersection over union."""
    return float((first & second).sum() / max((first | second).sum(), 1))


def items_match(items: tuple[Item, ...], blobs: list[Blob], reading: str) -> bool:
    """Return whether the blobs are the items, each with its own colour."""
    return any(
        all(
            item.colour == blob.colour and blob.looks_like(item.kind, reading)
            for item, blob in zip(items, order, strict=True)
        )
        for order in permutations(blobs)
    )


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
    return any(
        is_item(a, first, second) and is_item(b, second, first) and on_side(scene.relation, a, b)
        for a, b in permutations(blobs)
    )


def is_item(blob: Blob, item: Item, other: Item) -> bool:
    """Tell two things apart by colour, or by kind where the colours are equal."""
    if item.colour != other.colour:
        return blob.colour == item.colour
    return blob.looks_like(item.kind, "fair")


def on_side(relation: str, a: Blob, b: Blob) -> bool:
    """Return whether `a` stands in a relation to `b`."""
    distances = {
        "above": b.y - a.y,
        "below": a.y - b.y,
        "left of": b.x - a.x,
        "right of": a.x - b.x,
    }
    return relation == "beside" or distances[relation] > 2 * CENTRE_ZONE


def judge_object(
    scene: Scene, picture: Picture, ground: Floats, blobs: list[Blob]
) -> dict[str, bool]:
    """Name a composed object by its pixels (strict) and by its silhouette (fair)."""
    [item] = scene.items
    parts = ["colour", "strict", "fair", *(["position"] if scene.position else [])]
    if not blobs:
        return dict.fromkeys(parts, False)
    inside = np.logical_or.reduce([blob.silhouette for blob in blobs])
    colour = commonest(picture[inside])
    is_coloured = colour == item.colour
    drawn = min(OBJECTS, key=lambda kind: object_distance(kind, colour, ground, picture, inside))
    found = {
        "colour": is_coloured,
        "strict": is_coloured and drawn == item.kind,
        "fair": is_coloured and closest(inside, "fair", OBJECTS) == item.kind,
    }
    if scene.position:
        y, x = ndimage.center_of_mass(inside)
        middle = Blob(colour, (x + 0.5) / SIDE, (y + 0.5) / SIDE, inside, inside)
        found["position"] = position_of(middle) == scene.position
    return found


def object_distance(
    kind: str, colour: str, ground: Floats, picture: Picture, inside: Mask
) -> float:
    """Return the mean difference to an object drawn into the bounding box of `inside`."""
    top, bottom, left, right = box_of(inside)
    template = silhouettes()[kind]
    up, down, near, far = box_of(template)
    scale = (bottom - top) / (down - up)
    x = (left + right) / 2 / SIDE - scale * ((near + far) / 2 / SIDE - 0.5)
    y = (top + bottom) / 2 / SIDE - scale * ((up + down) / 2 / SIDE - 0.5)
    hidden = "white" if colour != "white" else "black"
    drawn = draw(Scene("object", (Item(kind, colour, x, y, 0.5 * scale),), hidden)).astype(float)
    is_hidden = np.linalg.norm(drawn - PALETTE[NAMES.index(hidden)], axis=2) < FOREGROUND
    is_hidden &= ~ndimage.binary_fill_holes(~is_hidden)
    drawn[is_hidden] = ground[is_hidden]
    too_wide = abs((right - left) - scale * (far - near)) / SIDE
    region = (slice(max(top - 1, 0), bottom + 1), slice(max(left - 1, 0), right + 1))
    return float(np.abs(drawn[region] - picture[region]).mean()) + 100 * too_wide


def box_of(mask: Mask) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of a mask, the ends excluded."""
    rows, columns = np.where(mask)
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1
