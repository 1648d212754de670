"""Collections and their documents."""

import asyncio
import hashlib
import json
from collections.abc import Sequence

from kit.errors import NotFound
from services.rag import postings
from services.rag.database import Connection, Database
from services.rag.postings import Key, no_collection
from services.rag.schemas import Collection, Document, NewDocument, Receipt


class Store:
    """Documents in PostgreSQL.

    A receipt means that the document, its text and its job are committed.
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
            raise no_collection(key)
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
            await postings.lock(connection, key)
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
            await postings.lock(connection, key)
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
            await postings.lock(connection, key)
            await postings.remove(connection, key, document)
            await _delete_job(connection, key, document)
            gone = await connection.fetch(
                "delete from documents where tenant = $1 and collection = $2 and id = $3"
                " returning id",
                *key,
                document,
            )
            if not gone:
                raise _no_document(key, document)


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


def _no_document(key: Key, document: str) -> NotFound:
    return NotFound(f"The collection {key[1]!r} holds no document {document!r}.")
