"""Speak HTTP: documents in, what becomes of them, and out."""

import re
from collections.abc import AsyncGenerator
from functools import partial
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile

from kit.app import Tenant, from_lifespan
from kit.errors import ServiceError, Unprocessable, UnsupportedMedia
from kit.health import Health
from services.rag import uploads
from services.rag.ingest import Ingest
from services.rag.schemas import (
    DOCUMENT_ID,
    NAME,
    Collection,
    Document,
    DocumentSummaries,
    NewDocument,
    NewDocuments,
    Receipt,
    Receipts,
)
from services.rag.settings import Settings
from services.rag.store import Store
from services.rag.uploads import Reading

MAX_FILES = 100
MAX_FIELDS = 20
MAX_WAIT_SECONDS = 60.0
POLL_SECONDS = 0.05
RECEIPTS_PER_SECOND = 5000  # looked at, at most: an upload may have thousands
EVENT_SECONDS = 0.3  # how often a listener looks: other processes index as well
KEEP_ALIVE_SECONDS = 15.0
CHANGES_AT_ONCE = 500
SANDBOXES = 2  # files parsed at a time by this process

router = APIRouter(prefix="/v1/collections/{name}", tags=["rag"])
StoreDep = Annotated[Store, from_lifespan("store")]
IngestDep = Annotated[Ingest, from_lifespan("ingest")]
SettingsDep = Annotated[Settings, from_lifespan("settings")]
LimiterDep = Annotated[anyio.CapacityLimiter, from_lifespan("sandboxes")]
Name = Annotated[str, Path(pattern=NAME, description="The collection's name.")]
DocumentId = Annotated[str, Path(pattern=DOCUMENT_ID)]
Key = tuple[str, str]


def _documents_schema() -> dict[str, Any]:
    """Return the body's schema in one piece: a reference would point out of its document."""
    schema = NewDocuments.model_json_schema()
    schema["properties"]["documents"]["items"] = schema.pop("$defs")["NewDocument"]
    return schema


FIELDS = {
    "encoding": "Of text files, HTML, CSV and JSONL; UTF-8 by default.",
    "question_column": "The column of CSV and JSONL that becomes the title.",
    "answer_column": "The column that becomes the text.",
    "id_column": "The column that names a row; by default its question does.",
    "metadata_columns": "Columns that become metadata, separated by commas.",
    "metadata": "Metadata of every document of the upload, as JSON.",
}
UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _documents_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        **{
                            name: {"type": "string", "description": text}
                            for name, text in FIELDS.items()
                        },
                    },
                    "required": ["files"],
                }
            },
        },
    }
}


@router.post(
    "/documents",
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
    settings: SettingsDep,
    sandboxes: LimiterDep,
    prefer: Annotated[str, Header(description="`wait=N` waits up to N seconds.")] = "",
) -> Receipts:
    """Store documents, all or none, from JSON or from files.

    Files are Markdown, text, HTML, PDF, Word (docx), JSON like the body, or tables of questions and
    answers (CSV, JSONL). 202 means durable and waiting to be indexed, 201 that all can be found
    already. The same content again changes nothing; new content under a known id replaces the old
    when indexed; a file's documents are those of its last upload.
    """
    documents = await _uploaded(request, settings, sandboxes)
    receipts = await store.add((tenant, name), documents)
    ingest.wake()
    receipts = await _indexed(store, (tenant, name), receipts, _wait_seconds(prefer))
    is_ready = all(receipt.status == "ready" for receipt in receipts)
    response.status_code = 201 if is_ready else 202
    return Receipts(documents=receipts)


@router.get("/documents", summary="List documents")
async def list_documents(
    name: Name,
    tenant: Tenant,
    store: StoreDep,
    after: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DocumentSummaries:
    """Return documents by id; `after=` the answer's `next` goes on."""
    if "\0" in after:
        raise Unprocessable("after: must not contain the NUL character")
    found = await store.documents((tenant, name), after, limit)
    return DocumentSummaries(documents=found, next=found[-1].id if len(found) == limit else None)


@router.get("/documents/{document_id}", summary="Read a document")
async def get_document(
    name: Name, document_id: DocumentId, tenant: Tenant, store: StoreDep
) -> Document:
    """Return the document's text, in which citations count, and how far its indexing is."""
    return await store.document((tenant, name), document_id)


@router.delete("/documents/{document_id}", summary="Delete a document", status_code=204)
async def delete_document(
    name: Name, document_id: DocumentId, tenant: Tenant, store: StoreDep
) -> None:
    """Delete the document; no search finds it from now on."""
    await store.delete((tenant, name), document_id)


@router.get(
    "/events",
    summary="Follow the indexing",
    responses={200: {"content": {"text/event-stream": {}}}},
    response_class=StreamingResponse,
)
async def follow(
    name: Name,
    request: Request,
    tenant: Tenant,
    store: StoreDep,
    last_event_id: Annotated[str, Header(pattern=r"^\d{0,18}$")] = "",
) -> StreamingResponse:
    """Send a `document` event for each that becomes ready or fails, and `progress`, until none waits.

    With `Last-Event-ID`, as browsers send it when a connection broke, nothing is left out;
    without, the events are those from now on.
    """
    collection = await store.collection((tenant, name))
    after = int(last_event_id) if last_event_id else collection.changes
    health: Health = request.app.state.health
    events = _progress(store, (tenant, name), collection, after, health)
    return StreamingResponse(events, media_type="text/event-stream")


async def _progress(
    store: Store, key: Key, collection: Collection, after: int, health: Health
) -> AsyncGenerator[str]:
    """Look again and again; a failure after the first byte is an event as well."""
    yield _event("progress", collection)
    told, silent_since = collection, anyio.current_time()
    try:
        while not health.is_draining:
            changes = await store.changes(key, after, CHANGES_AT_ONCE)
            for change in changes:
                after = change.change
                yield _event("document", change, after)
            if len(changes) == CHANGES_AT_ONCE:
                continue
            collection = await store.collection(key)
            if collection != told:
                yield _event("progress", collection)
                told, silent_since = collection, anyio.current_time()
            elif collection.waiting == 0 and collection.changes <= after:
                yield _event("done", collection)
                return
            elif anyio.current_time() - silent_since > KEEP_ALIVE_SECONDS:
                yield ": waiting\n\n"
                silent_since = anyio.current_time()
            await anyio.sleep(EVENT_SECONDS)
    except ServiceError as error:
        yield _event("error", Failure(status=int(error.status), detail=error.detail))


class Failure(BaseModel):
    """What an `error` event says."""

    status: int
    detail: str


def _event(name: str, data: BaseModel, number: int | None = None) -> str:
    numbered = f"id: {number}\n" if number is not None else ""
    return f"{numbered}event: {name}\ndata: {data.model_dump_json()}\n\n"


async def _uploaded(
    request: Request, settings: Settings, sandboxes: anyio.CapacityLimiter
) -> list[NewDocument]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        # Megabytes of JSON take long enough to parse that the event loop would feel it.
        parsed = await anyio.to_thread.run_sync(uploads.from_json, await request.body())
        return parsed.documents
    if kind == "multipart/form-data":
        async with request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS) as form:
            return await _from_files(form, settings, sandboxes)
    raise UnsupportedMedia("Send application/json or multipart/form-data with files.")


async def _from_files(
    form: FormData, settings: Settings, sandboxes: anyio.CapacityLimiter
) -> list[NewDocument]:
    """Read all files, or raise one error about all that cannot be read."""
    parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    if not parts:
        raise Unprocessable("The form holds no files.")
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    limits = {"max_pages": settings.file_pages, "seconds": settings.file_seconds}
    # In a thread, for an encoding may have to be imported.
    how = await anyio.to_thread.run_sync(partial(uploads.reading, fields, **limits))
    documents: list[NewDocument] = []
    problems: list[tuple[str, ServiceError]] = []
    for part in parts:
        try:
            documents += await _from_file(part, how, sandboxes)
        except ServiceError as error:
            problems.append((part.filename or "", error))
    if problems:
        raise uploads.together(problems)
    return documents


async def _from_file(
    part: UploadFile, how: Reading, sandboxes: anyio.CapacityLimiter
) -> list[NewDocument]:
    content = await part.read()
    name = part.filename or ""
    return [
        *await anyio.to_thread.run_sync(uploads.from_file, name, content, how, limiter=sandboxes)
    ]


def _wait_seconds(prefer: str) -> float:
    """Read `wait=N` of RFC 7240; what cannot be read is no preference."""
    found = re.search(r"\bwait=(\d{1,4})\b", prefer)
    return min(MAX_WAIT_SECONDS, float(found.group(1))) if found else 0.0


async def _indexed(
    store: Store, key: Key, receipts: list[Receipt], seconds: float
) -> list[Receipt]:
    """Look again until no document waits or the time is over."""
    with anyio.move_on_after(seconds):
        while any(receipt.status == "waiting" for receipt in receipts):
            await anyio.sleep(POLL_SECONDS + len(receipts) / RECEIPTS_PER_SECOND)
            receipts = await store.receipts(key, receipts)
    return receipts
