"""build_app(): a router and a lifespan become a service with everything that all services promise."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request

import kit.errors
import kit.health
import kit.tracing
from kit.errors import BadRequest, ErrorShape, NotReady
from kit.exchange import ExchangeMiddleware
from kit.health import Health
from kit.metrics import Metrics
from kit.models import ModelUnavailable
from kit.settings import ServiceSettings

VERSION = "0.1.0"
TENANT = re.compile(r"[A-Za-z0-9._-]{1,64}")

Resources = Mapping[str, Any]
Life = Callable[[FastAPI], AbstractAsyncContextManager[Resources]]
"""What a service opens at start and closes at the end, yielded by name for `from_lifespan`."""

log = structlog.get_logger(__name__)


def build_app(
    service: str,
    *,
    description: str,
    settings: ServiceSettings,
    routers: Sequence[APIRouter],
    life: Life,
    error_shapes: Mapping[str, ErrorShape] | None = None,
    public: bool = False,
) -> FastAPI:
    """Build a service.

    `life` runs in the background: the service answers probes with 503 while it starts, and every
    route that takes a resource answers 503 as well. `error_shapes` maps path prefixes to the error
    shape of the dialect spoken there. A `public` service is called by people and asks for no
    internal token.
    """
    health, metrics = Health(), Metrics(service)
    tracing = kit.tracing.begin(service, settings)
    app = FastAPI(
        telemetry=tracing.config if tracing else kit.tracing.SILENT,
        title=f"Switchboard {service}",
        description=description,
        version=VERSION,
        responses=kit.errors.DOCUMENTED,
        lifespan=_in_background(life),
    )
    app.state.health, app.state.metrics, app.state.settings = health, metrics, settings
    app.state.resources, app.state.tracing = {}, tracing
    health.info.update({"service": service, "version": VERSION})
    for router in (kit.health.router, *routers):
        app.include_router(router)
    kit.errors.install(app, error_shapes or {})
    token = settings.internal_token if not public else None
    app.add_middleware(
        ExchangeMiddleware,
        metrics=metrics,
        health=health,
        default_seconds=settings.request_timeout_seconds,
        limit_bytes=settings.max_body_bytes,
        token=token.get_secret_value() if token is not None else None,
        is_traced=tracing is not None,
        logs_requests=settings.log_requests,
    )
    return app


def _in_background(life: Life) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(_live(app, life, stop), name="life")
        try:
            yield
        finally:
            health: Health = app.state.health
            if not health.has_started:
                task.cancel()  # it may wait for something that never comes
            if not health.is_broken:
                health.drain()
            stop.set()
            await asyncio.gather(task, return_exceptions=True)
            if app.state.tracing is not None:
                await asyncio.to_thread(app.state.tracing.close)

    return lifespan


async def _live(app: FastAPI, life: Life, stop: asyncio.Event) -> None:
    """Open the resources, say ready, and close them again in the task that opened them."""
    health: Health = app.state.health
    try:
        opening = life(app)
        async with opening as resources:
            app.state.resources = resources
            health.ready()
            log.info("ready")
            await stop.wait()
    except ModelUnavailable as error:  # says what to do; a traceback would only hide it
        log.error("model_unavailable", reason=str(error))
        health.broken(str(error))
    except Exception as error:
        log.exception("start_or_stop_failed")
        health.broken(f"{type(error).__name__}: {error}")


def from_lifespan(name: str) -> Any:
    """Depend on a resource that the lifespan yields under `name`.

    Use it in a type: `JobsDep = Annotated[Jobs, from_lifespan("jobs")]`.
    """

    async def resource(request: Request) -> Any:  # FastAPI runs a plain function in a thread
        try:
            return request.app.state.resources[name]
        except KeyError:
            health: Health = request.app.state.health
            raise NotReady(f"The service is not ready: {health.reason}.") from None

    return Depends(resource)


async def tenant(request: Request) -> str:
    """Return the tenant that the gateway named, or `default` for a direct call."""
    name = request.headers.get("X-Tenant", "default")
    if not TENANT.fullmatch(name):
        raise BadRequest("X-Tenant must be 1 to 64 letters, digits, '.', '_' or '-'.")
    request.state.tenant = name  # for the log
    return name


Tenant = Annotated[str, Depends(tenant)]
