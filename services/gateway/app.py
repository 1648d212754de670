"""The front door: one address for every service, and one endpoint that takes free text."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
from fastapi import FastAPI

from kit import dialects, models
from kit.app import Resources, build_app
from kit.settings import load
from services.gateway import routes
from services.gateway.assist import Assistant, IntentRouter
from services.gateway.limits import Keys
from services.gateway.openapi import MergedDocument
from services.gateway.router import Router, RouteRequest
from services.gateway.settings import Settings
from services.gateway.skills import Skills
from services.gateway.upstreams import Upstreams, owner

# What fails here on a service's path is told in the words of the service's dialect.
ERROR_SHAPES = {"/hf": dialects.huggingface, "/predict": dialects.tei, "/v2": dialects.oip}
DESCRIPTION = "Free text in, the right model's answer out; every service's own paths besides."


def create_app(
    settings: Settings | None = None,
    router: IntentRouter | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> FastAPI:
    """Build the gateway; tests pass settings, a fake router and an in-process network."""
    settings = settings or load(Settings)
    keys = Keys.from_settings(settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[Resources]:
        intents = router
        if intents is None:
            intents = await asyncio.to_thread(_load_router, app, settings)

        async def canary() -> None:
            await asyncio.to_thread(intents.route, RouteRequest("draw a red circle"))

        app.state.health.checks["router"] = canary
        async with Upstreams.connected(settings, transport) as upstreams:
            document = MergedDocument(
                app.openapi(),
                upstreams,
                owner,
                needs_key=keys.are_needed,
                refresh_seconds=settings.openapi_refresh_seconds,
            )
            app.openapi = document.current  # type: ignore[method-assign] # FastAPI's way to extend it
            refreshing = asyncio.create_task(document.keep_fresh(), name="openapi")
            try:
                assistant = Assistant(intents, Skills(upstreams, settings))
                yield {"assistant": assistant, "upstreams": upstreams}
            finally:
                refreshing.cancel()
                await asyncio.gather(refreshing, return_exceptions=True)

    app = build_app(
        "gateway",
        description=DESCRIPTION,
        settings=settings,
        routers=[routes.router, routes.passed_on],
        life=life,
        error_shapes=ERROR_SHAPES,
        public=True,
    )
    app.state.keys = keys
    return app


def _load_router(app: FastAPI, settings: Settings) -> Router:
    model = models.resolve(settings.model, settings.models_dir)
    app.state.health.info["model"] = {"name": model.name, "revision": model.revision}
    app.state.metrics.model.labels(model.name, model.revision, "numpy").set(1)
    return Router.load(model.path)
