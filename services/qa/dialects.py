"""Hugging Face's Inference API, as `InferenceClient.question_answering` speaks it.

The client posts to exactly the URL that it is given as `model`. One answer comes back as an object,
several as a list; the client reads both.
"""

from typing import Annotated, Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kit import dialects
from services.qa import routes
from services.qa.routes import BatcherDep, ReaderDep
from services.qa.schemas import AnswerTokens, ContextText, Question, QuestionText, TopK

ERROR_SHAPES = {"/hf": dialects.huggingface}
EXAMPLE = {"answer": "Ada Lovelace", "score": 0.97, "start": 54, "end": 66}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"example": EXAMPLE}}},
    "default": {
        "description": "An error, as the Inference API has it.",
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"error": {"type": "string"}}},
                "example": {"error": "inputs.context: Field required"},
            }
        },
    },
}

router = APIRouter(prefix="/hf", tags=["huggingface"])


class Inputs(BaseModel):
    """A question and the text that may answer it."""

    model_config = ConfigDict(extra="forbid")

    question: QuestionText
    context: ContextText


class Parameters(BaseModel):
    """What the client's `question_answering` takes besides question and context."""

    # A parameter that is not known here is refused instead of ignored.
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    top_k: TopK | None = None
    """How many answers to return at most; unset: one, as an object instead of a list."""
    handle_impossible_answer: Annotated[bool, Field(strict=True)] = False
    """Whether the answer may be empty, when "no answer" is likelier than every passage."""
    max_answer_len: AnswerTokens | None = None
    """Most tokens in an answer before it is widened to whole words; the service's limit holds too."""
    align_to_words: Annotated[bool, Field(strict=True)] = True
    """Must be true: an answer is always whole words."""
    doc_stride: int | None = None
    """Taken and not needed, like the two below: windows are the service's own matter, and all is read."""
    max_seq_len: int | None = None
    max_question_len: int | None = None

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        if not self.align_to_words:
            raise ValueError("align_to_words must be true: answers are whole words")
        return self


class AnswerRequest(BaseModel):
    """A question on a text."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "inputs": {
                    "question": "Who wrote it?",
                    "context": "The first program appeared in 1843. It was written by Ada Lovelace.",
                },
                "parameters": {},
            }
        },
    )

    inputs: Inputs
    parameters: Parameters = Parameters()
    options: dict[str, Any] | None = None
    """Taken from older clients and not needed."""


class Found(BaseModel):
    """A passage of the context: `context[start:end] == answer`, counted in characters."""

    answer: str
    score: float
    start: int
    end: int


@router.post(
    "/question-answering",
    summary="InferenceClient.question_answering",
    responses=RESPONSES,
)
async def question_answering(
    body: AnswerRequest, reader: ReaderDep, batcher: BatcherDep
) -> Found | list[Found]:
    """Find the answer in the context.

    `InferenceClient().question_answering(question=..., context=..., model="http://HOST/hf/question-answering")`.
    """
    asked = Question(
        question=body.inputs.question,
        context=body.inputs.context,
        top_k=body.parameters.top_k or 1,
        max_answer_tokens=body.parameters.max_answer_len,
        allow_no_answer=body.parameters.handle_impossible_answer,
    )
    said = await routes.answer(asked, reader, batcher)
    nothing = Found(answer="", score=said.no_answer_score, start=0, end=0)
    found = [
        Found(answer=answer.text, score=answer.score, start=answer.start, end=answer.end)
        for answer in said.answers
    ] or [nothing]
    return found if (body.parameters.top_k or 1) > 1 else found[0]
