"""Question answering, put together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

from kit import settings as kit_settings
from kit.app import Resources, build_app
from kit.batching import Batcher
from kit.text import announce
from services.qa import dialects
from services.qa.model import Reader
from services.qa.routes import WindowBatcher, router
from services.qa.settings import Settings

QUESTION, CONTEXT = "Who wrote it?", "The letter was written by Ada Lovelace in 1843. "


def create_app(settings: Settings | None = None, reader: Reader | None = None) -> FastAPI:
    """Build the service; tests pass settings and a fake model, production passes nothing."""
    chosen = settings or kit_settings.load(Settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[Resources]:
        own = await to_thread.run_sync(lambda: reader or Reader.load(chosen))
        batcher: WindowBatcher = Batcher(
            own.read,
            metrics=app.state.metrics,
            tokens=len,
            max_items=chosen.batch_items,
            max_tokens=chosen.batch_tokens,
            max_queue_ms=chosen.queue_ms,
        )
        sample = [*own.windows(QUESTION, CONTEXT), *own.windows(QUESTION, CONTEXT * 20)]
        async with batcher.running(sample, health=app.state.health, name=own.model.name):
            announce(app, own.model)
            yield {"reader": own, "batcher": batcher}

    return build_app(
        "qa",
        description="Finds the answer to a question in a text of any length.",
        settings=chosen,
        routers=[router, dialects.router],
        life=life,
        error_shapes=dialects.ERROR_SHAPES,
    )
