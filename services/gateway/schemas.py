"""What goes over the wire at the gateway's own endpoints."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

Intent = Literal["draw", "blend", "classify", "answer", "ask", "write", "chat"]
Language = Literal["en", "es", "ru"]
OwnName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{1,62}$")]
"""A tenant's own intent; never one of the seven."""

MAX_PICTURES = 8
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]


class Closed(BaseModel):
    """Refuses fields that it does not know: a misspelt one would be ignored in silence."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Picture(Closed):
    """A picture by exactly one of three ways."""

    url: Annotated[str, Field(min_length=1)] | None = None
    """Its `data:` URL."""
    data: Annotated[str, Field(min_length=1)] | None = None
    """The file itself in base64."""
    picture: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """One that was painted here, as its job names it: `/v1/images/{id}/pictures/{n}`."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if sum(source is not None for source in (self.url, self.data, self.picture)) != 1:
            raise ValueError("give exactly one of `url`, `data` and `picture`")
        return self


class Message(Closed):
    """One earlier turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=100_000)]


class Options(BaseModel):
    """`intent` decides instead of the router; everything else goes to the chosen service as it is."""

    model_config = ConfigDict(
        extra="allow",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"seed": 7}]},
    )
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)  # limits the depth as well

    intent: Intent | OwnName | None = None
    """What to do, whatever the text sounds like; an intent of your own as well."""

    @model_validator(mode="after")
    def _can_be_passed_on(self) -> Self:
        try:
            json.dumps(self.model_extra, allow_nan=False, ensure_ascii=False).encode()
        except ValueError:
            raise ValueError("give no NaN, no Infinity and no half of a character") from None
        return self


class AssistRequest(Closed):
    """A wish in free words, with what belongs to it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "draw a red circle above a blue square"}]}
    )

    text: Text
    """The wish, in English, Spanish or Russian."""
    context: Annotated[str, Field(min_length=1, max_length=1_000_000)] | None = None
    """The text that the wish is about."""
    images: Annotated[list[Picture], Field(max_length=MAX_PICTURES)] = []
    """Pictures that the wish is about."""
    collection: Name | None = None
    """Collection of the knowledge base to ask."""
    conversation_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Conversation with the knowledge base to go on with."""
    history: Annotated[list[Message], Field(max_length=200)] = []
    """What was said before, oldest first; whoever writes and chats reads it."""
    also: Annotated[list[Intent], Field(max_length=7)] = []
    """What else to do with the same text, side by side; a failure there fails nothing else."""
    options: Options = Options()


class Choice(BaseModel):
    """One intent and how sure the router is of it."""

    intent: Intent | OwnName
    confidence: float


class Piece(BaseModel):
    """A piece of the text, in characters: `text[start:end]`."""

    start: int
    end: int


class RouteAnswer(BaseModel):
    """What would be done."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    intent: Intent | Literal["unclear"] | OwnName
    confidence: float
    """Calibrated probability of the intent, or 1 when the request named it."""
    alternatives: list[Choice]
    language: Language
    slots: dict[str, Any]
    """What the intent needs, as found in the text."""
    spans: dict[str, Piece] = {}
    """Where in the text each slot stands; of weights, the stretch that says them."""
    service: str | None
    """Who would do it; null when it is unclear."""
    explanation: Any = None
    """Why: the margin to the next best intent, the threshold, what weighed most, the nearest known phrases."""


class Branch(BaseModel):
    """What became of one further branch."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: int
    """HTTP status of this branch alone."""
    latency_ms: float
    service: str
    output: Any = None
    error: str | None = None


class Timings(BaseModel):
    """Where the time went."""

    route_ms: float
    service_ms: float
    total_ms: float


class Escalation(BaseModel):
    """Why a person should take over, and whether one is called."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Names this escalation in the webhook as well."""
    reasons: list[Literal["no_answer", "anger"]]
    """Nothing in the knowledge base answers; the person is clearly angry."""
    anger: float | None = None
    """The strongest of anger, annoyance and disgust, when the emotion was looked at."""
    notified: bool
    """Whether a webhook is set up and was told; it is delivered in the background."""


class AssistAnswer(BaseModel):
    """What was understood and what came of it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    intent: Intent | Literal["unclear"] | OwnName
    confidence: float
    language: Language
    service: str | None
    slots: dict[str, Any]
    output: Any
    """The service's own answer; for `unclear` a question back and the two closest intents."""
    branches: dict[str, Branch]
    """The `also` branches by intent."""
    escalate: bool = False
    """Whether a person should take over."""
    escalation: Escalation | None = None
    """Why, and what was done about it."""
    timings: Timings
    request_id: str


class ServiceState(BaseModel):
    """Whether a service takes work."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    ready: bool
    reason: str = ""
    """Why it is not ready."""
    paths: list[str] = []
    """Path prefixes that the gateway passes on to it."""


class Services(BaseModel):
    """All services behind the gateway."""

    services: list[ServiceState]
