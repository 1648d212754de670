"""Pictures on their way between the gateway, the page and the visitor's files."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from gradio.processing_utils import save_bytes_to_cache
from PIL import Image, UnidentifiedImageError

THUMBNAIL_SIDE = 480
THUMBNAIL_QUALITY = 80


class Unusable(Exception):
    """A file is neither a picture nor a text; its name is the message."""


def thumbnail(content: bytes) -> str:
    """Return a small copy as a `data:` URL, so that the page needs no second request."""
    with Image.open(io.BytesIO(content)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    out = io.BytesIO()
    small.save(out, "WEBP", quality=THUMBNAIL_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()


def kept(content: bytes, name: str, folder: str) -> str:
    """Put the picture, unchanged, where the page may fetch it; returns its path."""
    return str(save_bytes_to_cache(content, f"{name}.png", folder))


def sorted_files(paths: Sequence[str]) -> tuple[list[str], str]:
    """Return attached pictures in base64, and attached texts one after the other.

    Raises Unusable for a file that is neither.
    """
    pictures, texts = [], []
    for path in map(Path, paths):
        content = path.read_bytes()
        if _is_picture(content):
            pictures.append(base64.b64encode(content).decode())
            continue
        try:
            texts.append(content.decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise Unusable(path.name) from None
    return pictures, "\n\n".join(texts)


def encoded(path: str) -> str:
    """Return a picture's file in base64."""
    return base64.b64encode(Path(path).read_bytes()).decode()


def _is_picture(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")):
            return True
    except UnidentifiedImageError:
        return False
