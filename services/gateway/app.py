"""The front door: one address for every service, and one endpoint that takes free text."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx2
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from kit import dialects, models
from kit.app import Resources, build_app
from kit.settings import load
from services.gateway import intents_routes, routes
from services.gateway.assist import Assistant, IntentRouter
from services.gateway.dialects import huggingface, openai, openai_chat, openai_images
from services.gateway.escalation import Escalations
from services.gateway.gate import Gate, Keys
from services.gateway.intents_store import FileStore, IntentsStore, RedisStore
from services.gateway.keys import KeysInFile, WrongKey, store_of
from services.gateway.limits import Allowances
from services.gateway.openapi import MergedDocument
from services.gateway.own_intents import OwnIntents, read_file
from services.gateway.router import Router, RouteRequest
from services.gateway.settings import Settings
from services.gateway.skills import Skills
from services.gateway.upstreams import Upstreams, owner

# What fails here on a service's path is told in the words of the service's dialect.
ERROR_SHAPES = {
    "/hf": dialects.huggingface,
    "/predict": dialects.tei,
    "/embed": dialects.tei,
    "/rerank": dialects.tei,
    "/similarity": dialects.tei,
    "/v2": dialects.oip,
    "/v1/chat": dialects.openai,
    "/v1/models": dialects.openai,
    "/v1/embeddings": dialects.openai,
    "/v1/images/generations": dialects.openai,
}
DESCRIPTION = "Free text in, the right model's answer out; every service's own paths besides."
EXPOSED = ["RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID", "Location"]


def create_app(
    settings: Settings | None = None,
    router: IntentRouter | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> FastAPI:
    """Build the gateway; tests pass settings, a fake router and an in-process network."""
    settings = settings or load(Settings)
    keys = _keys(settings)
    common = read_file(settings.intents)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[Resources]:
        intents = router
        if intents is None:
            intents = await asyncio.to_thread(_load_router, app, settings)

        async def canary() -> None:
            await asyncio.to_thread(intents.route, RouteRequest("draw a red circle"))

        app.state.health.checks["router"] = canary
        async with AsyncExitStack() as stack:
            upstreams = await stack.enter_async_context(Upstreams.connected(settings, transport))
            allowances = await stack.enter_async_context(Allowances.connected(settings))
            document = MergedDocument(
                app.openapi(),
                upstreams,
                owner,
                needs_key=keys.are_needed,
                refresh_seconds=settings.openapi_refresh_seconds,
            )
            app.openapi = document.current  # type: ignore[method-assign] # FastAPI's way to extend it
            stack.push_async_callback(_ended, asyncio.create_task(document.keep_fresh()))
            stack.push_async_callback(_ended, asyncio.create_task(keys.keep_fresh()))
            skills = Skills(upstreams, settings)
            own = OwnIntents(await _intents_store(settings, stack), intents, common)
            escalations = await stack.enter_async_context(Escalations.running(settings))
            yield {
                "assistant": Assistant(intents, skills, own, escalations),
                "own_intents": own,
                "skills": skills,
                "upstreams": upstreams,
                "allowances": allowances,
            }

    app = build_app(
        "gateway",
        description=DESCRIPTION,
        settings=settings,
        routers=[
            openai.router,
            openai_chat.router,
            openai_images.router,
            huggingface.router,
            intents_routes.router,
            routes.router,
        ],
        life=life,
        error_shapes=ERROR_SHAPES,
        public=True,
    )
    app.router.routes.append(routes.PassedOn())
    app.user_middleware.append(Middleware(Gate, keys=keys))  # inside the kit's own
    if origins := [origin.strip() for origin in settings.cors_origins.split(",") if origin]:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=routes.METHODS,
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
    app.state.keys = keys
    return app


def _keys(settings: Settings) -> Keys:
    """Read the keys, or stop the process with one message; Redis may come later."""
    store = store_of(settings)
    try:
        keys = Keys.from_settings(settings, store)
        if isinstance(store, KeysInFile):
            keys.refresh()
    except (OSError, WrongKey) as error:
        sys.stderr.write(f"Wrong setting GATEWAY_KEYS or GATEWAY_KEYS_FILE: {error}.\n")
        raise SystemExit(2) from None
    return keys


async def _intents_store(settings: Settings, stack: AsyncExitStack) -> IntentsStore:
    if settings.redis_url is None:
        return FileStore(settings.data)
    url = settings.redis_url.get_secret_value()
    return await stack.enter_async_context(RedisStore.connected(url))


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _load_router(app: FastAPI, settings: Settings) -> Router:
    model = models.resolve(settings.model, settings.models_dir)
    app.state.health.info["model"] = {"name": model.name, "revision": model.revision}
    app.state.metrics.model.labels(model.name, model.revision, "numpy").set(1)
    return Router.load(model.path)
