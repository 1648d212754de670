"""Collections and their documents."""

import asyncio
from collections.abc import Sequence

from kit.errors import NotFound
from services.rag import incoming, postings
from services.rag.database import Database
from services.rag.postings import Key, no_collection
from services.rag.schemas import (
    Change,
    Chunking,
    Collection,
    Document,
    DocumentSummary,
    NewDocument,
    Receipt,
)


class Store:
    """Documents in PostgreSQL.

    A receipt means that the document, its text and its job are committed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, key: Key, description: str, chunking: Chunking | None = None) -> bool:
        """Make or change the collection; tell whether it is new.

        With another chunking all documents are cut anew in the background.
        """
        async with self._database.transaction() as connection:
            found = await connection.fetchval(
                "insert into collections (tenant, name, description, chunking)"
                " values ($1, $2, $3, $4) on conflict (tenant, name) do update"
                " set description = excluded.description,"
                " chunking = coalesce(excluded.chunking, collections.chunking)"
                " returning xmax = 0",
                *key,
                description,
                chunking and chunking.model_dump(exclude_none=True),
            )
        return bool(found)

    async def collection(self, key: Key) -> Collection:
        """Return the collection or raise NotFound."""
        tenant, name = key
        found = await self.collections(tenant, name)
        if not found:
            raise no_collection(key)
        return found[0]

    async def collections(self, tenant: str, name: str | None = None) -> list[Collection]:
        """Return the tenant's collections by name, or only the one called `name`."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "select c.name, c.description, c.chunking, c.chunks, c.changes, c.created_at,"
                " count(*) filter (where d.status = 'ready') as documents,"
                " count(*) filter (where d.status = 'waiting') as waiting,"
                " count(*) filter (where d.status = 'failed') as failed"
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
        digests = await asyncio.to_thread(lambda: [incoming.digest(one) for one in documents])
        async with self._database.transaction() as connection:
            await postings.lock(connection, key)
            return await incoming.add(connection, key, documents, digests)

    async def document(self, key: Key, document: str) -> Document:
        """Return the newest version, indexed or not, or raise NotFound."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                "select id, version, status, error, title, text, metadata, language, chunks, file,"
                " encode(sha256, 'hex') as sha256, created_at from documents"
                " where tenant = $1 and collection = $2 and id = $3 order by version desc limit 1",
                *key,
                document,
            )
        if row is None:
            raise _no_document(key, document)
        return Document(**row)

    async def documents(self, key: Key, after: str, limit: int) -> list[DocumentSummary]:
        """Return the newest versions of the documents behind an id, by id; or raise NotFound."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "select distinct on (id) id, version, status, error, title, chunks, file,"
                " encode(file_sha256, 'hex') as file_sha256 from documents"
                " where tenant = $1 and collection = $2 and id > $3"
                " order by id, version desc limit $4",
                *(*key, after, limit),
            )
            if not rows:
                await postings.require(connection, key)
        return [DocumentSummary(**row) for row in rows]

    async def changes(self, key: Key, after: int, limit: int) -> list[Change]:
        """Return what became of documents since a change's number, in order."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "select change, id, version, status, error, chunks from documents"
                " where tenant = $1 and collection = $2 and change > $3"
                " order by change limit $4",
                *(*key, after, limit),
            )
        return [Change(**row) for row in rows]

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
            if not await incoming.remove(connection, key, document):
                raise _no_document(key, document)


def _no_document(key: Key, document: str) -> NotFound:
    return NotFound(f"The collection {key[1]!r} holds no document {document!r}.")
