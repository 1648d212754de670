"""What goes over the wire."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from kit.text import READABLE, VISIBLE

MAX_TEXTS = 64
MAX_CHARS = 20_000
MAX_LABELS = 100

Text = Annotated[
    str, Field(min_length=1, max_length=MAX_CHARS, json_schema_extra=VISIBLE), READABLE
]
Pair = tuple[Text, Text]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]
Function = Literal["sigmoid", "softmax", "none"]
TopK = Annotated[int, Field(strict=True, ge=1)]
LabelName = Annotated[str, Field(min_length=1, max_length=200, json_schema_extra=VISIBLE), READABLE]
LabelNames = Annotated[
    list[LabelName],
    Field(min_length=1, max_length=MAX_LABELS, json_schema_extra={"uniqueItems": True}),
]
Template = Annotated[
    str, Field(max_length=200, json_schema_extra={"pattern": r"^[^{}]*\{\}[^{}]*$"})
]
Probability = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]


class _Request(BaseModel):
    # A misspelt option is refused instead of ignored.
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ClassifyRequest(_Request):
    """Texts to label with the model's own labels."""

    texts: Annotated[list[Text | Pair], Field(min_length=1, max_length=MAX_TEXTS)]
    """1 to 64 texts of up to 20,000 characters; a pair of texts for a model that compares two."""
    threshold: Probability | Literal["calibrated"] | None = None
    """Least score of a label; `calibrated` uses the model's own threshold per label.

    Unset: `calibrated` if the model has such thresholds, else 0.5."""
    function_to_apply: Function | None = None
    """What makes `scores` of the model's logits; unset: what the model was trained with.

    `labels` always come from the latter."""
    top_k: TopK | None = None
    """How many scores to return per text, best first; all when unset. `labels` is not cut."""


class ZeroShotRequest(_Request):
    """Texts to label with labels of your own."""

    texts: Texts
    """1 to 64 texts of up to 20,000 characters."""
    labels: LabelNames
    """1 to 100 different labels."""
    multi_label: Annotated[bool, Field(strict=True)] = False
    """Whether several labels, or none, may be right; each is then scored on its own."""
    template: Template = "{}"
    """Sentence that a label is put into, in place of its `{}`; by default the label alone."""


class Score(BaseModel):
    """One label's probability."""

    label: str
    score: float


class Result(BaseModel):
    """One text's labels."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    labels: list[str]
    """Labels that reach the threshold, best first."""
    scores: list[Score]
    """Scores, best first."""
    windows: int
    """How many overlapping windows the text was read in; 1 unless it is long."""
    truncated: Literal[False] = False
    """Always false: a long text is read to its end."""


class Classification(BaseModel):
    """The answer, one result per text in the order given."""

    model: str
    results: list[Result]
