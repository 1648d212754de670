"""Speak HTTP: collections, documents, search, ask, conversations."""

import re
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from kit.app import Tenant, from_lifespan
from kit.errors import ServiceError, Unprocessable, UnsupportedMedia
from services.rag import uploads
from services.rag.answers import Answerer, Asked
from services.rag.ingest import Ingest
from services.rag.memory import Memory
from services.rag.retrieval import Retrieval
from services.rag.schemas import (
    DOCUMENT_ID,
    NAME,
    Answer,
    AskRequest,
    Collection,
    Collections,
    Conversation,
    Document,
    NewCollection,
    NewDocument,
    NewDocuments,
    Receipt,
    Receipts,
    SearchRequest,
    SearchResults,
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


def _documents_schema() -> dict[str, Any]:
    """Return the body's schema in one piece: a reference would point out of its document."""
    schema = NewDocuments.model_json_schema()
    schema["properties"]["documents"]["items"] = schema.pop("$defs")["NewDocument"]
    return schema


UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _documents_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                    "required": ["files"],
                }
            },
        },
    }
}


@router.get("/collections", summary="List collections")
async def list_collections(tenant: Tenant, store: StoreDep) -> Collections:
    """Return the tenant's collections by name."""
    return Collections(collections=await store.collections(tenant))


@router.put(
    "/collections/{name}",
    summary="Make a collection",
    status_code=201,
    responses={200: {"model": Collection, "description": "It existed; its description is new."}},
)
async def put_collection(
    name: Name,
    tenant: Tenant,
    store: StoreDep,
    response: Response,
    body: NewCollection | None = None,
) -> Collection:
    """Make a collection (201), or change the description of an existing one (200)."""
    is_new = await store.create((tenant, name), body.description if body else "")
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


@router.post(
    "/collections/{name}/documents",
    summary="Add documents",
    status_code=202,
    openapi_extra=UPLOAD,
    responses={201: {"model": Receipts, "description": "Everything is indexed."}},
)
async def add_documents(
    name: Name,
    request: Request,
    response: Response,
    tenant: Tenant,
    store: StoreDep,
    ingest: IngestDep,
    prefer: Annotated[str, Header(description="`wait=N` waits up to N seconds.")] = "",
) -> Receipts:
    """Store documents, all or none, from JSON or from files (Markdown, text, JSON).

    202 means durable and waiting to be indexed, 201 that all can be found already. The same
    content again changes nothing; new content under a known id replaces the old when indexed.
    """
    receipts = await store.add((tenant, name), await _uploaded(request))
    ingest.wake()
    receipts = await _indexed(store, (tenant, name), receipts, _wait_seconds(prefer))
    is_ready = all(receipt.status == "ready" for receipt in receipts)
    response.status_code = 201 if is_ready else 202
    return Receipts(documents=receipts)


@router.get("/collections/{name}/documents/{document_id}", summary="Read a document")
async def get_document(
    name: Name, document_id: DocumentId, tenant: Tenant, store: StoreDep
) -> Document:
    """Return the document's text, in which citations count, and how far its indexing is."""
    return await store.document((tenant, name), document_id)


@router.delete(
    "/collections/{name}/documents/{document_id}", summary="Delete a document", status_code=204
)
async def delete_document(
    name: Name, document_id: DocumentId, tenant: Tenant, store: StoreDep
) -> None:
    """Delete the document; no search finds it from now on."""
    await store.delete((tenant, name), document_id)


@router.post("/collections/{name}/search", summary="Search")
async def search(
    name: Name, body: SearchRequest, tenant: Tenant, retrieval: RetrievalDep
) -> SearchResults:
    """Find passages by meaning (`dense`), by words (`keyword`, BM25) or by both (`hybrid`).

    `filter` keeps documents whose metadata holds the given value, or one of a list of values.
    """
    results = await retrieval.search(
        (tenant, name), body.query, k=body.k, mode=body.mode, where=body.filter
    )
    return SearchResults(mode=body.mode, results=results)


@router.post(
    "/collections/{name}/ask",
    summary="Ask",
    response_model=Answer,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def ask(name: Name, body: AskRequest, tenant: Tenant, answerer: AnswererDep) -> Any:
    """Answer a question with the sentence that holds the answer and where it stands.

    When the documents hold none, `answered` is false and the citations are the closest passages.
    With `stream` the events `passages` and `answer` come as soon as they are known.
    """
    asked = await answerer.find(
        (tenant, name), body.question, conversation=body.conversation_id, where=body.filter
    )
    if body.stream:
        return StreamingResponse(_events(answerer, asked), media_type="text/event-stream")
    return await answerer.answer(asked)


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


async def _uploaded(request: Request) -> list[NewDocument]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        # Megabytes of JSON take long enough to parse that the event loop would feel it.
        parsed = await anyio.to_thread.run_sync(uploads.from_json, await request.body())
        return parsed.documents
    if kind == "multipart/form-data":
        return await _from_files(request)
    raise UnsupportedMedia("Send application/json or multipart/form-data with files.")


async def _from_files(request: Request) -> list[NewDocument]:
    documents: list[NewDocument] = []
    async with request.form(max_files=MAX_FILES, max_fields=MAX_FILES) as form:
        parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        for part in parts:
            content = await part.read()
            documents += await anyio.to_thread.run_sync(
                uploads.from_file, part.filename or "", content
            )
    if not documents:
        raise Unprocessable("The form holds no files.")
    return documents


def _wait_seconds(prefer: str) -> float:
    """Read `wait=N` of RFC 7240; what cannot be read is no preference."""
    found = re.search(r"\bwait=(\d{1,4})\b", prefer)
    return min(MAX_WAIT_SECONDS, float(found.group(1))) if found else 0.0


async def _indexed(
    store: Store, key: tuple[str, str], receipts: list[Receipt], seconds: float
) -> list[Receipt]:
    """Look again until no document waits or the time is over."""
    with anyio.move_on_after(seconds):
        while any(receipt.status == "waiting" for receipt in receipts):
            await anyio.sleep(POLL_SECONDS)
            receipts = await store.receipts(key, receipts)
    return receipts


async def _events(answerer: Answerer, asked: Asked) -> AsyncGenerator[str]:
    """Send the passages, then the answer; a failure after the first byte is an event as well."""
    yield _event("passages", SearchResults(mode="hybrid", results=asked.passages))
    try:
        yield _event("answer", await answerer.answer(asked))
    except ServiceError as error:
        yield _event("error", Failure(status=int(error.status), detail=error.detail))


class Failure(BaseModel):
    """What an `error` event says."""

    status: int
    detail: str


def _event(name: str, data: BaseModel) -> str:
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n"
