"""Pictures as bytes: PNG out, with the parameters that made them, and any common format in."""

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from kit.errors import Unprocessable
from services.imagegen import parameters
from services.imagegen.values import Card, Drawing

FAST = 3  # of 9: half the time of the usual 6, for a fifth more bytes
FORMATS = ("PNG", "JPEG", "WEBP")
MAX_SOURCE_PIXELS = 4096 * 4096
MAX_SOURCE_SIDE = 2048  # larger sources are reduced: no picture is painted larger


def encode(
    picture: Image.Image, drawing: Drawing, seed: int, card: Card, how: Mapping[str, Any]
) -> bytes:
    """Return the PNG in the asked size, whichever size the model painted.

    The text chunk `parameters` is the form that A1111 and its readers use.

    `how` is what else its bytes depend on: the bucket, and whether it was decoded in tiles.
    """
    chunks = PngInfo()
    chunks.add_itxt("parameters", parameters.for_tools(drawing, seed, card))
    about = {"model": card.model, "revision": card.revision, "backend": card.backend, **how}
    exact = {"request": parameters.to_repeat(drawing, seed), **about}
    chunks.add_itxt("switchboard", json.dumps(exact, ensure_ascii=False))
    buffer = io.BytesIO()
    fitted(picture, drawing).save(buffer, "PNG", pnginfo=chunks, compress_level=FAST)
    return buffer.getvalue()


def fitted(picture: Image.Image, drawing: Drawing) -> Image.Image:
    """Enlarge to the asked size; borders of another shape continue the picture's edge."""
    if picture.size == (drawing.width, drawing.height):
        return picture
    side = min(drawing.width, drawing.height)
    square = np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS))
    across, down = drawing.width - side, drawing.height - side
    borders = ((down // 2, down - down // 2), (across // 2, across - across // 2), (0, 0))
    return Image.fromarray(np.pad(square, borders, mode="edge"))


def data_url(picture: Image.Image) -> str:
    """Return a small picture as it fits into an event."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def from_base64(text: str) -> bytes:
    """Decode base64 or a `data:` URL; raise Unprocessable for all else, other hosts included."""
    if text.startswith(("http://", "https://")):
        raise Unprocessable("Pictures are not fetched from other hosts; send them as `data`.")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unprocessable("`data` is not base64 and not a data: URL.") from None


def normalise(content: bytes) -> bytes:
    """Return a client's picture as an RGB PNG of bounded size; raise Unprocessable if it is none."""
    try:
        opened = Image.open(io.BytesIO(content), formats=FORMATS)
        if opened.width * opened.height > MAX_SOURCE_PIXELS:  # known before a pixel is decoded
            raise Unprocessable("A source picture has more than 16.8 megapixels.")
        picture = _rgb(ImageOps.exif_transpose(opened))  # cameras note how they were held
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise Unprocessable("A source is not a PNG, JPEG or WebP picture.") from None
    except (OSError, SyntaxError, ValueError):
        raise Unprocessable("A source picture is damaged.") from None
    picture.thumbnail((MAX_SOURCE_SIDE, MAX_SOURCE_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):  # else Pillow cuts off all that is brighter than 255
        picture = picture.point(lambda level: level * (1 / 256) + 0).convert("L")
    return picture.convert("RGB")


def decode(png: bytes) -> Image.Image:
    """Return a stored picture."""
    return Image.open(io.BytesIO(png), formats=FORMATS).convert("RGB")


def sha256(png: bytes) -> str:
    """Return the digest by which a client can check what it received."""
    return hashlib.sha256(png).hexdigest()
