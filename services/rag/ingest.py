"""Index stored documents in the background, a few at a time."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from kit.errors import NotReady, Overloaded, ServiceError
from kit.metrics import Metrics
from services.rag import chunking, language
from services.rag.chunking import Count, Span
from services.rag.jobs import Job, Jobs, Source
from services.rag.model import Vector
from services.rag.postings import Chunk, Key
from services.rag.schemas import Chunking
from services.rag.spaces import Space, Spaces

LOOK_SECONDS = 2.0  # how often to look for jobs that other processes left
RETRY_SECONDS = 0.5
BACKOFF_SECONDS = 0.5  # before a document is tried again, times the attempts so far
WORKERS = 2  # one embeds while the other commits
EMBED_AT_ONCE = 8  # few, so that questions come in between
MAX_ATTEMPTS = 3
MAX_SILENT_SECONDS = 120.0  # a longer step without a sign of life is a fault

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Piece:
    """A chunk before its vectors are known; `read` is what the embedders read."""

    span: Span
    text: str
    stems: list[str]
    read: str


class Ingest:
    """Takes jobs until it is stopped.

    Survives an absent database. A document that fails, or takes the process down, three times is
    given up with its reason; stopping hands the present one back.
    """

    def __init__(
        self,
        jobs: Jobs,
        spaces: Spaces,
        *,
        max_words: int,
        lease_seconds: float,
        metrics: Metrics,
    ) -> None:
        self._jobs = jobs
        self._spaces = spaces
        self._max_words = max_words
        self._lease_seconds = lease_seconds
        self._indexed = metrics.counter("rag_documents_indexed", "Documents taken up.", ("result",))
        self._waiting = metrics.gauge("rag_documents_waiting", "Documents not yet indexed.")
        self._new = asyncio.Event()
        self._alive_at: dict[str, float] = {}
        self._counted_at = float("-inf")

    def wake(self) -> None:
        """Say that documents were stored."""
        self._new.set()

    async def recut(self, key: Key) -> None:
        """Cut a collection's documents anew where it says so now."""
        await self._jobs.recut(key)
        self.wake()

    async def check(self) -> None:
        """Raise NotReady when a worker stands still."""
        silent = max((time.monotonic() - at for at in self._alive_at.values()), default=0.0)
        if silent > MAX_SILENT_SECONDS:
            raise NotReady(f"The indexing worker has been silent for {silent:.0f} s.")

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Ingest"]:
        """Work until the block ends."""
        workers = [
            asyncio.create_task(self._work(), name=f"ingest {number}") for number in range(WORKERS)
        ]
        try:
            yield self
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self._alive_at.clear()

    def _sign_of_life(self) -> None:
        worker = asyncio.current_task()
        self._alive_at[worker.get_name() if worker else ""] = time.monotonic()

    async def _work(self) -> None:
        while True:
            self._sign_of_life()
            self._new.clear()
            try:
                if await self._one():
                    continue
            except NotReady as error:
                log.warning("ingest_waits", reason=error.detail)
            except Exception:
                log.exception("ingest_stumbled")
            await self._sleep(LOOK_SECONDS)

    async def _one(self) -> bool:
        """Index one document if one waits."""
        if time.monotonic() - self._counted_at > LOOK_SECONDS:  # counting many takes a while
            self._counted_at = time.monotonic()
            self._waiting.set(await self._jobs.waiting())
        job = await self._jobs.claim(self._lease_seconds)
        if job:
            await self._do(job)
        return job is not None

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._new.wait()
        except TimeoutError:
            return

    async def _do(self, job: Job) -> None:
        bound = {"tenant": job.key[0], "collection": job.key[1], "document": job.document}
        try:
            result = await self._patiently(job)
        except asyncio.CancelledError:
            # Best effort: without it the lease ends by itself.
            await asyncio.gather(self._jobs.release(job), return_exceptions=True)
            raise
        except Exception as error:
            log.exception("ingest_failed", attempt=job.attempts, **bound)
            result = "failed"
            if job.attempts >= MAX_ATTEMPTS:
                await self._give_up(job, _reason(error))
            else:  # any worker may try again soon; the lease is for workers that vanish
                await self._jobs.extend(job, BACKOFF_SECONDS * job.attempts)
        self._indexed.labels(result).inc()
        log.info("ingested", result=result, **bound)

    async def _patiently(self, job: Job) -> str:
        """Index, again from the start when the database was away: the document has done no wrong."""
        while True:
            try:
                return await self._index(job)
            except NotReady as error:
                log.warning("ingest_waits", reason=error.detail)
                self._sign_of_life()
                await asyncio.sleep(RETRY_SECONDS)

    async def _index(self, job: Job) -> str:
        source = await self._jobs.source(job)
        if source is None:  # deleted while its job was queued anew
            await self._jobs.discard(job)
            return "gone"
        if job.attempts > MAX_ATTEMPTS:
            await self._give_up(job, "Indexing ended the process several times.")
            return "failed"
        if job.only_vectors:
            return await self._add_vectors(job, source)
        spaces = self._spaces.written
        known = source.language or language.detect(f"{source.title}\n{source.text}")
        count = spaces[0].count_tokens
        pieces = await asyncio.to_thread(_pieces, source, known, self._max_words, count)
        made = {
            space.vectors: await self._embedded(space, [piece.read for piece in pieces], job)
            for space in spaces
        }
        chunks = [
            Chunk(piece.span, piece.text, piece.stems, {key: made[key][place] for key in made})
            for place, piece in enumerate(pieces)
        ]
        embedders = [key.number for key in made]
        is_ours = await self._jobs.index(
            job, chunks, known, chunking=source.chunking, embedders=embedders
        )
        return "indexed" if is_ours else "superseded"

    async def _add_vectors(self, job: Job, source: Source) -> str:
        """Make the vectors that an indexed document lacks; its chunks stay as they are."""
        texts = await self._jobs.chunks(job)
        read = [_read(source.title, text) for text in texts]
        made = {
            space.vectors: await self._embedded(space, read, job)
            for space in self._spaces.written
            if space.vectors.number not in source.embedded_by
        }
        return "embedded" if await self._jobs.add_vectors(job, made) else "superseded"

    async def _embedded(self, space: Space, texts: list[str], job: Job) -> list[Vector]:
        """Embed a few at a time, keeping the job."""
        vectors: list[Vector] = []
        for start in range(0, len(texts), EMBED_AT_ONCE):
            vectors += await _when_there_is_room(space, texts[start : start + EMBED_AT_ONCE])
            await self._jobs.extend(job, self._lease_seconds)
            self._sign_of_life()
        return vectors

    async def _give_up(self, job: Job, reason: str) -> None:
        await self._jobs.fail(job, reason, [one.vectors.number for one in self._spaces.written])


async def _when_there_is_room(space: Space, texts: list[str]) -> list[Vector]:
    """Embed as soon as the model has room; questions go first, for they have deadlines."""
    while True:
        try:
            return await space.embedder.submit_many(texts)
        except Overloaded as error:
            await asyncio.sleep(error.retry_after_seconds)


def _pieces(source: Source, known: str, words: int, count_tokens: Count | None) -> list[Piece]:
    """Cut and stem the document; its title counts in every chunk."""
    title_stems = language.stems(source.title, [known])
    chosen = Chunking.model_validate(source.chunking or {})
    pieces = []
    for span in chunking.cut(source.text, chosen, default_words=words, count_tokens=count_tokens):
        text = source.text[span.start : span.end]
        stems = title_stems + language.stems(text, [known])
        pieces.append(Piece(span, text, stems, _read(source.title, text)))
    return pieces


def _read(title: str, text: str) -> str:
    return f"{title}\n{text}".strip()


def _reason(error: Exception) -> str:
    """Say to a client what went wrong, without internals."""
    if isinstance(error, ServiceError):
        return error.detail
    return f"The document could not be indexed ({type(error).__name__})."
