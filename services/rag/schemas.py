"""What goes over the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
DOCUMENT_ID = r"^\w[\w.~ @:+()-]{0,199}$"

Language = Literal["en", "es", "ru"]
Mode = Literal["hybrid", "dense", "keyword"]
Fusion = Literal["shares", "rrf"]
DocumentStatus = Literal["waiting", "ready", "failed"]


def _storable(text: str) -> str:
    """Refuse what PostgreSQL cannot keep in a text."""
    if "\0" in text:
        raise ValueError("must not contain the NUL character")
    return text


def _with_letters(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _is_none(value: object) -> bool:
    return value is None  # what nobody asked for is left out


Storable = AfterValidator(_storable)
Number = Annotated[float, Field(allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Word = Annotated[str, Field(max_length=1000), Storable]
Scalar = bool | Whole | Number | Word | None
Key = Annotated[str, Field(min_length=1, max_length=100), Storable]
Metadata = Annotated[dict[Key, Scalar | list[Scalar]], Field(max_length=50)]
Filter = Annotated[dict[Key, Scalar | list[Scalar]], Field(max_length=20)]
Text = Annotated[
    str, Field(max_length=2_000_000), AfterValidator(_storable), AfterValidator(_with_letters)
]
Title = Annotated[str, Field(max_length=500), Storable]
Question = Annotated[str, Field(max_length=4000), Storable, AfterValidator(_with_letters)]


class Strict(BaseModel):
    """A body in which a misspelt field is an error and not silence."""

    model_config = ConfigDict(extra="forbid")


class Chunking(Strict):
    """How documents are cut; the sizes bound every mode, an overlong part is cut in between.

    `recursive`: whole sentences up to the size, by headings and paragraphs where it can; `window`:
    so many `paragraphs` at a time, every `step` paragraphs. A heading goes with what is below it.
    """

    mode: Literal["recursive", "document", "paragraph", "sentence", "window"] = "recursive"
    max_words: Annotated[int, Field(ge=10, le=10_000)] | None = None
    max_tokens: Annotated[int, Field(ge=32, le=20_000)] | None = None
    """Counted by the embedder's own tokenizer; in place of `max_words`."""
    paragraphs: Annotated[int, Field(ge=1, le=50)] = 3
    step: Annotated[int, Field(ge=1, le=50)] = 1


class NewCollection(Strict):
    """A collection to be made or changed; without `chunking` that stays as it is."""

    description: Annotated[str, Field(max_length=2000), Storable] = ""
    chunking: Chunking | None = None


class Collection(BaseModel):
    """A collection and how far its documents are."""

    name: str
    description: str
    chunking: Chunking | None
    documents: int
    waiting: int
    failed: int
    chunks: int
    changes: int
    created_at: datetime


class Collections(BaseModel):
    """A tenant's collections."""

    collections: list[Collection]


class NewDocument(Strict):
    """A document to be indexed; without an id it gets one that depends on its content only."""

    id: Annotated[str, Field(pattern=DOCUMENT_ID)] | None = None
    title: Title = ""
    text: Text
    metadata: Metadata = {}
    language: Language | None = None


class FileDocument(NewDocument):
    """A document out of a file; a file's documents are those of its last upload."""

    id: Annotated[str, Field(pattern=DOCUMENT_ID)]
    file: str
    file_sha256: str


class NewDocuments(Strict):
    """Documents to be indexed, all of them or none."""

    documents: Annotated[list[NewDocument], Field(min_length=1, max_length=1000)]


class Receipt(BaseModel):
    """A durable document: `waiting` to be indexed, `ready` when it can be found."""

    id: str
    version: int
    status: DocumentStatus


class Receipts(BaseModel):
    """What became of an upload, in its order."""

    documents: list[Receipt]


class Document(BaseModel):
    """A stored document; citations count characters in its `text`."""

    id: str
    version: int
    status: DocumentStatus
    error: str | None
    title: str
    text: str
    metadata: dict[str, Any]
    language: str | None
    chunks: int
    file: str | None
    sha256: str
    created_at: datetime


class DocumentSummary(BaseModel):
    """A document in a list."""

    id: str
    version: int
    status: DocumentStatus
    error: str | None
    title: str
    chunks: int
    file: str | None
    file_sha256: str | None


class DocumentSummaries(BaseModel):
    """Documents by id; `next` goes on behind the last one, if there are more."""

    documents: list[DocumentSummary]
    next: str | None


class Change(BaseModel):
    """What became of a document; numbers grow within its collection."""

    change: int
    id: str
    version: int
    status: DocumentStatus
    error: str | None
    chunks: int


class SearchRequest(Strict):
    """A search."""

    query: Question
    k: Annotated[int, Field(ge=1, le=100)] = 10
    mode: Mode = "hybrid"
    filter: Filter | None = None
    fusion: Fusion = "shares"
    """How hybrid search adds up: shares of the best score, or reciprocal ranks."""
    rerank: bool = True
    """Whether the ranker, and the cross-encoder if one is set, order what hybrid search found."""
    highlight: bool = False
    """Whether to mark the question's words."""
    explain: bool = False
    """Whether to say how each score came about."""


class Citation(BaseModel):
    """A piece of a document: `text` is the document's characters from `start` to `end`."""

    document_id: str
    chunk_id: str
    title: str
    text: str
    start: int
    end: int
    score: float


class Highlight(BaseModel):
    """A word of the question, in characters of the document's text."""

    start: int
    end: int


class Explanation(BaseModel):
    """How a score came about: fused from both legs, then the ranker's, then the cross-encoder's."""

    fused_score: float
    ranker: str | None
    ranker_score: float | None
    reranker_score: float | None
    features: dict[str, float]
    """What the ranker saw: services/rag/features.py."""


class Passage(Citation):
    """A found chunk, and why it stands where it does."""

    metadata: dict[str, Any]
    dense_rank: int | None = None
    dense_score: float | None = None
    keyword_rank: int | None = None
    keyword_score: float | None = None
    highlights: Annotated[list[Highlight] | None, Field(exclude_if=_is_none)] = None
    explanation: Annotated[Explanation | None, Field(exclude_if=_is_none)] = None


class SearchResults(BaseModel):
    """Found chunks, best first."""

    mode: Mode
    results: list[Passage]


class CollectionRanker(BaseModel):
    """A collection's own ranker."""

    name: str
    sha256: str


class AskRequest(Strict):
    """A question to a collection, maybe the next one of a conversation."""

    question: Question
    conversation_id: Annotated[str, Field(max_length=100), Storable] | None = None
    stream: bool = False
    filter: Filter | None = None


class Sentence(BaseModel):
    """A sentence of an answer and which of the citations bear it out, counted from 0."""

    text: str
    citations: list[int]


class Words(BaseModel):
    """The words of a quoted sentence that answer, in characters of the document's text."""

    text: str
    start: int
    end: int


class Answer(BaseModel):
    """What the documents say, or the closest passages instead.

    `quoted` is a sentence of the documents, its line breaks joined; `written` is a language
    model's, of whose sentences only those are left that a citation bears out.
    """

    answer: str | None
    answered: bool
    source: Literal["quoted", "written"] = "quoted"
    words: Words | None = None
    sentences: list[Sentence] = []
    citations: list[Citation]
    conversation_id: str


class Token(BaseModel):
    """A piece of an answer that is being written: a whole sentence, for it was checked."""

    text: str
    citations: list[Citation]


class Turn(BaseModel):
    """One question of a conversation and what was answered."""

    collection: str
    question: str
    answer: str | None
    answered: bool
    citations: list[Citation]
    at: datetime


class Conversation(BaseModel):
    """A conversation, oldest turn first."""

    id: str
    created_at: datetime
    expires_at: datetime
    summary: str
    """Earlier turns in a few words, where a language model is set and the conversation is long."""
    turns: list[Turn]


class ConversationSummary(BaseModel):
    """A conversation without its turns."""

    id: str
    created_at: datetime
    expires_at: datetime
    turns: int


class Conversations(BaseModel):
    """A tenant's conversations, the one used last first."""

    conversations: list[ConversationSummary]
