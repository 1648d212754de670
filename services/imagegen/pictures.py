"""Pictures as bytes: PNG out, with the parameters that made them, and any common format in."""

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from kit.errors import Unprocessable
from services.imagegen.schemas import Card, Drawing

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_SOURCE_PIXELS = 4096 * 4096
MAX_SOURCE_SIDE = 1024  # larger sources are reduced: no painter looks at more


def encode(
    picture: Image.Image, drawing: Drawing, seed: int, card: Card, how: Mapping[str, Any]
) -> bytes:
    """Return the PNG; the text chunk `parameters` is the form that A1111 and its readers use.

    `how` is what else its bytes depend on: the bucket, and whether it was decoded in tiles.
    """
    chunks = PngInfo()
    chunks.add_itxt("parameters", _parameters(drawing, seed, card))
    exact = drawing.model_dump(mode="json", exclude={"ingredients", "count"}) | {"seed": seed}
    exact |= {"model": card.model, "backend": card.backend, **how}
    chunks.add_itxt("switchboard", json.dumps(exact, ensure_ascii=False))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def _parameters(drawing: Drawing, seed: int, card: Card) -> str:
    settings = {
        "Steps": drawing.steps,
        "Sampler": drawing.scheduler or "model default",
        "CFG scale": drawing.guidance,
        "Seed": seed,
        "Size": f"{drawing.width}x{drawing.height}",
        "Model": card.model,
        "Model hash": card.revision,
    }
    lines = [drawing.prompt]
    if drawing.negative_prompt:
        lines.append(f"Negative prompt: {drawing.negative_prompt}")
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in settings.items())])


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
