"""A tenant's own intents over the wire and in GATEWAY_INTENTS."""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic.config import JsonDict

from services.gateway.schemas import Closed, OwnName

NAME: Final = r"^[a-z][a-z0-9_-]{1,62}$"
RESERVED: Final = {
    "draw",
    "blend",
    "classify",
    "answer",
    "ask",
    "write",
    "chat",
    "unclear",
    "other",
}
PLACEHOLDER: Final = re.compile(r"\{(?:text|context|language)\}")
FEWEST, MOST = 3, 200

Service = Literal["classifier", "qa", "imagegen", "rag"]
Wording = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]

EXAMPLE: Final[JsonDict] = {
    "name": "cancel_order",
    "phrases": ["cancel my order", "I don't want the parcel any more", "stop order 4711"],
    "service": "rag",
    "path": "/v1/collections/orders/ask",
    "body": {"question": "How do I cancel an order? {text}"},
}


class OwnIntent(Closed):
    """What people say, and which path of which service then does it."""

    name: OwnName
    """Its name, in lower case."""
    description: Annotated[str, Field(max_length=500)] = ""
    """What it is for, in words."""
    phrases: Annotated[list[Wording], Field(min_length=FEWEST, max_length=MOST)]
    """How people say it: three to twenty varied ones are enough."""
    service: Service
    """Who does it."""
    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]{1,300}$")]
    """The path of that service that gets a POST."""
    body: Annotated[dict[str, JsonValue], Field(default_factory=lambda: {"text": "{text}"})]
    """The JSON to send; `{text}`, `{context}` and `{language}` in its strings are filled in."""

    @model_validator(mode="after")
    def _is_its_own(self) -> Self:
        if self.name in RESERVED:
            raise ValueError(f"`{self.name}` is an intent of the router itself")
        if len(set(map(str.casefold, self.phrases))) < FEWEST:
            raise ValueError(f"give at least {FEWEST} different phrases")
        return self

    def filled(self, *, text: str, context: str, language: str) -> JsonValue:
        """Return the body with the placeholders filled in."""
        known = {"{text}": text, "{context}": context, "{language}": language}
        return _filled(self.body, known)


def _filled(value: JsonValue, known: dict[str, str]) -> JsonValue:
    if isinstance(value, dict):
        return {name: _filled(inner, known) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, known) for inner in value]
    if isinstance(value, str):
        return PLACEHOLDER.sub(lambda found: known[found[0]], value)  # once: a text may hold braces
    return value


class NewIntents(Closed):
    """Intents to add or replace."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"intents": [EXAMPLE]}]})

    intents: Annotated[list[OwnIntent], Field(min_length=1, max_length=100)]


class OwnIntentsList(Closed):
    """A tenant's own intents."""

    intents: list[OwnIntent]
