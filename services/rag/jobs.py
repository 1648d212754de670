"""Indexing jobs: leased one at a time, and finished in the commit that shows their result."""

from collections.abc import Sequence
from dataclasses import dataclass

from kit.errors import NotFound
from services.rag import postings
from services.rag.database import Connection, Database
from services.rag.postings import Chunk, Key


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


class Jobs:
    """Documents that wait to be indexed, in PostgreSQL.

    A job is one worker's until its lease ends; a worker that lost it changes nothing. Readers see
    the earlier version, whole, until `index` commits the next one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

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

    async def release(self, job: Job) -> None:
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
            await postings.remove(connection, job.key, job.document)
            await postings.insert(connection, job.key, job.document, job.version, chunks)
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


def _fence(job: Job) -> tuple[str, str, str, int, int]:
    return (*job.key, job.document, job.version, job.attempts)
