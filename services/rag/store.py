"""Collections, documents, their chunks and the jobs that index them."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector, SparseVector

from kit.errors import NotFound
from services.rag import bm25
from services.rag.chunking import Span
from services.rag.database import Connection, Database, Row
from services.rag.schemas import Collection, Document, NewDocument, Receipt

CHUNKS_PER_STATEMENT = 64  # encoding more at once would hold up the event loop
Key = tuple[str, str]
"""A collection: tenant and name."""


@dataclass(frozen=True)
class Job:
    """One version of a document, leased to a worker; `attempts` fences earlier holders."""

    key: Key
    document: str
    version: int
    attempts: int


@dataclass(frozen=True)
class Source:
    """What a worker needs to index a document."""

    title: str
    text: str
    language: str | None


@dataclass(frozen=True)
class Chunk:
    """A piece of a document, ready to be found."""

    span: Span
    text: str
    stems: list[str]
    embedding: NDArray[np.float32]


class Store:
    """Documents in PostgreSQL.

    A receipt means that the document, its text and its job are committed. Readers see a document's
    last indexed version, whole, until the next one replaces it in one commit. What changes a
    collection's statistics takes the collection's row first, so that writers never deadlock.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, key: Key, description: str) -> bool:
        """Make the collection or change its description; tell whether it is new."""
        async with self._database.transaction() as connection:
            found = await connection.fetchval(
                "insert into collections (tenant, name, description) values ($1, $2, $3)"
                " on conflict (tenant, name) do update set description = excluded.description"
                " returning xmax = 0",
                *key,
                description,
            )
        return bool(found)

    async def collection(self, key: Key) -> Collection:
        """Return the collection or raise NotFound."""
        tenant, name = key
        found = [one for one in await self.collections(tenant, name) if one.name == name]
        if not found:
            raise _no_collection(key)
        return found[0]

    async def collections(self, tenant: str, name: str | None = None) -> list[Collection]:
        """Return the tenant's collections by name, or only the one called `name`."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "select c.name, c.description, c.chunks, c.created_at,"
                " count(distinct d.id) filter (where d.status = 'ready') as documents,"
                " count(d.id) filter (where d.status = 'waiting') as waiting,"
                " count(d.id) filter (where d.status = 'failed') as failed"
                " from collections c left join documents d"
                " on d.tenant = c.tenant and d.collection = c.name"
                " where c.tenant = $1 and ($2::text is null or c.name = $2)"
                " group by c.tenant, c.name order by c.name",
                tenant,
                name,
            )
        return [Collection(**row) for row in rows]

    async def drop(self, key: Key) -> None:
        """Delete the collection with everything in it, or raise NotFound."""
        async with self._database.transaction() as connection:
            await _lock(connection, key)
            await connection.execute("delete from jobs where tenant = $1 and collection = $2", *key)
            await connection.execute(
                "delete from collections where tenant = $1 and name = $2", *key
            )

    async def add(self, key: Key, documents: Sequence[NewDocument]) -> list[Receipt]:
        """Store the documents and their jobs in one commit; the same content again changes nothing.

        Raises NotFound when the collection does not exist.
        """
        digests = await asyncio.to_thread(lambda: [_digest(document) for document in documents])
        async with self._database.transaction() as connection:
            await _lock(connection, key)
            return [
                await _add(connection, key, document, digest)
                for document, digest in zip(documents, digests, strict=True)
            ]

    async def document(self, key: Key, document: str) -> Document:
        """Return the newest version, indexed or not, or raise NotFound."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                "select id, version, status, error, title, text, metadata, language, chunks,"
                " encode(sha256, 'hex') as sha256, created_at from documents"
                " where tenant = $1 and collection = $2 and id = $3 order by version desc limit 1",
                *key,
                document,
            )
        if row is None:
            raise _no_document(key, document)
        return Document(**row)

    async def receipts(self, key: Key, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Return the present state of documents that were stored before."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "select id, version, status from documents"
                " where tenant = $1 and collection = $2 and id = any($3)",
                *key,
                [receipt.id for receipt in receipts],
            )
        now = {(row["id"], row["version"]): row["status"] for row in rows}
        return [
            receipt.model_copy(update={"status": now.get((receipt.id, receipt.version), "ready")})
            for receipt in receipts
        ]

    async def delete(self, key: Key, document: str) -> None:
        """Delete all versions of the document, or raise NotFound."""
        async with self._database.transaction() as connection:
            await _lock(connection, key)
            await _remove_chunks(connection, key, document)
            await _delete_job(connection, key, document)
            gone = await connection.fetch(
                "delete from documents where tenant = $1 and collection = $2 and id = $3"
                " returning id",
                *key,
                document,
            )
            if not gone:
                raise _no_document(key, document)

    async def renew_for(self, model: str) -> int:
        """Queue every document whose vectors another model made; return how many."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                "insert into jobs (tenant, collection, document, version)"
                " select tenant, collection, id, version from documents"
                " where status = 'ready' and model is distinct from $1"
                " on conflict do nothing returning 1",
                model,
            )
        return len(rows)

    async def claim(self, lease_seconds: float) -> Job | None:
        """Lease the job that waits longest; none when all are leased or done."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                "update jobs set attempts = attempts + 1,"
                " leased_until = now() + make_interval(secs => $1)"
                " where (tenant, collection, document) = (select tenant, collection, document"
                " from jobs where leased_until < now() order by queued_at limit 1"
                " for update skip locked) returning *",
                lease_seconds,
            )
        return row and Job(
            (row["tenant"], row["collection"]), row["document"], row["version"], row["attempts"]
        )

    async def give_back(self, job: Job) -> None:
        """Let another worker take the job at once, without counting this attempt."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "update jobs set attempts = attempts - 1, leased_until = '-infinity'"
                " where tenant = $1 and collection = $2 and document = $3"
                " and version = $4 and attempts = $5",
                *_fence(job),
            )

    async def extend(self, job: Job, lease_seconds: float) -> None:
        """Keep the job for longer."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "update jobs set leased_until = now() + make_interval(secs => $6)"
                " where tenant = $1 and collection = $2 and document = $3"
                " and version = $4 and attempts = $5",
                *_fence(job),
                lease_seconds,
            )

    async def source(self, job: Job) -> Source | None:
        """Return the text to index, or none when it was deleted or replaced."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                "select title, text, language from documents"
                " where tenant = $1 and collection = $2 and id = $3 and version = $4",
                *_fence(job)[:4],
            )
        return row and Source(**row)

    async def index(self, job: Job, chunks: Sequence[Chunk], language: str, model: str) -> bool:
        """Make the chunks visible in place of the earlier version's, in one commit.

        Returns false, having changed nothing, when the job is another worker's or gone.
        """
        async with self._database.transaction() as connection:
            if not await _finish(connection, job):
                return False
            await _remove_chunks(connection, job.key, job.document)
            await _insert_chunks(connection, job, chunks)
            await connection.execute(
                "update documents set status = 'ready', error = null, chunks = $5, language = $6,"
                " model = $7 where tenant = $1 and collection = $2 and id = $3 and version = $4",
                *_fence(job)[:4],
                len(chunks),
                language,
                model,
            )
            await connection.execute(
                "delete from documents"
                " where tenant = $1 and collection = $2 and id = $3 and version < $4",
                *_fence(job)[:4],
            )
        return True

    async def fail(self, job: Job, reason: str) -> None:
        """Give the document up; an earlier version stays visible."""
        async with self._database.transaction() as connection:
            if await _finish(connection, job):
                await connection.execute(
                    "update documents set status = 'failed', error = $5"
                    " where tenant = $1 and collection = $2 and id = $3 and version = $4",
                    *_fence(job)[:4],
                    reason,
                )

    async def waiting(self) -> int:
        """Return how many documents wait to be indexed, over all tenants."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval("select count(*) from jobs"))


async def _lock(connection: Connection, key: Key) -> Row:
    row = await connection.fetchrow(
        "select chunks, stems from collections where tenant = $1 and name = $2 for no key update",
        *key,
    )
    if row is None:
        raise _no_collection(key)
    return row


async def _add(connection: Connection, key: Key, document: NewDocument, digest: bytes) -> Receipt:
    identity = document.id or digest.hex()[:20]
    last = await connection.fetchrow(
        "select version, sha256, status from documents"
        " where tenant = $1 and collection = $2 and id = $3 order by version desc limit 1",
        *key,
        identity,
    )
    if last and last["sha256"] == digest and last["status"] != "failed":
        return Receipt(id=identity, version=last["version"], status=last["status"])
    version = last["version"] + 1 if last else 1
    await connection.execute(
        "delete from documents"
        " where tenant = $1 and collection = $2 and id = $3 and status <> 'ready'",
        *key,
        identity,
    )
    await connection.execute(
        "insert into documents"
        " (tenant, collection, id, version, sha256, title, text, metadata, language, status)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'waiting')",
        *(*key, identity, version, digest),
        *(document.title, document.text, document.metadata, document.language),
    )
    await _delete_job(connection, key, identity)
    await connection.execute(
        "insert into jobs (tenant, collection, document, version) values ($1, $2, $3, $4)",
        *(*key, identity, version),
    )
    return Receipt(id=identity, version=version, status="waiting")


def _digest(document: NewDocument) -> bytes:
    content = document.model_dump(exclude={"id"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()


async def _delete_job(connection: Connection, key: Key, document: str) -> None:
    await connection.execute(
        "delete from jobs where tenant = $1 and collection = $2 and document = $3", *key, document
    )


async def _finish(connection: Connection, job: Job) -> bool:
    """Take the collection's row and the job away, unless the job is no longer ours."""
    try:
        await _lock(connection, job.key)
    except NotFound:
        return False
    gone = await connection.fetch(
        "delete from jobs where tenant = $1 and collection = $2 and document = $3"
        " and version = $4 and attempts = $5 returning 1",
        *_fence(job),
    )
    return bool(gone)


async def _remove_chunks(connection: Connection, key: Key, document: str) -> None:
    """Delete the document's chunks and take them out of the statistics."""
    await connection.execute(
        "with gone as (delete from chunks where tenant = $1 and collection = $2 and document = $3"
        "  returning words, stems),"
        " counted as (select term, count(*) as chunks"
        "  from gone, unnest(tsvector_to_array(words)) as term group by term),"
        " corrected as (update terms t set chunks = t.chunks - counted.chunks from counted"
        "  where t.tenant = $1 and t.collection = $2 and t.term = counted.term)"
        " update collections set chunks = chunks - (select count(*) from gone),"
        "  stems = stems - (select coalesce(sum(stems), 0) from gone)"
        " where tenant = $1 and name = $2",
        *key,
        document,
    )


async def _insert_chunks(connection: Connection, job: Job, chunks: Sequence[Chunk]) -> None:
    """Insert the chunks and count them in the statistics."""
    row = await connection.fetchrow(
        "update collections set chunks = chunks + $3, stems = stems + $4"
        " where tenant = $1 and name = $2 returning chunks, stems",
        *job.key,
        len(chunks),
        sum(len(chunk.stems) for chunk in chunks),
    )
    average = row["stems"] / row["chunks"]
    prepared = await asyncio.to_thread(_rows, job, chunks, average)
    for start in range(0, len(prepared), CHUNKS_PER_STATEMENT):
        await connection.executemany(
            "insert into chunks values"
            " ($1, $2, $3, $4, $5, $6, $7, $8, $9, array_to_tsvector($10::text[]), $11, $12)",
            prepared[start : start + CHUNKS_PER_STATEMENT],
        )
    counts = Counter(stem for chunk in chunks for stem in set(chunk.stems))
    await connection.execute(
        "insert into terms select $1, $2, * from unnest($3::text[], $4::integer[])"
        " on conflict (tenant, collection, term)"
        " do update set chunks = terms.chunks + excluded.chunks",
        *job.key,
        list(counts),
        list(counts.values()),
    )


def _rows(job: Job, chunks: Sequence[Chunk], average_stems: float) -> list[tuple[Any, ...]]:
    return [
        (
            *(*job.key, job.document, job.version, position),
            *(chunk.span.start, chunk.span.end, chunk.text, len(chunk.stems)),
            sorted(set(chunk.stems)),
            SparseVector(bm25.document_vector(chunk.stems, average_stems), bm25.DIMENSIONS),
            HalfVector(chunk.embedding),
        )
        for position, chunk in enumerate(chunks)
    ]


def _fence(job: Job) -> tuple[str, str, str, int, int]:
    return (*job.key, job.document, job.version, job.attempts)


def _no_collection(key: Key) -> NotFound:
    return NotFound(f"There is no collection {key[1]!r}.")


def _no_document(key: Key, document: str) -> NotFound:
    return NotFound(f"The collection {key[1]!r} holds no document {document!r}.")
