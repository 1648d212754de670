"""build_app(): a router and a lifespan become a service with everything that all services promise."""

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import kit.errors
import kit.health
from kit.deadline import DeadlineMiddleware
from kit.errors import BadRequest, ErrorShape, NotReady, TooLarge, Unauthorized, problem_response
from kit.health import Health
from kit.logs import RequestIdMiddleware
from kit.metrics import Metrics, MetricsMiddleware
from kit.models import ModelUnavailable
from kit.settings import ServiceSettings

VERSION = "0.1.0"
OPEN_PATHS = ("/livez", "/readyz", "/metrics")  # probes and scrapers carry no token
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
    app = FastAPI(
        title=f"Switchboard {service}",
        description=description,
        version=VERSION,
        responses=kit.errors.DOCUMENTED,
        lifespan=_in_background(life),
    )
    app.state.health, app.state.metrics, app.state.settings = health, metrics, settings
    app.state.resources = {}
    health.info.update({"service": service, "version": VERSION})
    for router in (kit.health.router, *routers):
        app.include_router(router)
    kit.errors.install(app, error_shapes or {})
    # Added last runs first: every answer carries its id and is counted, 401 and 504 too.
    app.add_middleware(BodyLimitMiddleware, limit_bytes=settings.max_body_bytes)
    app.add_middleware(
        DeadlineMiddleware, metrics=metrics, default_seconds=settings.request_timeout_seconds
    )
    if settings.internal_token is not None and not public:
        token = settings.internal_token.get_secret_value()
        app.add_middleware(InternalTokenMiddleware, token=token)
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    app.add_middleware(RequestIdMiddleware)
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


class BodyLimitMiddleware:
    """Refuse bodies over the limit with a problem, stated by Content-Length or found while reading."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self.app = app
        self.limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, counting what it uploads."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        detail = f"The body is larger than the limit of {self.limit_bytes} bytes."
        stated = Headers(scope=scope).get("content-length", "0")
        if stated.isdecimal() and int(stated) > self.limit_bytes:
            await problem_response(scope, TooLarge(detail))(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit_bytes:
                # FastAPI lets only its own exception type through while it reads a body.
                raise HTTPException(TooLarge.status, detail)
            return message

        await self.app(scope, counted, send)


class InternalTokenMiddleware:
    """Refuse callers that do not know the token which the services share."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request if its token is right or its path needs none."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self._knows(scope):
            refused = Unauthorized("X-Internal-Token is missing or wrong.")
            await problem_response(scope, refused)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = Headers(scope=scope).get("x-internal-token", "").encode()
        return secrets.compare_digest(given, self.token)


async def tenant(request: Request) -> str:
    """Return the tenant that the gateway named, or `default` for a direct call."""
    name = request.headers.get("X-Tenant", "default")
    if not TENANT.fullmatch(name):
        raise BadRequest("X-Tenant must be 1 to 64 letters, digits, '.', '_' or '-'.")
    return name


Tenant = Annotated[str, Depends(tenant)]
