"""Hugging Face's Inference API, as `huggingface_hub.InferenceClient` speaks it.

The client posts to exactly the URL that it is given as `model`, and takes the first element of what
`text_classification` is answered: the labels of one text must come nested in a list.
"""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from services.classifier import routes
from services.classifier.routes import ClassifierDep, EmbeddingsDep, LogitsDep, ZeroShotDep
from services.classifier.schemas import (
    ClassifyRequest,
    Function,
    LabelNames,
    Score,
    Template,
    Text,
    Texts,
    TopK,
    ZeroShotRequest,
)

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


def _answers(example: Any) -> dict[int | str, dict[str, Any]]:
    return {**ERROR, 200: {"content": {"application/json": {"example": example}}}}


class _Parameters(BaseModel):
    # A parameter that is not known here is refused instead of ignored.
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class LabelParameters(_Parameters):
    """What the client's `text_classification` takes besides the text."""

    function_to_apply: Function | None = None
    """What makes scores of the model's logits; unset: what the model was trained with."""
    top_k: TopK | None = None
    """How many labels to return, best first; all when unset."""


class LabelRequest(BaseModel):
    """A text, or several, to label with the model's own labels."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={"example": {"inputs": "I am so grateful", "parameters": {"top_k": 2}}},
    )

    inputs: Text | Texts
    """One text or up to 64."""
    parameters: LabelParameters = LabelParameters()
    options: dict[str, Any] | None = None
    """Taken from older clients and not needed: every answer is computed, every model loaded."""


class ZeroShotParameters(_Parameters):
    """What the client's `zero_shot_classification` takes besides the text."""

    candidate_labels: LabelNames
    """1 to 100 different labels."""
    multi_label: Annotated[bool, Field(strict=True)] = False
    """Whether several labels, or none, may be right; each is then scored on its own."""
    hypothesis_template: Template = "{}"
    """Sentence that a label is put into, in place of its `{}`; by default the label alone."""


class ZeroShotTextRequest(BaseModel):
    """A text to label with labels of your own."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "inputs": "The bank raised its interest rate",
                "parameters": {"candidate_labels": ["finance", "cooking"]},
            }
        },
    )

    inputs: Text
    parameters: ZeroShotParameters
    options: dict[str, Any] | None = None
    """Taken from older clients and not needed."""


@router.post(
    "/text-classification",
    summary="InferenceClient.text_classification",
    responses=_answers(
        [[{"label": "gratitude", "score": 0.99}, {"label": "optimism", "score": 0.01}]]
    ),
)
async def text_classification(
    body: LabelRequest, classifier: ClassifierDep, logits: LogitsDep
) -> list[list[Score]]:
    """Score the labels of each text, best first, one list per text.

    `InferenceClient().text_classification(text, model="http://HOST/hf/text-classification")`.
    """
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    asked = ClassifyRequest(
        texts=texts,
        function_to_apply=body.parameters.function_to_apply,
        top_k=body.parameters.top_k,
    )
    answer = await routes.classify(asked, classifier, logits)
    return [result.scores for result in answer.results]


@router.post(
    "/zero-shot-classification",
    summary="InferenceClient.zero_shot_classification",
    responses=_answers([{"label": "finance", "score": 0.99}, {"label": "cooking", "score": 0.01}]),
)
async def zero_shot_classification(
    body: ZeroShotTextRequest, model: ZeroShotDep, embeddings: EmbeddingsDep
) -> list[Score]:
    """Score labels of your own for a text, best first.

    `InferenceClient().zero_shot_classification(text, labels, model="http://HOST/hf/zero-shot-classification")`.
    """
    asked = ZeroShotRequest(
        texts=[body.inputs],
        labels=body.parameters.candidate_labels,
        multi_label=body.parameters.multi_label,
        template=body.parameters.hypothesis_template,
    )
    answer = await routes.zero_shot(asked, model, embeddings)
    return answer.results[0].scores
