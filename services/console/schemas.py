"""What a conversation is made of; the browser keeps it, so everything here is small JSON."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

INTENTS = ("draw", "blend", "classify", "answer", "ask", "write", "chat")
MAX_SEED = 2**32
MAX_STEPS = 100
AROUND_CHARS = 400
SHOWN_SCORES = 6

Status = Literal["done", "failed", "cancelled"]


class Lenient(BaseModel):
    """Keeps what it knows of an answer, so that a newer gateway may say more."""

    model_config = ConfigDict(extra="ignore")


class Choice(Lenient):
    """One intent and how sure the router is of it."""

    intent: str
    confidence: float


class Understood(Lenient):
    """What the gateway makes of a wish."""

    intent: str
    confidence: float
    language: str
    alternatives: list[Choice] = []
    service: str | None = None
    slots: dict[str, Any] = {}
    is_forced: bool = False


class Picture(Lenient):
    """A painted picture by its address at the gateway."""

    # It comes back from the browser and is then fetched: no other address may be smuggled in.
    url: str = Field(pattern=r"^/v1/images/[A-Za-z0-9_-]{1,64}/pictures/\d{1,3}$")
    seed: int
    width: int
    height: int


class Passage(Lenient):
    """An answer in the text around it."""

    before: str
    text: str
    after: str

    @classmethod
    def around(cls, text: str, start: int, end: int) -> Self:
        """Cut the surroundings of `text[start:end]`."""
        first, last = max(0, start - AROUND_CHARS), min(len(text), end + AROUND_CHARS)
        before = ("… " if first else "") + text[first:start]
        after = text[end:last] + (" …" if last < len(text) else "")
        return cls(before=before, text=text[start:end], after=after)


class Citation(Lenient):
    """A piece of a document that an answer rests on."""

    document_id: str
    title: str
    text: str
    start: int
    end: int
    score: float


class Score(Lenient):
    """One label and its score."""

    label: str
    score: float


class Turn(Lenient):
    """One wish and what came of it."""

    id: str
    text: str
    status: Status = "done"
    understood: Understood | None = None
    collection: str = ""
    context: str = ""
    problem: str = ""
    said: str = ""
    """What the gateway or a language model answered in words."""
    pictures: list[Picture] = []
    warnings: list[str] = []
    labels: list[str] = []
    scores: list[Score] = []
    passage: Passage | None = None
    confidence: float = 0.0
    """How often such an answer is right."""
    is_answered: bool = True
    citations: list[Citation] = []
    conversation_id: str | None = None

    @property
    def intent(self) -> str:
        """Return what the wish was taken for, if anything."""
        return self.understood.intent if self.understood else ""


class Wish(BaseModel):
    """What a person asks for, as the page collects it."""

    text: str
    context: str = ""
    pictures: list[str] = []
    """Attached pictures in base64."""
    collection: str = ""
    conversation_id: str | None = None
    intent: str | None = None
    """What to do, whatever the text sounds like."""
    seed: int | None = Field(None, ge=0, lt=MAX_SEED)

    steps: int | None = Field(None, ge=1, le=MAX_STEPS)

    def body(self, intent: str | None) -> dict[str, Any]:
        """Return the gateway's request; options go only to the service that knows them."""
        options: dict[str, Any] = {"intent": intent} if intent else {}
        if intent in ("draw", "blend"):
            wanted = {"seed": self.seed, "steps": self.steps}
            options |= {name: value for name, value in wanted.items() if value is not None}
        body: dict[str, Any] = {"text": self.text, "options": options}
        if self.context:
            body["context"] = self.context
        if self.pictures:
            body["images"] = [{"data": picture} for picture in self.pictures]
        if self.collection:
            body["collection"] = self.collection
        if self.conversation_id and intent == "ask":
            body["conversation_id"] = self.conversation_id
        return body


class Blend(BaseModel):
    """Two pictures to mix."""

    pictures: tuple[str, str]
    """In base64."""
    second_percent: int = Field(ge=0, le=100)
    words: str = ""
    seed: int | None = Field(None, ge=0, lt=MAX_SEED)

    def body(self) -> dict[str, Any]:
        """Return imagegen's request; a share of nothing is no ingredient there."""
        weights = (100 - self.second_percent, self.second_percent)
        sources = [
            {"data": picture, "weight": weight}
            for picture, weight in zip(self.pictures, weights, strict=True)
            if weight
        ]
        body: dict[str, Any] = {"sources": sources}
        if self.words:
            body["prompt"] = self.words
        if self.seed is not None:
            body["seed"] = self.seed
        return body
