"""Put the rag service together."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import anyio
import httpx2
from fastapi import FastAPI

import kit.settings
from kit.app import Resources, build_app
from kit.batching import Batcher
from kit.client import ServiceClient
from services.rag import database, document_routes, model, postgres
from services.rag.answers import Answerer
from services.rag.database import Database
from services.rag.ingest import Ingest
from services.rag.jobs import Jobs
from services.rag.memory import Memory
from services.rag.model import Embedder, Vector
from services.rag.retrieval import Retrieval
from services.rag.routes import router
from services.rag.settings import Settings
from services.rag.spaces import Spaces, opened
from services.rag.store import Store

SAMPLE = ["Documents in, cited answers out.", "Ответы со ссылками на документы. " * 20]


def create_app(
    settings: Settings | None = None,
    embedder: Embedder | None = None,
    network: httpx2.AsyncBaseTransport | None = None,
    load: Callable[[str], Embedder] | None = None,
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
            resources = _resources(app, known, db, jobs, spaces, qa)
            await stack.enter_async_context(resources["ingest"].running())
            yield resources

    return build_app(
        "rag",
        description="Documents in, cited answers out.",
        settings=known,
        routers=[router, document_routes.router],
        life=life,
    )


def _resources(
    app: FastAPI,
    settings: Settings,
    db: Database,
    jobs: Jobs,
    spaces: Spaces,
    qa: ServiceClient,
) -> Resources:
    """Build what the routes need on what was opened."""
    store, memory = Store(db), Memory(db)
    retrieval = Retrieval(db, spaces, dense_weights=settings.dense_weights)
    ingest = Ingest(
        jobs,
        spaces,
        max_words=settings.chunk_words,
        lease_seconds=settings.lease_seconds,
        metrics=app.state.metrics,
    )
    answerer = Answerer(
        retrieval, memory, qa, passages=settings.passages, threshold=settings.answer_threshold
    )
    app.state.health.checks["ingest"] = ingest.check
    return {
        "settings": settings,
        "sandboxes": anyio.CapacityLimiter(document_routes.SANDBOXES),
        "store": store,
        "jobs": jobs,
        "memory": memory,
        "retrieval": retrieval,
        "ingest": ingest,
        "answerer": answerer,
    }


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
