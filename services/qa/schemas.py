"""What goes over the wire."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from kit.text import READABLE, VISIBLE

MAX_QUESTION_CHARS = 1_000
MAX_CONTEXT_CHARS = 200_000
MAX_ANSWERS = 10


QuestionText = Annotated[
    str, Field(min_length=1, max_length=MAX_QUESTION_CHARS, json_schema_extra=VISIBLE), READABLE
]
ContextText = Annotated[
    str, Field(min_length=1, max_length=MAX_CONTEXT_CHARS, json_schema_extra=VISIBLE), READABLE
]
TopK = Annotated[int, Field(strict=True, ge=1, le=MAX_ANSWERS)]
AnswerTokens = Annotated[int, Field(strict=True, ge=1)]


class Question(BaseModel):
    """A question and the text that may answer it."""

    # A misspelt option is refused instead of ignored.
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    question: QuestionText
    """Up to 1,000 characters."""
    context: ContextText
    """Up to 200,000 characters; a long one is read in overlapping windows, to its end."""
    top_k: TopK = 1
    """How many answers to return at most; they do not overlap."""
    max_answer_tokens: AnswerTokens | None = None
    """Most tokens in an answer before it is widened to whole words; the service's limit holds too."""
    allow_no_answer: Annotated[bool, Field(strict=True)] = True
    """Whether the answer may be that the context holds none; if not, the best guess is returned."""


class Answer(BaseModel):
    """A passage of the context: `context[start:end] == text`, counted in characters."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    text: str
    score: float
    """How often such a passage is right in the text's language; `share` if that was not measured."""
    share: float
    """Share of the probability over all passages and "no answer"; comparable to `no_answer_score`."""
    start: int
    end: int


class Answers(BaseModel):
    """The passages that answer, best first."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    model: str
    answerable: bool
    """False when the model finds it likelier that the context holds no answer."""
    no_answer_score: float
    """Share of the probability that the context holds no answer."""
    answers: list[Answer]
    calibrated_for: str | None
    """Language whose measured quality the scores state: `en`, `es` or `ru`, guessed from the text."""
    windows: int
    """How many overlapping windows the context was read in."""
