"""What several tests share: a running app in this process, and waiting for a thing, not a time."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
import httpx2
from asgi_lifespan import LifespanManager
from blockbuster import blockbuster_ctx
from fastapi import FastAPI

T = TypeVar("T")
WAIT_SECONDS = 120.0  # only a failing test waits that long; a loaded machine may need half of it


async def until(look: Callable[[], Awaitable[T | None]], seconds: float = WAIT_SECONDS) -> T:
    """Return the first truthy answer of `look`; fail when none comes in time."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if found := await look():
            return found
        await anyio.sleep(0.01)
    raise AssertionError(f"{getattr(look, '__name__', look)} stayed false for {seconds} s")


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run the app's lifespan, wait until it is ready, and yield a client that calls it directly.

    Code of ours that blocks the event loop meanwhile raises BlockingError.
    """
    with blockbuster_ctx(["kit", "services"]):
        async with LifespanManager(app, WAIT_SECONDS, WAIT_SECONDS), client_for(app) as client:
            await until(_readiness(app, client))
            yield client


def _readiness(app: FastAPI, client: httpx2.AsyncClient) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        health = app.state.health
        assert not health.is_broken, health.reason
        return (await client.get("/readyz")).status_code == 200

    return ready


def client_for(app: FastAPI) -> httpx2.AsyncClient:
    """Return a client whose requests go to the app without a socket."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=WAIT_SECONDS)


class Network(httpx2.AsyncBaseTransport):
    """An in-process network: the host of a URL names the app that answers."""

    def __init__(self, apps: Mapping[str, FastAPI]) -> None:
        self._apps = {
            host: httpx2.ASGITransport(app, raise_app_exceptions=False)
            for host, app in apps.items()
        }

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.host not in self._apps:
            raise httpx2.ConnectError("no such host", request=request)
        return await self._apps[request.url.host].handle_async_request(request)
