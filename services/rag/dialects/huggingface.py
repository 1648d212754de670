"""Hugging Face's Inference API, as `huggingface_hub.InferenceClient` speaks it."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from services.rag.dialects.embedding import Dimensions, SpacesDep, Text, Texts, embedded, similarity
from services.rag.dialects.tei import Pairs

router = APIRouter(prefix="/hf", tags=["huggingface"])

ERROR: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error, as the Inference API has it.",
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"error": {"type": "string"}}},
                "example": {"error": "body.inputs: Field required"},
            }
        },
    }
}


class FeatureRequest(BaseModel):
    """A text, or several, to embed; parameters stand at the root, as the client sends them."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, json_schema_extra={"example": {"inputs": "So grateful"}}
    )

    inputs: Text | Texts
    """One text or up to 1,024."""
    normalize: Literal[True] | None = None
    """Vectors always have unit length."""
    dimensions: Dimensions | None = None
    """Keep the first so many and scale to unit length."""
    encoding_format: Literal["float"] | None = None
    """`float`, the only one whose answer the client can read."""
    prompt_name: None = None
    """Not known here: the embedder has no prompts."""
    truncate: bool | None = None
    """Taken and not needed: a long text is read to its end in windows."""
    truncation_direction: Literal["left", "right"] | None = None
    """Taken and not needed."""
    parameters: dict[str, Any] | None = None
    """Taken from older clients and not needed."""
    options: dict[str, Any] | None = None
    """Taken from older clients and not needed."""


class SentencesRequest(BaseModel):
    """A sentence and those to compare it with."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {"inputs": {"source_sentence": "A cat", "sentences": ["A kitten", "Tax"]}}
        },
    )

    inputs: Pairs
    parameters: dict[str, Any] | None = None
    """Taken and not needed."""
    options: dict[str, Any] | None = None
    """Taken from older clients and not needed."""


@router.post("/feature-extraction", summary="InferenceClient.feature_extraction", responses=ERROR)
async def feature_extraction(body: FeatureRequest, spaces: SpacesDep) -> list[list[float]]:
    """Return a row per text.

    `InferenceClient().feature_extraction(text, model="http://HOST/hf/feature-extraction")`.
    """
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    vectors = await embedded(spaces, texts, body.dimensions)
    return [[float(one) for one in vector] for vector in vectors]


@router.post("/sentence-similarity", summary="InferenceClient.sentence_similarity", responses=ERROR)
async def sentence_similarity(body: SentencesRequest, spaces: SpacesDep) -> list[float]:
    """Return the cosine of the source sentence with each of the others.

    `InferenceClient().sentence_similarity(text, others, model="http://HOST/hf/sentence-similarity")`.
    """
    return await similarity(spaces, body.inputs.source_sentence, body.inputs.sentences)
