"""What all dialects of embedding share."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kit.app import from_lifespan
from kit.errors import Unprocessable
from kit.text import READABLE, VISIBLE
from services.rag.spaces import Spaces

MAX_TEXTS = 1024
MAX_CHARS = 100_000

Text = Annotated[
    str, Field(min_length=1, max_length=MAX_CHARS, json_schema_extra=VISIBLE), READABLE
]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]
Dimensions = Annotated[int, Field(strict=True, ge=1)]
SpacesDep = Annotated[Spaces, from_lifespan("spaces")]


async def embedded(
    spaces: Spaces, texts: Sequence[str], dimensions: int | None = None
) -> NDArray[np.float32]:
    """Return a unit vector per text, of fewer dimensions if so wished; long texts are read whole."""
    space = spaces.asked
    if dimensions is not None and dimensions > space.vectors.dimensions:
        most = space.vectors.dimensions
        raise Unprocessable(
            f"dimensions: this model's vectors have {most}.",
            errors=[{"field": "dimensions", "in": "body", "message": "too many", "kind": "value"}],
        )
    vectors = np.stack(await space.embedder.submit_many(list(texts)))
    if dimensions is None or dimensions == space.vectors.dimensions:
        return vectors
    cut: NDArray[np.float32] = vectors[:, :dimensions]
    scaled: NDArray[np.float32] = cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-9)
    return scaled


async def similarity(spaces: Spaces, source: str, texts: Sequence[str]) -> list[float]:
    """Return the cosine of the source with each text."""
    vectors = await embedded(spaces, [source, *texts])
    return [float(one) for one in vectors[1:] @ vectors[0]]
