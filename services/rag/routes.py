"""Speak HTTP: collections, documents, search, ask, conversations."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from kit.app import Tenant, from_lifespan
from kit.errors import ServiceError
from services.rag.answers import Answerer, Asked
from services.rag.ingest import Ingest
from services.rag.memory import Memory
from services.rag.retrieval import Retrieval, Wish
from services.rag.schemas import (
    DOCUMENT_ID,
    NAME,
    Answer,
    AskRequest,
    Collection,
    Collections,
    Conversation,
    Conversations,
    NewCollection,
    SearchRequest,
    SearchResults,
    Token,
)
from services.rag.store import Store

MAX_FILES = 100
MAX_WAIT_SECONDS = 60.0
POLL_SECONDS = 0.05
JSON_TYPES = ("application/json",)

router = APIRouter(prefix="/v1", tags=["rag"])
StoreDep = Annotated[Store, from_lifespan("store")]
IngestDep = Annotated[Ingest, from_lifespan("ingest")]
RetrievalDep = Annotated[Retrieval, from_lifespan("retrieval")]
AnswererDep = Annotated[Answerer, from_lifespan("answerer")]
MemoryDep = Annotated[Memory, from_lifespan("memory")]
Name = Annotated[str, Path(pattern=NAME, description="The collection's name.")]
DocumentId = Annotated[str, Path(pattern=DOCUMENT_ID)]
ConversationId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]


@router.get("/collections", summary="List collections")
async def list_collections(tenant: Tenant, store: StoreDep) -> Collections:
    """Return the tenant's collections by name."""
    return Collections(collections=await store.collections(tenant))


@router.put(
    "/collections/{name}",
    summary="Make a collection",
    status_code=201,
    responses={200: {"model": Collection, "description": "It existed and is changed."}},
)
async def put_collection(
    name: Name,
    tenant: Tenant,
    store: StoreDep,
    ingest: IngestDep,
    response: Response,
    body: NewCollection | None = None,
) -> Collection:
    """Make a collection (201), or change an existing one (200).

    With another `chunking` its documents are cut anew in the background; what there was is found
    meanwhile.
    """
    wanted = body or NewCollection()
    is_new = await store.create((tenant, name), wanted.description, wanted.chunking)
    if wanted.chunking:
        await ingest.recut((tenant, name))
    response.status_code = 201 if is_new else 200
    return await store.collection((tenant, name))


@router.get("/collections/{name}", summary="Look at a collection")
async def get_collection(name: Name, tenant: Tenant, store: StoreDep) -> Collection:
    """Return how many documents are ready, waiting and failed."""
    return await store.collection((tenant, name))


@router.delete("/collections/{name}", summary="Delete a collection", status_code=204)
async def delete_collection(name: Name, tenant: Tenant, store: StoreDep) -> None:
    """Delete the collection with all its documents."""
    await store.drop((tenant, name))


@router.post("/collections/{name}/search", summary="Search")
async def search(
    name: Name, body: SearchRequest, tenant: Tenant, retrieval: RetrievalDep
) -> SearchResults:
    """Find passages by meaning (`dense`), by words (`keyword`, BM25) or by both (`hybrid`).

    `filter` keeps documents whose metadata holds the given value, or one of a list of values.
    """
    wish = Wish(body.k, body.mode, body.filter, body.fusion, body.rerank)
    best = await retrieval.found((tenant, name), body.query, wish)
    stems = await retrieval.rarity((tenant, name), body.query) if body.highlight else None
    shown = [one.shown(explain=body.explain, stems=stems, query=body.query) for one in best]
    return SearchResults(mode=body.mode, results=shown)


@router.post(
    "/collections/{name}/ask",
    summary="Ask",
    response_model=Answer,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def ask(name: Name, body: AskRequest, tenant: Tenant, answerer: AnswererDep) -> Any:
    """Answer a question from the documents, with the places that say so.

    By default `answer` is the sentence that holds the answer. With a language model (`RAG_LLM_URL`)
    it is written, and each of its sentences was checked against its citation. When the documents
    hold no answer, `answered` is false and the citations are the closest passages. With `stream`
    the events `passages`, `token` (a written sentence) and `answer` come as soon as they are known.
    """
    asked = await answerer.find(
        (tenant, name), body.question, conversation=body.conversation_id, where=body.filter
    )
    if body.stream:
        return StreamingResponse(_events(answerer, asked), media_type="text/event-stream")
    return await answerer.answer(asked)


@router.get("/conversations", summary="List conversations")
async def list_conversations(
    tenant: Tenant, memory: MemoryDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Conversations:
    """Return the tenant's conversations, the one used last first."""
    return Conversations(conversations=await memory.conversations(tenant, limit))


@router.get("/conversations/{conversation_id}", summary="Read a conversation")
async def get_conversation(
    conversation_id: ConversationId, tenant: Tenant, memory: MemoryDep
) -> Conversation:
    """Return the conversation's turns, oldest first."""
    return await memory.read(tenant, conversation_id)


@router.delete("/conversations/{conversation_id}", summary="Delete a conversation", status_code=204)
async def delete_conversation(
    conversation_id: ConversationId, tenant: Tenant, memory: MemoryDep
) -> None:
    """Delete the conversation with its turns."""
    await memory.forget(tenant, conversation_id)


async def _events(answerer: Answerer, asked: Asked) -> AsyncGenerator[str]:
    """Send passages, sentences and the answer; a failure after the first byte is an event as well."""
    yield _event("passages", SearchResults(mode="hybrid", results=asked.passages))
    try:
        async with aclosing(answerer.stream(asked)) as pieces:
            async for piece in pieces:
                yield _event("token" if isinstance(piece, Token) else "answer", piece)
    except ServiceError as error:
        yield _event("error", Failure(status=int(error.status), detail=error.detail))


class Failure(BaseModel):
    """What an `error` event says."""

    status: int
    detail: str


def _event(name: str, data: BaseModel) -> str:
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n"
