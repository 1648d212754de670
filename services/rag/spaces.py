"""The embedder that is wanted and, until it has seen every document, the one that answers."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import anyio
import structlog

from kit.batching import Batcher
from kit.errors import NotReady
from services.rag import vectors
from services.rag.chunking import Count
from services.rag.database import Database
from services.rag.jobs import Jobs
from services.rag.model import Embedder, Vector
from services.rag.vectors import Vectors

LOOK_SECONDS = 2.0  # how often to see whether the wanted embedder has caught up
RENEW_SECONDS = 300.0  # how often to look for documents that another process made otherwise
RETRY_SECONDS = 0.25
GRACE_SECONDS = 5.0  # for questions that the earlier embedder is busy with
PROBE = "How long is a vector?"

T = TypeVar("T")
log = structlog.get_logger(__name__)
Run = Callable[[Embedder], AbstractAsyncContextManager[Batcher[str, Vector]]]
Load = Callable[[str], Embedder]


@dataclass(frozen=True)
class Space:
    """An embedder at work, and where its vectors are."""

    vectors: Vectors
    embedder: Batcher[str, Vector]
    count_tokens: Count | None = None


class Spaces:
    """Which embedder questions use, and which ones documents get vectors from.

    After a change of embedder the earlier one goes on answering, new documents included, until the
    new one has made all its vectors. An earlier one that cannot be loaded any more leaves the
    questions to the new one's vectors so far, and to words.
    """

    def __init__(self, wanted: Space, earlier: Space | None = None) -> None:
        self._wanted = wanted
        self._earlier = earlier

    @property
    def asked(self) -> Space:
        """Return the one for questions."""
        return self._earlier or self._wanted

    @property
    def written(self) -> list[Space]:
        """Return those for documents."""
        return [self._wanted, *([self._earlier] if self._earlier else [])]

    def cut_over(self) -> None:
        """Leave the earlier one."""
        self._earlier = None


@asynccontextmanager
async def opened(
    database: Database, jobs: Jobs, wanted: Embedder, reference: str | None, *, run: Run, load: Load
) -> AsyncGenerator[Spaces]:
    """Run the wanted embedder, and the earlier one while documents lack vectors; queue these.

    `run` puts an embedder to work, `load` returns one by its reference or raises.
    """
    async with AsyncExitStack() as stack, AsyncExitStack() as until_cut_over:
        space = await _entered(stack, run, database, wanted, reference)
        number = space.vectors.number
        earlier = None
        if not await _patiently(lambda: vectors.are_complete(database, number)):
            earlier = await _earlier(until_cut_over, run, load, database, number)
        spaces = Spaces(space, earlier)
        watcher = asyncio.create_task(_watch(spaces, database, jobs, number, until_cut_over))
        try:
            yield spaces
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)


async def _entered(
    stack: AsyncExitStack, run: Run, database: Database, embedder: Embedder, reference: str | None
) -> Space:
    batcher = await stack.enter_async_context(run(embedder))
    dimensions = len(await batcher.submit(PROBE))
    name = f"{embedder.name}@{embedder.revision}"
    found = await _patiently(lambda: vectors.registered(database, name, reference, dimensions))
    return Space(found, batcher, getattr(embedder, "count_tokens", None))


async def _earlier(
    stack: AsyncExitStack, run: Run, load: Load, database: Database, number: int
) -> Space | None:
    """Return the embedder that made most documents' vectors, if it can still be had."""
    found = await _patiently(lambda: vectors.fullest_but(database, number))
    if found is None:
        return None
    before, reference = found
    try:
        embedder = await anyio.to_thread.run_sync(load, reference)
    except Exception as error:  # noqa: BLE001 - whatever hinders it, the service can do without
        log.warning("earlier_embedder_gone", embedder=before.name, reason=str(error))
        return None
    name = f"{embedder.name}@{embedder.revision}"
    if name != before.name:
        log.warning("earlier_embedder_gone", embedder=before.name, reason=f"now it is {name}")
        return None
    log.info("earlier_embedder_answers", embedder=name)
    return Space(before, await stack.enter_async_context(run(embedder)))


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask the database again until it is there: it may go away while a service starts."""
    while True:
        try:
            return await ask()
        except NotReady as error:
            log.warning("start_waits", reason=error.detail)
            await asyncio.sleep(RETRY_SECONDS)


async def _watch(
    spaces: Spaces, database: Database, jobs: Jobs, number: int, until_cut_over: AsyncExitStack
) -> None:
    """Queue what lacks vectors, again and again, and leave the earlier embedder when none does."""
    renew_at = 0.0
    while True:
        try:
            if anyio.current_time() >= renew_at:
                await jobs.renew_for(number)
                await jobs.recut()
                renew_at = anyio.current_time() + RENEW_SECONDS
            if len(spaces.written) > 1 and await vectors.are_complete(database, number):
                spaces.cut_over()
                log.info("embedder_changed", embedder=spaces.asked.vectors.name)
                await asyncio.sleep(GRACE_SECONDS)
                await until_cut_over.aclose()
        except NotReady as error:
            log.warning("embedder_watch_waits", reason=error.detail)
        except Exception:
            log.exception("embedder_watch_stumbled")
        await asyncio.sleep(LOOK_SECONDS)
