"""text-embeddings-inference's `/embed`, `/rerank` and `/similarity`."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from kit.app import from_lifespan
from kit.errors import BadRequest, NotReady, Unprocessable
from services.rag.cross_encoder import Reranker
from services.rag.dialects.embedding import (
    MAX_TEXTS,
    Dimensions,
    SpacesDep,
    Text,
    Texts,
    embedded,
    similarity,
)

router = APIRouter(tags=["tei"])
RerankerDep = Annotated[Reranker | None, from_lifespan("reranker")]

TokenIds = list[int] | list[list[int]]
ERROR: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error, as text-embeddings-inference has it.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"error": {"type": "string"}, "error_type": {"type": "string"}},
                },
                "example": {"error": "The queue is full.", "error_type": "Overloaded"},
            }
        },
    }
}


class _Reading(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    truncate: bool | None = None
    """Taken and not needed: a long text is read to its end in windows."""
    truncation_direction: Literal["left", "right", "Left", "Right"] = "right"
    """Taken and not needed."""
    prompt_name: None = None
    """Not known here: the embedder has no prompts."""


class EmbedRequest(_Reading):
    """Texts to embed."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, json_schema_extra={"example": {"inputs": "So grateful"}}
    )

    inputs: Annotated[
        Text | Annotated[list[Text], Field(max_length=MAX_TEXTS)] | TokenIds,
        Field(union_mode="left_to_right"),
    ]
    """One text or up to 1,024. Token ids are refused."""
    normalize: Literal[True] = True
    """Vectors always have unit length."""
    dimensions: Dimensions | None = None
    """Keep the first so many and scale to unit length."""


class RerankRequest(_Reading):
    """Texts to put in order."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {"query": "Who pays?", "texts": ["The buyer pays.", "Rain."]}
        },
    )

    query: Text
    texts: Annotated[list[Text], Field(max_length=MAX_TEXTS)]
    raw_scores: bool = False
    """Whether to return logits; only a cross-encoder (`RAG_RERANKER`) has them."""
    return_text: bool = False
    """Whether to repeat the texts."""


class Pairs(BaseModel):
    """A sentence and those to compare it with."""

    source_sentence: Text
    sentences: Texts


class SimilarityRequest(BaseModel):
    """Sentences to compare."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {"inputs": {"source_sentence": "A cat", "sentences": ["A kitten", "Tax"]}}
        },
    )

    inputs: Pairs
    parameters: _Reading | None = None
    """Taken and not needed."""


class Rank(BaseModel):
    """A text's place."""

    index: int
    score: float
    text: str | None = None


@router.post("/embed", summary="Embed as text-embeddings-inference does", responses=ERROR)
async def embed(body: EmbedRequest, spaces: SpacesDep) -> list[list[float]]:
    """Return a vector of unit length per text."""
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    known = [text for text in texts if isinstance(text, str)]
    if not texts:
        raise BadRequest("`inputs` cannot be empty", code="Empty")
    if len(known) < len(texts):
        raise Unprocessable("Send texts: token ids are another tokenizer's.", code="Tokenizer")
    vectors = await embedded(spaces, known, body.dimensions)
    return [[float(one) for one in vector] for vector in vectors]


@router.post(
    "/rerank",
    summary="Rerank as text-embeddings-inference does",
    responses=ERROR,
    response_model_exclude_none=True,
)
async def rerank(body: RerankRequest, reranker: RerankerDep, spaces: SpacesDep) -> list[Rank]:
    """Return the texts' places, best first.

    Scores are the cross-encoder's probabilities where `RAG_RERANKER` is set, else cosines of the
    embedder's vectors, not below 0.
    """
    if not body.texts:
        raise BadRequest("`texts` cannot be empty", code="Empty")
    if reranker is not None:
        scores = await reranker.scores(body.query, body.texts, raw=body.raw_scores)
    elif body.raw_scores:
        raise Unprocessable("raw_scores needs a cross-encoder: set RAG_RERANKER.")
    else:
        scores = [max(0.0, one) for one in await similarity(spaces, body.query, body.texts)]
    ranks = [
        Rank(index=at, score=score, text=body.texts[at] if body.return_text else None)
        for at, score in enumerate(scores)
    ]
    return sorted(ranks, key=lambda rank: -rank.score)


@router.post("/similarity", summary="Compare as text-embeddings-inference does", responses=ERROR)
async def compare(body: SimilarityRequest, spaces: SpacesDep) -> list[float]:
    """Return the cosine of the source sentence with each of the others."""
    return await similarity(spaces, body.inputs.source_sentence, body.inputs.sentences)


@router.get("/health", include_in_schema=False)
async def health(request: Request) -> Response:
    """Answer 200 when `/readyz` does: where this dialect's clients look."""
    if failures := await request.app.state.health.failures():
        raise NotReady("; ".join(f"{name}: {reason}" for name, reason in failures.items()))
    return Response()
