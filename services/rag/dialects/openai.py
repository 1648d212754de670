"""OpenAI's `/v1/embeddings`, whose own client asks for base64 unless told otherwise."""

import base64
from typing import Annotated, Any, Literal

import numpy as np
from anyio import to_thread
from fastapi import APIRouter
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from kit.errors import Unprocessable
from services.rag.dialects.embedding import Dimensions, SpacesDep, Text, Texts, embedded
from services.rag.model import cost
from services.rag.spaces import Space

router = APIRouter(prefix="/v1", tags=["openai"])

TokenIds = Annotated[list[int] | list[list[int]], Field(min_length=1)]
ERROR: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error, as OpenAI has it.",
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"error": {"type": "object"}}}
            }
        },
    }
}


class EmbeddingsRequest(BaseModel):
    """Texts to embed."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, json_schema_extra={"example": {"input": "So grateful"}}
    )

    input: Annotated[Text | Texts | TokenIds, Field(union_mode="left_to_right")]
    """One text or up to 1,024. Token ids are refused: they are another tokenizer's."""
    model: str = ""
    """Taken and not needed: the service has one embedder, and the answer names it."""
    encoding_format: Literal["float", "base64"] = "float"
    """`base64` is that of little-endian float32."""
    dimensions: Dimensions | None = None
    """Keep the first so many and scale to unit length; for models that were trained for it."""
    user: str | None = None
    """Taken and not needed."""


class Embedding(BaseModel):
    """One text's vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """How many tokens were read."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    """The vectors in the order of the texts."""

    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: Usage


@router.post("/embeddings", summary="Embed as OpenAI does", responses=ERROR)
async def embeddings(body: EmbeddingsRequest, spaces: SpacesDep) -> Embeddings:
    """Return a vector of unit length per text.

    `OpenAI(base_url="http://HOST/v1", api_key=...).embeddings.create(model="any", input=[...])`.
    """
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not all(isinstance(text, str) for text in texts):
        raise Unprocessable(
            "input: send texts; token ids are another tokenizer's.",
            errors=[{"field": "input", "in": "body", "message": "token ids", "kind": "type"}],
        )
    known = [text for text in texts if isinstance(text, str)]
    space = spaces.asked
    vectors = await embedded(spaces, known, body.dimensions)
    encode = _base64 if body.encoding_format == "base64" else _floats
    tokens = await to_thread.run_sync(_tokens, space, known)
    return Embeddings(
        model=space.vectors.name,
        data=[Embedding(index=at, embedding=encode(one)) for at, one in enumerate(vectors)],
        usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
    )


def _tokens(space: Space, texts: list[str]) -> int:
    count = space.count_tokens or cost
    return sum(count(text) for text in texts)


def _floats(vector: NDArray[np.float32]) -> list[float]:
    return [float(one) for one in vector]


def _base64(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
