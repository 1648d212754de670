"""Put the rag service together."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import httpx2
from fastapi import FastAPI

import kit.settings
from kit.app import Resources, build_app
from kit.batching import Batcher
from kit.client import ServiceClient
from services.rag import database, model, postgres
from services.rag.answers import Answerer
from services.rag.database import Database
from services.rag.ingest import Ingest
from services.rag.jobs import Jobs
from services.rag.memory import Memory
from services.rag.model import Embedder, Vector
from services.rag.retrieval import Retrieval
from services.rag.routes import router
from services.rag.settings import Settings
from services.rag.store import Store

SAMPLE = ["Documents in, cited answers out.", "Ответы со ссылками на документы. " * 20]


def create_app(
    settings: Settings | None = None,
    embedder: Embedder | None = None,
    network: httpx2.AsyncBaseTransport | None = None,
) -> FastAPI:
    """Build the service; tests pass settings, a fake embedder and an in-process network."""
    known = settings or kit.settings.load(Settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[Resources]:
        async with AsyncExitStack() as stack:
            own = await anyio.to_thread.run_sync(lambda: embedder or model.load(known))
            batcher = await stack.enter_async_context(_batched(app, own))
            db = await stack.enter_async_context(_database(app, known))
            qa = await stack.enter_async_context(
                ServiceClient("qa", known.qa_url, token=known.internal_token, transport=network)
            )
            vectors = f"{own.name}@{own.revision}"  # those of another model are made anew
            resources = _resources(app, known, db, batcher, vectors, qa)
            await resources["jobs"].renew_for(vectors)
            await stack.enter_async_context(resources["ingest"].running())
            yield resources

    return build_app(
        "rag",
        description="Documents in, cited answers out.",
        settings=known,
        routers=[router],
        life=life,
    )


def _resources(
    app: FastAPI,
    settings: Settings,
    db: Database,
    batcher: Batcher[str, Vector],
    vectors: str,
    qa: ServiceClient,
) -> Resources:
    """Build what the routes need on what was opened."""
    store, jobs, memory = Store(db), Jobs(db), Memory(db)
    retrieval = Retrieval(db, batcher, model=vectors, dense_weights=settings.dense_weights)
    ingest = Ingest(
        jobs,
        batcher,
        model=vectors,
        max_words=settings.chunk_words,
        lease_seconds=settings.lease_seconds,
        metrics=app.state.metrics,
    )
    answerer = Answerer(
        retrieval, memory, qa, passages=settings.passages, threshold=settings.answer_threshold
    )
    app.state.health.checks["ingest"] = ingest.check
    return {
        "store": store,
        "jobs": jobs,
        "memory": memory,
        "retrieval": retrieval,
        "ingest": ingest,
        "answerer": answerer,
    }


@asynccontextmanager
async def _batched(app: FastAPI, embedder: Embedder) -> AsyncGenerator[Batcher[str, Vector]]:
    """Run the embedder behind a batcher, named in `/info` and checked by `/readyz`."""
    about = {
        "model": embedder.name,
        "revision": embedder.revision,
        "backend": embedder.backend,
    }
    app.state.health.info["models"] = [about]
    app.state.metrics.model.labels(**about).set(1)
    batcher = Batcher(embedder.embed, metrics=app.state.metrics, tokens=model.cost)
    async with batcher.running(SAMPLE, health=app.state.health, name=embedder.name):
        yield batcher


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
