"""Indexing jobs: leased one at a time, and finished in the commit that shows their result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import NotFound
from services.rag import postings
from services.rag.database import Connection, Database
from services.rag.postings import Chunk, Key
from services.rag.vectors import Vectors


@dataclass(frozen=True)
class Job:
    """One version of a document, leased to a worker; `attempts` fences earlier holders."""

    key: Key
    document: str
    version: int
    attempts: int
    only_vectors: bool


@dataclass(frozen=True)
class Source:
    """What a worker needs to index a document."""

    title: str
    text: str
    language: str | None
    chunking: dict[str, Any] | None
    embedded_by: list[int]


class Jobs:
    """Documents that wait to be indexed, in PostgreSQL.

    A job is one worker's until its lease ends; a worker that lost it changes nothing. Readers see
    the earlier version, whole, until `index` commits the next one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def renew_for(self, embedder: int) -> int:
        """Queue every indexed document that lacks this embedder's vectors; return how many."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                "insert into jobs (tenant, collection, document, version, only_vectors)"
                " select tenant, collection, id, version, true from documents"
                " where status = 'ready' and not embedded_by @> array[$1::integer]"
                " on conflict do nothing returning 1",
                embedder,
            )
        return len(rows)

    async def recut(self, key: Key | None = None) -> int:
        """Queue every document, of one collection or of all, that was cut otherwise than it should.

        Their chunks are found until the new ones replace them.
        """
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                "insert into jobs (tenant, collection, document, version)"
                " select d.tenant, d.collection, d.id, d.version from documents d"
                " join collections c on c.tenant = d.tenant and c.name = d.collection"
                " where d.status = 'ready' and d.chunking is distinct from c.chunking"
                " and ($1::text is null or (c.tenant, c.name) = ($1, $2))"
                " on conflict (tenant, collection, document) do update set only_vectors = false"
                " where jobs.version = excluded.version returning 1",
                *(key or (None, None)),
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
            (row["tenant"], row["collection"]),
            *(row["document"], row["version"], row["attempts"], row["only_vectors"]),
        )

    async def release(self, job: Job) -> None:
        """Let another worker take the job at once, without counting this attempt."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "update jobs set attempts = attempts - 1, leased_until = '-infinity'"
                " where tenant = $1 and collection = $2 and document = $3"
                " and version = $4 and attempts = $5",
                *_fence(job),
            )

    async def discard(self, job: Job) -> None:
        """Delete a job whose document is gone."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "delete from jobs where tenant = $1 and collection = $2 and document = $3"
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
                "select d.title, d.text, d.language, d.embedded_by, c.chunking"
                " from documents d join collections c on c.tenant = d.tenant"
                " and c.name = d.collection where d.tenant = $1 and d.collection = $2"
                " and d.id = $3 and d.version = $4",
                *_fence(job)[:4],
            )
        return row and Source(**row)

    async def chunks(self, job: Job) -> list[str]:
        """Return the texts of the document's chunks as they are indexed."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "select text from chunks where tenant = $1 and collection = $2"
                " and document = $3 and version = $4 order by position",
                *_fence(job)[:4],
            )
        return [row["text"] for row in rows]

    async def index(
        self,
        job: Job,
        chunks: Sequence[Chunk],
        language: str,
        *,
        chunking: dict[str, Any] | None = None,
        embedders: Sequence[int] = (),
    ) -> bool:
        """Make the chunks visible in place of the earlier version's, in one commit.

        Returns false, having changed nothing, when the job is another worker's or gone.
        """
        async with self._database.transaction() as connection:
            if not await _finish(connection, job):
                return False
            await postings.remove(connection, job.key, job.document)
            await postings.insert(connection, job.key, job.document, job.version, chunks)
            await connection.execute(
                "update documents set status = 'ready', error = null, chunks = $5, language = $6,"
                " embedded_by = $7, chunking = $8, change = $9"
                " where tenant = $1 and collection = $2 and id = $3 and version = $4",
                *(*_fence(job)[:4], len(chunks), language, list(embedders), chunking),
                await _next_change(connection, job.key),
            )
            await connection.execute(
                "delete from documents"
                " where tenant = $1 and collection = $2 and id = $3 and version < $4",
                *_fence(job)[:4],
            )
        return True

    async def add_vectors(
        self, job: Job, embedded: Mapping[Vectors, Sequence[NDArray[np.float32]]]
    ) -> bool:
        """Give the indexed document's chunks more vectors; false when the job is not ours."""
        async with self._database.transaction() as connection:
            if not await _finish(connection, job):
                return False
            for vectors, made in embedded.items():
                await vectors.insert(connection, _fence(job)[:4], made)
            await _note_embedders(connection, job, [vectors.number for vectors in embedded])
        return True

    async def fail(self, job: Job, reason: str, embedders: Sequence[int] = ()) -> None:
        """Give the document up; what was visible stays so.

        Of an indexed document it notes that these embedders are done with it: words still find it.
        """
        async with self._database.transaction() as connection:
            if await _finish(connection, job):
                await connection.execute(
                    "update documents set error = $5, change = $6,"
                    " status = case status when 'waiting' then 'failed' else status end,"
                    " chunking ="
                    " (select c.chunking from collections c where c.tenant = $1 and c.name = $2)"
                    " where tenant = $1 and collection = $2 and id = $3 and version = $4",
                    *(*_fence(job)[:4], reason, await _next_change(connection, job.key)),
                )
                if job.only_vectors:
                    await _note_embedders(connection, job, embedders)

    async def waiting(self) -> int:
        """Return how many documents wait to be indexed, over all tenants."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval("select count(*) from jobs"))


async def _finish(connection: Connection, job: Job) -> bool:
    """Take the collection's row and the job away, unless the job is no longer ours."""
    try:
        await postings.lock(connection, job.key)
    except NotFound:
        return False
    gone = await connection.fetch(
        "delete from jobs where tenant = $1 and collection = $2 and document = $3"
        " and version = $4 and attempts = $5 returning 1",
        *_fence(job),
    )
    return bool(gone)


async def _next_change(connection: Connection, key: Key) -> int:
    """Count a change of the collection, whose row is locked."""
    return int(
        await connection.fetchval(
            "update collections set changes = changes + 1 where tenant = $1 and name = $2"
            " returning changes",
            *key,
        )
    )


async def _note_embedders(connection: Connection, job: Job, numbers: Sequence[int]) -> None:
    await connection.execute(
        "update documents set embedded_by ="
        " array(select distinct one from unnest(embedded_by || $5::integer[]) as one)"
        " where tenant = $1 and collection = $2 and id = $3 and version = $4",
        *(*_fence(job)[:4], list(numbers)),
    )


def _fence(job: Job) -> tuple[str, str, str, int, int]:
    return (*job.key, job.document, job.version, job.attempts)
