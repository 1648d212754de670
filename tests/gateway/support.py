"""The gateway in an in-process network of fake services, and real servers where sockets matter."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from services.gateway.app import create_app
from services.gateway.nearest import Vector
from services.gateway.router import Alternative, Explanation, Phrase, Route, RouteRequest
from services.gateway.settings import Settings
from tests.support import Network, serve, until

URLS = {
    f"{name}_url": f"http://{name}" for name in ("classifier", "qa", "imagegen", "rag", "console")
}


class FixedRouter:
    """Decides the same for every message, and remembers the messages."""

    def __init__(
        self,
        intent: str = "chat",
        slots: Mapping[str, Any] | None = None,
        language: Any = "en",
        alternatives: Sequence[str] = ("draw", "ask"),
    ) -> None:
        self.asked: list[RouteRequest] = []
        self.phrases: list[Phrase] = []
        self.width = 1
        self._route = Route(
            intent=intent,
            confidence=0.9,
            alternatives=[Alternative(name, 0.05) for name in alternatives],
            language=language,
            slots=dict(slots or {}),
            explanation=Explanation(margin=0.8, threshold=0.5, evidence=[]),
        )

    def vector(self, _: str) -> Vector:
        return Vector(np.zeros(1, np.intp), np.ones(1, np.float32))

    def route(self, request: RouteRequest) -> Route:
        self.asked.append(request)
        return self._route


class Scripted:
    """A service that answers each path with what the test says and notes what it was sent."""

    def __init__(self, answers: Mapping[str, Any], *, is_ready: bool = True) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self._answers = answers
        self.is_ready = is_ready
        self.document: dict[str, Any] | None = None
        self.app = FastAPI(openapi_url=None)
        self.app.add_api_route("/readyz", self._ready)
        self.app.add_api_route("/openapi.json", self._openapi)
        self.app.add_api_route("/{path:path}", self._answer, methods=["GET", "POST", "DELETE"])

    async def _ready(self) -> Response:
        body = b"{}" if self.is_ready else b'{"failures": {"model": "still loading"}}'
        return Response(body, 200 if self.is_ready else 503, media_type="application/json")

    async def _openapi(self) -> Response:
        return JSONResponse(self.document, 200 if self.document else 503)

    async def _answer(self, request: Request) -> Any:
        sent = await request.json() if await request.body() else None
        self.calls.append((request.method, request.url.path, sent))
        self.headers.append(request.headers)
        answer = self._answers.get(f"{request.method} {request.url.path}")
        if answer is None:
            return Response(b'{"detail": "nothing here"}', 404, media_type="application/json")
        return answer() if callable(answer) else answer


def gateway(
    router: Any = None, services: Mapping[str, FastAPI] | None = None, **settings: Any
) -> FastAPI:
    """Build a gateway before fake services; a service that is not given cannot be reached."""
    return create_app(
        Settings(**{**URLS, **settings}), router or FixedRouter(), Network(dict(services or {}))
    )


@asynccontextmanager
async def served(
    router: Any = None, services: Mapping[str, FastAPI] | None = None, **settings: Any
) -> AsyncGenerator[httpx2.AsyncClient]:
    """Yield a client of such a gateway."""
    async with serve(gateway(router, services, **settings)) as client:
        yield client


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncGenerator[str]:
    """Serve the app on a real socket of this machine and yield its address."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    server.config.load()
    server.capture_signals = _nothing_captured  # type: ignore[method-assign] # the runner keeps its own
    task = asyncio.create_task(server.serve())

    async def port() -> int | None:
        if task.done():
            task.result()
        return server.servers[0].sockets[0].getsockname()[1] if server.started else None

    try:
        yield f"http://127.0.0.1:{await until(port)}"
    finally:
        server.should_exit = True
        await task


@contextmanager
def _nothing_captured() -> Generator[None]:
    yield
