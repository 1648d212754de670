"""Put the rag service together."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import anyio
import httpx2
from fastapi import FastAPI

import kit.settings
from kit.app import Resources, build_app
from kit.batching import Batcher
from kit.client import ServiceClient
from kit.text import announce
from services.rag import (
    cross_encoder,
    database,
    dialects,
    document_routes,
    model,
    postgres,
    ranker,
    ranker_routes,
)
from services.rag.answers import Answerer
from services.rag.cross_encoder import CrossEncoder, Reranker
from services.rag.database import Database
from services.rag.followups import FollowUps
from services.rag.ingest import Ingest
from services.rag.jobs import Jobs
from services.rag.memory import Memory
from services.rag.model import Embedder, Vector
from services.rag.ranker import Ranker
from services.rag.rankers import Rankers
from services.rag.retrieval import Retrieval
from services.rag.routes import router
from services.rag.settings import Settings
from services.rag.spaces import Spaces, opened
from services.rag.store import Store
from services.rag.writer import Writer

SAMPLE = ["Documents in, cited answers out.", "Ответы со ссылками на документы. " * 20]


def create_app(
    settings: Settings | None = None,
    embedder: Embedder | None = None,
    network: httpx2.AsyncBaseTransport | None = None,
    load: Callable[[str], Embedder] | None = None,
    judge: CrossEncoder | None = None,
) -> FastAPI:
    """Build the service; tests pass settings, a fake embedder and an in-process network.

    `load` returns an embedder by its reference: the wanted one, and an earlier one after a change.
    """
    known = settings or kit.settings.load(Settings)
    by_reference = load or partial(model.load, known)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[Resources]:
        async with AsyncExitStack() as stack:
            own, reference = embedder, None
            if own is None:
                reference = known.embedder
                own = await anyio.to_thread.run_sync(by_reference, reference)
            db = await stack.enter_async_context(_database(app, known))
            jobs = Jobs(db)
            spaces = await stack.enter_async_context(
                opened(db, jobs, own, reference, run=partial(_batched, app), load=by_reference)
            )
            qa = await stack.enter_async_context(
                ServiceClient("qa", known.qa_url, token=known.internal_token, transport=network)
            )
            reranker = await stack.enter_async_context(_reranker(app, known, judge))
            writer = await stack.enter_async_context(Writer.opened(known))
            order = await anyio.to_thread.run_sync(ranker.load, known)
            opened_here = Opened(db, jobs, spaces, qa, order, reranker, writer)
            resources = _resources(app, known, opened_here)
            await stack.enter_async_context(resources["ingest"].running())
            yield resources

    return build_app(
        "rag",
        description="Documents in, cited answers out.",
        settings=known,
        routers=[router, document_routes.router, ranker_routes.router, *dialects.ROUTERS],
        life=life,
        error_shapes=dialects.ERROR_SHAPES,
    )


@dataclass(frozen=True)
class Opened:
    """What has a life of its own."""

    database: Database
    jobs: Jobs
    spaces: Spaces
    qa: ServiceClient
    ranker: Ranker | None
    reranker: Reranker | None
    writer: Writer | None


def _resources(app: FastAPI, settings: Settings, opened: Opened) -> Resources:
    """Build what the routes need on what was opened."""
    store = Store(opened.database)
    memory = Memory(opened.database, days=settings.conversation_days)
    rankers = Rankers(opened.database, opened.ranker)
    retrieval = Retrieval(
        opened.database,
        opened.spaces,
        dense_weights=settings.dense_weights,
        ranker_of=rankers.of,
        judge=opened.reranker.scores if opened.reranker else None,
    )
    ingest = Ingest(
        opened.jobs,
        opened.spaces,
        max_words=settings.chunk_words,
        lease_seconds=settings.lease_seconds,
        metrics=app.state.metrics,
    )
    answerer = Answerer(
        retrieval,
        memory,
        FollowUps(memory, opened.writer, turns=settings.memory_turns),
        opened.qa,
        opened.writer,
        passages=settings.passages,
        threshold=settings.answer_threshold,
    )
    app.state.health.checks["ingest"] = ingest.check
    return {
        "settings": settings,
        "sandboxes": anyio.CapacityLimiter(document_routes.SANDBOXES),
        "store": store,
        "jobs": opened.jobs,
        "memory": memory,
        "spaces": opened.spaces,
        "rankers": rankers,
        "reranker": opened.reranker,
        "retrieval": retrieval,
        "ingest": ingest,
        "answerer": answerer,
    }


@asynccontextmanager
async def _reranker(
    app: FastAPI, settings: Settings, judge: CrossEncoder | None
) -> AsyncGenerator[Reranker | None]:
    """Run the cross-encoder behind a batcher of its own, if there is one."""
    known = judge or await anyio.to_thread.run_sync(cross_encoder.load, settings)
    if known is None:
        yield None
        return
    batcher = Batcher(known.read, metrics=app.state.metrics, tokens=len)
    sample = await anyio.to_thread.run_sync(cross_encoder.sample, known)
    async with batcher.running(sample, health=app.state.health, name=known.model.name):
        announce(app, known.model)
        yield Reranker(known, batcher)


@asynccontextmanager
async def _batched(app: FastAPI, embedder: Embedder) -> AsyncGenerator[Batcher[str, Vector]]:
    """Run an embedder behind a batcher, named in `/info` and checked by `/readyz`."""
    about = {
        "model": embedder.name,
        "revision": embedder.revision,
        "backend": embedder.backend,
    }
    models = app.state.health.info.setdefault("models", [])
    models.append(about)
    app.state.metrics.model.labels(**about).set(1)
    batcher = Batcher(embedder.embed, metrics=app.state.metrics, tokens=model.cost)
    health, name = app.state.health, f"{embedder.name}@{embedder.revision}"
    async with batcher.running(SAMPLE, health=health, name=name):
        yield batcher
    models.remove(about)  # an earlier embedder goes when another has taken its place
    health.checks.pop(name)
    health.lifelines.pop(name)


@asynccontextmanager
async def _database(app: FastAPI, settings: Settings) -> AsyncGenerator[Database]:
    """Open the configured database, or an own server's."""

    def tell(reason: str) -> None:
        app.state.health.reason = reason

    async with AsyncExitStack() as stack:
        url = settings.database_url.get_secret_value() if settings.database_url else ""
        if not url:
            url = await stack.enter_async_context(postgres.running(settings.data_dir))
        opening = database.opened(url, connections=settings.database_connections, tell=tell)
        db = await stack.enter_async_context(opening)
        app.state.health.checks["database"] = db.check
        yield db
