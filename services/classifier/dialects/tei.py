"""text-embeddings-inference's `/predict`, and what its `/info` says of a classifier.

Two strings in a list are one pair of texts; a list of lists is a batch. Unlike that server, scores
come from the function that the model was trained with: a multi-label model gets sigmoids.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from kit.errors import BadRequest, NotReady
from services.classifier import routes
from services.classifier.model import Classifier
from services.classifier.routes import ClassifierDep, LogitsDep
from services.classifier.schemas import MAX_TEXTS, ClassifyRequest, Pair, Score, Text
from services.classifier.settings import Settings

router = APIRouter(tags=["tei"])

Item = Text | tuple[Text] | Pair  # a tuple of one is a text as well
DTYPES = {"int8": "int8", "fp16": "float16", "fp32": "float32"}
ERROR: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error, as text-embeddings-inference has it.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "error": {"type": "string"},
                        "error_type": {"type": "string"},
                    },
                },
                "example": {"error": "The queue is full.", "error_type": "Overloaded"},
            }
        },
    },
    200: {
        "content": {
            "application/json": {
                "example": [
                    {"score": 0.99, "label": "gratitude"},
                    {"score": 0.01, "label": "optimism"},
                ]
            }
        }
    },
}


class PredictRequest(BaseModel):
    """A text, a pair of texts, or a batch of either."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={"example": {"inputs": "I am so grateful", "raw_scores": False}},
    )

    inputs: Annotated[
        Item | Annotated[list[Item], Field(max_length=MAX_TEXTS)],
        Field(union_mode="left_to_right"),  # two strings are a pair and no batch of two
    ]
    """`"text"`, `["text", "its pair"]`, or up to 64: `[["text"], ["text", "its pair"]]`."""
    raw_scores: Annotated[bool, Field(strict=True)] = False
    """Whether to return the model's logits as they are."""
    truncate: bool = False
    """Taken and not needed: a long text is read to its end in windows."""
    truncation_direction: str = "right"
    """Taken and not needed."""


@router.post("/predict", summary="Label as text-embeddings-inference does", responses=ERROR)
async def predict(
    body: PredictRequest, classifier: ClassifierDep, logits: LogitsDep
) -> list[Score] | list[list[Score]]:
    """Score every label, best first: a list for one text or pair, a list of lists for a batch."""
    is_batch = isinstance(body.inputs, list)
    items: list[Item] = body.inputs if isinstance(body.inputs, list) else [body.inputs]
    if not items:
        raise BadRequest("`inputs` cannot be empty", code="Empty")
    asked = ClassifyRequest(
        texts=[item[0] if len(item) == 1 and isinstance(item, tuple) else item for item in items],
        function_to_apply="none" if body.raw_scores else None,
    )
    answer = await routes.classify(asked, classifier, logits)
    scores = [result.scores for result in answer.results]
    return scores if is_batch else scores[0]


@router.get("/health", include_in_schema=False)
async def health(request: Request) -> Response:
    """Answer 200 when `/readyz` does: where this dialect's clients look."""
    if failures := await request.app.state.health.failures():
        raise NotReady("; ".join(f"{name}: {reason}" for name, reason in failures.items()))
    return Response()


def info(classifier: Classifier, settings: Settings) -> Mapping[str, Any]:
    """Return what the dialect's `/info` says, to stand beside our own there."""
    model = classifier.model
    names = {str(number): label for number, label in enumerate(classifier.labels)}
    numbers = {label: number for number, label in enumerate(classifier.labels)}
    return {
        "model_id": model.name,
        "model_sha": model.revision,
        "model_dtype": DTYPES.get(model.backend.rpartition("-")[2], model.backend),
        "model_type": {"classifier": {"id2label": names, "label2id": numbers}},
        "max_input_length": model.max_length,
        "max_batch_tokens": settings.batch_tokens,
        "max_batch_requests": settings.batch_items,
        "max_client_batch_size": MAX_TEXTS,
        "auto_truncate": False,
    }
